// SPDX-License-Identifier: Apache-2.0
#include "serve/http/http_server.h"

#include <algorithm>
#include <atomic>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "base/error.h"
#include "base/log.h"
#include "serve/http/connection.h"

namespace gradus {
namespace {

constexpr int kBacklog = 1024;

asio::ssl::context make_tls(const TlsFiles& files) {
  asio::ssl::context context(asio::ssl::context::tls_server);
  context.set_options(asio::ssl::context::default_workarounds | asio::ssl::context::no_tlsv1 |
                      asio::ssl::context::no_tlsv1_1 | SSL_OP_NO_RENEGOTIATION);
  const auto check = [](const error_code& error, const char* what, const fs::path& file) {
    if (error) throw Error({.what = cat(what, ": ", error.message()), .where = file.string()});
  };
  error_code error;
  context.use_certificate_chain_file(files.certificate.string(), error);
  check(error, "cannot use the TLS certificate", files.certificate);
  context.use_private_key_file(files.key.string(), asio::ssl::context::pem, error);
  check(error, "cannot use the TLS key", files.key);
  if (SSL_CTX_check_private_key(context.native_handle()) != 1)
    throw Error(
        {.what = "TLS key does not belong to the certificate", .where = files.key.string()});
  return context;
}

tcp::endpoint resolve(asio::io_context& context, const HttpServerOptions& options) {
  tcp::resolver resolver(context);
  error_code error;
  const auto found =
      resolver.resolve(options.host, std::to_string(options.port), tcp::resolver::passive, error);
  if (error || found.empty())
    throw Error({.what = "host cannot be resolved", .where = "host", .found = options.host});
  return found.begin()->endpoint();
}

tcp::acceptor listen(asio::io_context& context, const HttpServerOptions& options) {
  const tcp::endpoint endpoint = resolve(context, options);
  tcp::acceptor acceptor(asio::make_strand(context));
  error_code error;
  acceptor.open(endpoint.protocol(), error);
  if (!error) acceptor.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor.bind(endpoint, error);
  if (!error) acceptor.listen(kBacklog, error);
  if (error)
    throw Error({.what = "cannot listen: " + error.message(),
                 .where = cat(options.host, ":", options.port),
                 .hint = error == asio::error::address_in_use
                             ? "another program uses this port; choose another with port=N"
                             : ""});
  return acceptor;
}

}  // namespace

struct HttpServer::State {
  State(const HttpServerOptions& chosen, HttpService& served)
      : options(chosen),
        service(served),
        acceptor(listen(context, chosen)),
        retry(acceptor.get_executor()) {
    if (chosen.tls) tls.emplace(make_tls(*chosen.tls));
  }
  void accept();
  void welcome(tcp::socket socket);
  void turn_away(tcp::socket socket);
  void run();

  HttpServerOptions options;
  HttpService& service;
  std::atomic<int64_t> open{0};
  std::atomic<bool> closing{false};
  asio::io_context context;
  // Threads wait for work that other threads may still post, until the context is stopped.
  asio::executor_work_guard<asio::io_context::executor_type> work{context.get_executor()};
  std::optional<asio::ssl::context> tls;
  tcp::acceptor acceptor;
  asio::steady_timer retry;
  std::mutex mutex;
  std::vector<std::weak_ptr<Connection>> connections;
  std::vector<std::thread> threads;
};

void HttpServer::State::accept() {
  acceptor.async_accept(asio::make_strand(context),
                        [this](const error_code& error, tcp::socket socket) {
                          if (closing) return;
                          if (!error) {
                            welcome(std::move(socket));
                            return accept();
                          }
                          // Out of descriptors, most likely: wait for connections to end.
                          log_warning("serve", "cannot accept a connection: " + error.message());
                          retry.expires_after(std::chrono::milliseconds(100));
                          retry.async_wait([this](const error_code&) { accept(); });
                        });
}

void HttpServer::State::welcome(tcp::socket socket) {
  if (open >= options.max_connections) return turn_away(std::move(socket));
  const auto connection = make_connection(
      std::move(socket), tls ? &*tls : nullptr,
      {.service = service, .limits = options.limits, .open = open, .closing = closing});
  {
    const std::lock_guard lock(mutex);
    if (closing) return;
    std::erase_if(connections, [](const auto& old) { return old.expired(); });
    connections.push_back(connection);
  }
  connection->start();
}

void HttpServer::State::turn_away(tcp::socket socket) {
  HttpResponse response = service.http_error(503, "too many connections");
  response.headers.emplace_back("Retry-After", "1");
  service.finish({}, response);
  if (tls) return;  // no handshake for those: closing must do
  error_code ignored;
  socket.non_blocking(true, ignored);
  const std::string text =
      response_head(response, {{"Content-Length", std::to_string(response.body.size())},
                               {"Connection", "close"}}) +
      response.body;
  socket.write_some(asio::buffer(text), ignored);
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

void HttpServer::State::run() {
  for (;;) {
    try {
      context.run();
      return;
    } catch (const std::exception& error) {
      log_error("serve", cat("unexpected: ", error.what()));
    }
  }
}

HttpServer::HttpServer(const HttpServerOptions& options, HttpService& service)
    : state_(std::make_unique<State>(options, service)) {}

HttpServer::~HttpServer() {
  close_all();
  state_->context.stop();
  for (std::thread& thread : state_->threads) thread.join();
}

uint16_t HttpServer::port() const { return state_->acceptor.local_endpoint().port(); }

std::string HttpServer::url() const {
  const auto endpoint = state_->acceptor.local_endpoint();
  return cat(state_->tls ? "https" : "http", "://", endpoint);
}

int64_t HttpServer::open_connections() const { return state_->open; }

void HttpServer::start() {
  state_->accept();
  for (int i = 0; i < state_->options.threads; ++i)
    state_->threads.emplace_back([state = state_.get()] { state->run(); });
}

void HttpServer::stop_accepting() {
  {
    const std::lock_guard lock(state_->mutex);
    state_->closing = true;
  }
  asio::post(state_->acceptor.get_executor(), [state = state_.get()] {
    error_code ignored;
    state->acceptor.close(ignored);
    const std::lock_guard lock(state->mutex);
    for (const auto& weak : state->connections) {
      if (const auto connection = weak.lock()) connection->close_when_idle();
    }
  });
}

void HttpServer::close_all() {
  if (state_->threads.empty()) return;
  stop_accepting();
  std::vector<std::shared_ptr<Connection>> open;
  {
    const std::lock_guard lock(state_->mutex);
    for (const auto& weak : state_->connections) {
      if (auto connection = weak.lock()) open.push_back(std::move(connection));
    }
  }
  for (const auto& connection : open) {
    auto closed = std::make_shared<std::promise<void>>();
    connection->close_now([closed] { closed->set_value(); });
    closed->get_future().wait();
  }
}

void check_tls_files(const TlsFiles& files) { make_tls(files); }

}  // namespace gradus
