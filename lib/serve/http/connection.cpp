// SPDX-License-Identifier: Apache-2.0
#include "serve/http/connection.h"

#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/read.hpp>
#include <boost/beast/http/string_body.hpp>
#include <deque>

#include "base/log.h"
#include "serve/http/request_id.h"

namespace gradus {
namespace {

namespace beast = boost::beast;
namespace http = boost::beast::http;

constexpr size_t kMaxEarlyBytes = 64 << 10;  // of further requests while one is worked on
constexpr double kLingerSeconds = 2;
constexpr size_t kMaxLingerBytes = 4 << 20;

using Plain = tcp::socket;
using Tls = asio::ssl::stream<tcp::socket>;

tcp::socket& socket_of(Plain& stream) { return stream; }
tcp::socket& socket_of(Tls& stream) { return stream.next_layer(); }

std::chrono::milliseconds milliseconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

template <class Stream>
class ConnectionOf final : public Connection,
                           public std::enable_shared_from_this<ConnectionOf<Stream>> {
 public:
  template <class... Arguments>
  explicit ConnectionOf(const ConnectionSetting& setting, tcp::socket socket, Arguments&... tls)
      : setting_(setting),
        stream_(std::move(socket), tls...),
        timer_(stream_.get_executor()),
        late_timer_(stream_.get_executor()) {
    ++setting_.open;
  }
  ~ConnectionOf() override { --setting_.open; }

  void start() override;
  void close_when_idle() override {
    asio::post(stream_.get_executor(), [self = this->shared_from_this()] {
      if (self->phase_ == Phase::kIdle) self->close();
    });
  }
  void close_now(std::function<void()> closed) override {
    asio::post(stream_.get_executor(), [self = this->shared_from_this(), closed] {
      self->close();
      closed();
    });
  }

 private:
  enum class Phase { kHandshake, kIdle, kReading, kWorking, kLingering, kClosed };
  class Current;
  using Self = std::shared_ptr<ConnectionOf>;

  // A completion handler that keeps this alive and does nothing once closed.
  template <class Body>
  auto on(Body body) {
    return [self = this->shared_from_this(), body](const error_code& error, auto... rest) {
      if (self->phase_ != Phase::kClosed) body(*self, error, rest...);
    };
  }
  void arm(double seconds);
  void disarm() {
    ++timer_number_;
    timer_.cancel();
  }
  void on_deadline();

  void become_idle();
  void watch();
  void on_watched(const error_code& error, size_t bytes);
  void read_head();
  void on_head(const error_code& error);
  void on_body(const error_code& error);
  void take_head();
  bool refuse_head();
  void work();
  void refuse(int status, const std::string& message);
  void answer_and_close(HttpResponse response);

  void send(std::string data);
  void write_next();
  void on_written(const error_code& error, size_t bytes);
  void response_done();
  void linger();
  void close();

  ConnectionSetting setting_;
  Stream stream_;
  asio::steady_timer timer_, late_timer_;
  uint64_t timer_number_ = 0;
  Phase phase_ = Phase::kHandshake;

  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  HttpRequest request_;
  std::shared_ptr<Current> current_;
  bool watching_ = false;
  size_t lingered_bytes_ = 0;

  std::deque<std::string> out_;
  size_t out_offset_ = 0, out_bytes_ = 0;
  bool writing_ = false, complete_ = false, keep_alive_ = false, chunked_ = false;
};

// The exchange that handlers hold. It lets go of the connection when the response is complete.
template <class Stream>
class ConnectionOf<Stream>::Current final
    : public Exchange,
      public std::enable_shared_from_this<ConnectionOf<Stream>::Current> {
 public:
  Current(Self connection, HttpRequest request)
      : connection_(std::move(connection)), request_(std::move(request)) {}

  const HttpRequest& request() const override { return request_; }

  void post(std::function<void()> work) override {
    asio::post(connection_->stream_.get_executor(),
               [self = this->shared_from_this(), work = std::move(work)] { self->guard(work); });
  }
  void respond(HttpResponse response) override {
    if (!open_) return;
    connection_->setting_.service.finish(request_, response);
    const HttpHeaders framing = {{"Content-Length", std::to_string(response.body.size())},
                                 {"Connection", connection_word()}};
    connection_->send(response_head(response, framing) + response.body);
    finish();
  }
  void start_stream(HttpResponse head) override {
    if (!open_) return;
    connection_->setting_.service.finish(request_, head);
    if (!connection_->chunked_) connection_->keep_alive_ = false;
    HttpHeaders framing = {{"Connection", connection_word()}};
    if (connection_->chunked_) framing.emplace_back("Transfer-Encoding", "chunked");
    connection_->send(response_head(head, framing));
  }
  void write(std::string data) override {
    if (!open_ || data.empty()) return;
    connection_->send(connection_->chunked_ ? http_chunk(data) : std::move(data));
    if (connection_->out_bytes_ <= connection_->setting_.limits.max_unsent_bytes) return;
    log_warning("serve", "request " + request_.id + ": the client reads too slowly, cut off");
    connection_->close();
  }
  void end_stream() override {
    if (!open_) return;
    if (connection_->chunked_) connection_->send(http_chunk({}));
    finish();
  }
  void on_close(std::function<void()> gone) override { gone_ = std::move(gone); }
  void after(double seconds, std::function<void()> late) override {
    connection_->late_timer_.expires_after(milliseconds(seconds));
    connection_->late_timer_.async_wait(
        [self = this->shared_from_this(), late = std::move(late)](const error_code& error) {
          if (!error && self->open_) self->guard(late);
        });
  }

  void client_gone() {
    open_ = false;
    connection_->late_timer_.cancel();
    if (gone_) guard(std::exchange(gone_, {}));
  }
  // Handlers turn their errors into responses; anything that gets here is a bug, and costs this
  // connection only.
  void guard(const std::function<void()>& work) {
    try {
      work();
    } catch (const std::exception& error) {
      log_error("serve", "request " + request_.id + ": " + error.what());
      connection_->close();
    }
  }

 private:
  const char* connection_word() const {
    if (connection_->setting_.closing) connection_->keep_alive_ = false;
    return connection_->keep_alive_ ? "keep-alive" : "close";
  }
  void finish() {
    open_ = false;
    gone_ = {};
    connection_->late_timer_.cancel();
    connection_->complete_ = true;
    if (!connection_->writing_) connection_->response_done();
  }

  Self connection_;
  HttpRequest request_;
  std::function<void()> gone_;
  bool open_ = true;
};

template <class Stream>
void ConnectionOf<Stream>::start() {
  error_code ignored;
  socket_of(stream_).set_option(tcp::no_delay(true), ignored);
  socket_of(stream_).set_option(asio::socket_base::keep_alive(true), ignored);
  if constexpr (std::is_same_v<Stream, Plain>) {
    asio::post(stream_.get_executor(), [self = this->shared_from_this()] { self->become_idle(); });
  } else {
    arm(setting_.limits.read_seconds);
    stream_.async_handshake(Tls::server, on([](ConnectionOf& self, const error_code& error) {
                              error ? self.close() : self.become_idle();
                            }));
  }
}

template <class Stream>
void ConnectionOf<Stream>::arm(double seconds) {
  timer_.expires_after(milliseconds(seconds));
  timer_.async_wait(on([number = ++timer_number_](ConnectionOf& self, const error_code& error) {
    if (!error && number == self.timer_number_) self.on_deadline();
  }));
}

template <class Stream>
void ConnectionOf<Stream>::on_deadline() {
  if (phase_ == Phase::kReading) {
    error_code ignored;
    socket_of(stream_).cancel(ignored);  // ends the read, whose handler then sees kLingering
    return refuse(408, "the request did not arrive in time");
  }
  if (phase_ == Phase::kWorking)
    log_warning("serve", "request " + request_.id + ": the client does not read, cut off");
  close();
}

template <class Stream>
void ConnectionOf<Stream>::become_idle() {
  phase_ = Phase::kIdle;
  if (setting_.closing) return close();
  if (buffer_.size() > 0 && !watching_) return read_head();
  arm(setting_.limits.idle_seconds);
  if (buffer_.size() == 0) return watch();
  error_code ignored;
  socket_of(stream_).cancel(ignored);  // the next request is here already: end the watch
}

// Reads whatever comes next: the next request, or the news that the client is gone.
template <class Stream>
void ConnectionOf<Stream>::watch() {
  if (watching_) return;
  watching_ = true;
  stream_.async_read_some(buffer_.prepare(4096),
                          on([](ConnectionOf& self, const error_code& error, size_t bytes) {
                            self.on_watched(error, bytes);
                          }));
}

template <class Stream>
void ConnectionOf<Stream>::on_watched(const error_code& error, size_t bytes) {
  watching_ = false;
  if (error == asio::error::operation_aborted && phase_ == Phase::kIdle) return read_head();
  if (error) return close();
  if (phase_ == Phase::kLingering) {
    lingered_bytes_ += bytes;
    return lingered_bytes_ > kMaxLingerBytes ? close() : watch();
  }
  buffer_.commit(bytes);
  if (phase_ == Phase::kIdle) return read_head();
  buffer_.size() > kMaxEarlyBytes ? close() : watch();
}

template <class Stream>
void ConnectionOf<Stream>::read_head() {
  phase_ = Phase::kReading;
  request_ = {};
  request_.id = new_request_id();
  keep_alive_ = false;
  parser_.emplace();
  parser_->header_limit(static_cast<uint32_t>(setting_.limits.max_header_bytes));
  parser_->body_limit(setting_.limits.max_body_bytes);
  arm(setting_.limits.read_seconds);
  http::async_read_header(
      stream_, buffer_, *parser_,
      on([](ConnectionOf& self, const error_code& error, size_t) { self.on_head(error); }));
}

// What an error while reading means to the client; 0: nobody is there to be told.
int read_error_status(const error_code& error) {
  if (error == http::error::body_limit) return 413;
  if (error == http::error::header_limit) return 431;
  if (error == http::error::end_of_stream || error == http::error::partial_message) return 0;
  return error.category() == http::make_error_code(http::error::bad_method).category() ? 400 : 0;
}

template <class Stream>
void ConnectionOf<Stream>::on_head(const error_code& error) {
  if (phase_ != Phase::kReading) return;
  request_.received = std::chrono::steady_clock::now();
  if (error) {
    const int status = read_error_status(error);
    if (status == 413) return refuse(413, "the request body is too large");
    return status ? refuse(status, "bad HTTP request: " + error.message()) : close();
  }
  take_head();
  if (refuse_head()) return;
  if (parser_->is_done()) return on_body({});
  if (equal_ignoring_case(request_.header("Expect"), "100-continue"))
    send("HTTP/1.1 100 Continue\r\n\r\n");
  arm(setting_.limits.read_seconds);
  http::async_read(stream_, buffer_, *parser_,
                   on([](ConnectionOf& self, const error_code& read_error, size_t) {
                     self.on_body(read_error);
                   }));
}

template <class Stream>
void ConnectionOf<Stream>::take_head() {
  const auto& message = parser_->get();
  request_.method = std::string(message.method_string());
  const auto target = message.target();
  request_.path = std::string(target.substr(0, target.find('?')));
  for (const auto& field : message)
    request_.headers.emplace_back(std::string(field.name_string()), std::string(field.value()));
  request_.id = request_id(request_.header("X-Request-Id"), request_.id);
  chunked_ = message.version() >= 11;
}

template <class Stream>
bool ConnectionOf<Stream>::refuse_head() {
  if (request_.headers.size() > setting_.limits.max_headers) {
    refuse(431, "too many headers");
    return true;
  }
  auto response = setting_.service.screen(request_);
  if (response) answer_and_close(std::move(*response));
  return response.has_value();
}

template <class Stream>
void ConnectionOf<Stream>::on_body(const error_code& error) {
  if (phase_ != Phase::kReading) return;
  if (error) {
    const int status = read_error_status(error);
    if (status == 413) return refuse(413, "the request body is too large");
    return status ? refuse(status, "bad HTTP body: " + error.message()) : close();
  }
  disarm();
  keep_alive_ = parser_->get().keep_alive();
  request_.body = std::move(parser_->get().body());
  parser_.reset();
  work();
}

template <class Stream>
void ConnectionOf<Stream>::work() {
  phase_ = Phase::kWorking;
  complete_ = false;
  current_ = std::make_shared<Current>(this->shared_from_this(), std::move(request_));
  watch();
  const auto current = current_;
  current->guard([&] { setting_.service.handle(current); });
}

template <class Stream>
void ConnectionOf<Stream>::refuse(int status, const std::string& message) {
  answer_and_close(setting_.service.http_error(status, message));
}

template <class Stream>
void ConnectionOf<Stream>::answer_and_close(HttpResponse response) {
  phase_ = Phase::kWorking;
  keep_alive_ = false;
  setting_.service.finish(request_, response);
  complete_ = true;
  send(response_head(response, {{"Content-Length", std::to_string(response.body.size())},
                                {"Connection", "close"}}) +
       response.body);
}

template <class Stream>
void ConnectionOf<Stream>::send(std::string data) {
  if (phase_ == Phase::kClosed) return;
  out_bytes_ += data.size();
  out_.push_back(std::move(data));
  if (!writing_) write_next();
}

template <class Stream>
void ConnectionOf<Stream>::write_next() {
  writing_ = true;
  if (phase_ == Phase::kWorking) arm(setting_.limits.write_seconds);
  const std::string& front = out_.front();
  stream_.async_write_some(asio::buffer(front.data() + out_offset_, front.size() - out_offset_),
                           on([](ConnectionOf& self, const error_code& error, size_t bytes) {
                             self.on_written(error, bytes);
                           }));
}

template <class Stream>
void ConnectionOf<Stream>::on_written(const error_code& error, size_t bytes) {
  writing_ = false;
  if (error) return close();
  out_offset_ += bytes;
  out_bytes_ -= bytes;
  if (out_offset_ == out_.front().size()) {
    out_.pop_front();
    out_offset_ = 0;
  }
  if (!out_.empty()) return write_next();
  if (phase_ != Phase::kWorking) return;
  disarm();
  if (complete_) response_done();
}

template <class Stream>
void ConnectionOf<Stream>::response_done() {
  if (phase_ != Phase::kWorking) return;
  current_.reset();
  complete_ = false;
  keep_alive_ ? become_idle() : linger();
}

// Closing a socket with unread bytes would destroy the response on its way: say that no more comes,
// and read on for a moment.
template <class Stream>
void ConnectionOf<Stream>::linger() {
  phase_ = Phase::kLingering;
  arm(kLingerSeconds);
  if constexpr (std::is_same_v<Stream, Plain>) {
    error_code ignored;
    stream_.shutdown(tcp::socket::shutdown_send, ignored);
    watch();
  } else {
    stream_.async_shutdown(on([](ConnectionOf& self, const error_code&) { self.close(); }));
  }
}

template <class Stream>
void ConnectionOf<Stream>::close() {
  if (phase_ == Phase::kClosed) return;
  phase_ = Phase::kClosed;
  disarm();
  error_code ignored;
  socket_of(stream_).close(ignored);
  if (const auto current = std::exchange(current_, nullptr)) current->client_gone();
}

}  // namespace

std::shared_ptr<Connection> make_connection(tcp::socket socket, asio::ssl::context* tls,
                                            const ConnectionSetting& setting) {
  if (tls) return std::make_shared<ConnectionOf<Tls>>(setting, std::move(socket), *tls);
  return std::make_shared<ConnectionOf<Plain>>(setting, std::move(socket));
}

}  // namespace gradus
