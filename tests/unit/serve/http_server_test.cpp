// SPDX-License-Identifier: Apache-2.0
// The HTTP layer against raw bytes, with a service that needs no model.
#include "serve/http/http_server.h"

#include <poll.h>
#include <sys/socket.h>

#include <atomic>
#include <chrono>
#include <thread>

#include "base/error.h"
#include "serve/http/asio.h"
#include "support/catch.h"

using namespace gradus;

namespace {

using Clock = std::chrono::steady_clock;

// POST /echo answers with the body; GET /stream sends events until told to stop or cut off; GET
// /never does not answer; GET /throw throws. Requests with "Refuse" are refused unread.
class TestService : public HttpService {
 public:
  std::optional<HttpResponse> screen(const HttpRequest& request) override {
    if (request.header("Refuse").empty()) return {};
    return HttpResponse{.status = 403, .body = "refused"};
  }
  void handle(const std::shared_ptr<Exchange>& exchange) override {
    const std::string& path = exchange->request().path;
    exchange->on_close([this] { ++gone; });
    if (path == "/throw") throw std::runtime_error("a bug");
    if (path == "/never") return;
    if (path == "/stream") {
      exchange->start_stream({.status = 200, .content_type = "text/event-stream"});
      return pump(exchange);
    }
    exchange->respond(
        {.status = 200, .body = exchange->request().body, .content_type = "text/plain"});
  }
  void finish(const HttpRequest&, HttpResponse& response) override {
    last_status = response.status;
  }
  HttpResponse http_error(int status, const std::string& message) override {
    return {.status = status, .body = message};
  }

  std::atomic<int> gone{0}, last_status{0}, pumped{0};
  std::atomic<int> pump_limit{3};

 private:
  void pump(const std::shared_ptr<Exchange>& exchange) {
    if (pumped >= pump_limit) return exchange->end_stream();
    ++pumped;
    exchange->write(std::string(1000, 'x') + "\n\n");
    if (gone == 0) exchange->post([this, exchange] { pump(exchange); });
  }
};

// A blocking client that speaks bytes.
class Client {
 public:
  explicit Client(uint16_t port) : socket_(context_) {
    socket_.connect({asio::ip::make_address("127.0.0.1"), port});
  }
  void send(const std::string& bytes) {
    error_code error;
    asio::write(socket_, asio::buffer(bytes), error);
  }
  // What arrives until the peer closes, `until` was seen, or time is up.
  std::string receive(const std::string& until = "", double seconds = 5) {
    std::string text;
    const auto end = Clock::now() + std::chrono::duration<double>(seconds);
    char buffer[4096];
    while (Clock::now() < end) {
      pollfd ready{.fd = socket_.native_handle(), .events = POLLIN, .revents = 0};
      if (::poll(&ready, 1, 20) <= 0) continue;
      const ssize_t count = ::recv(socket_.native_handle(), buffer, sizeof buffer, 0);
      closed_ = count <= 0;
      if (closed_) break;
      text.append(buffer, static_cast<size_t>(count));
      if (!until.empty() && text.find(until) != std::string::npos) break;
    }
    return text;
  }
  bool closed() const { return closed_; }
  void reset() {  // as a crashed client
    socket_.set_option(asio::socket_base::linger(true, 0));
    socket_.close();
  }

 private:
  asio::io_context context_;
  tcp::socket socket_;
  bool closed_ = false;
};

struct Fixture {
  explicit Fixture(HttpLimits limits = {}, int64_t connections = 50)
      : server({.max_connections = connections, .limits = limits}, service) {
    server.start();
  }
  std::string ask(const std::string& bytes, const std::string& until = "") {
    Client client(server.port());
    client.send(bytes);
    return client.receive(until);
  }
  template <class Done>
  bool soon(Done done) {
    for (int i = 0; i < 250 && !done(); ++i)
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    return done();
  }

  TestService service;
  HttpServer server;
};

std::string post(const std::string& body, const std::string& headers = "") {
  return cat("POST /echo HTTP/1.1\r\nHost: x\r\n", headers, "Content-Length: ", body.size(),
             "\r\n\r\n", body);
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("a connection serves many requests, also those sent together") {
  Fixture fixture;
  Client client(fixture.server.port());
  for (int i = 0; i < 3; ++i) {
    client.send(post(cat("body ", i)));
    CHECK(has(client.receive(cat("body ", i)), "200 OK"));
  }
  client.send(post("first") + post("second") + post("third", "Connection: close\r\n"));
  const std::string all = client.receive();
  CHECK(all.find("first") < all.find("second"));
  CHECK(all.find("second") < all.find("third"));
  CHECK(has(all, "Connection: close"));
  CHECK(client.closed());
}

TEST_CASE("chunked bodies and 100-continue work") {
  Fixture fixture;
  CHECK(has(fixture.ask("POST /echo HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
                        "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n",
                        "abcdefg"),
            "\r\n\r\nabcdefg"));
  Client client(fixture.server.port());
  client.send(
      "POST /echo HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
  CHECK(has(client.receive("100 Continue\r\n\r\n"), "HTTP/1.1 100 Continue"));
  client.send("ok");
  CHECK(has(client.receive("ok"), "200 OK"));
}

TEST_CASE("a stream ends with an empty chunk, or by closing for HTTP/1.0") {
  Fixture fixture;
  const std::string modern =
      fixture.ask("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n", "\r\n0\r\n\r\n");
  CHECK(has(modern, "Transfer-Encoding: chunked"));
  CHECK(has(modern, "\r\n0\r\n\r\n"));
  fixture.service.pumped = 0;
  const std::string old = fixture.ask("GET /stream HTTP/1.0\r\n\r\n");
  CHECK_FALSE(has(old, "chunked"));
  CHECK(old.size() > 3000);
}

TEST_CASE("requests beyond the limits are refused and the server lives on") {
  Fixture fixture({.max_body_bytes = 1000, .max_header_bytes = 2000, .max_headers = 10});
  CHECK(has(fixture.ask(post(std::string(1001, 'x'))), "413 "));
  CHECK(has(fixture.ask("POST /echo HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n"), "413 "));
  CHECK(has(fixture.ask("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n7d0\r\n" +
                        std::string(2000, 'x') + "\r\n0\r\n\r\n"),
            "413 "));
  CHECK(has(fixture.ask("GET / HTTP/1.1\r\nA: " + std::string(3000, 'a') + "\r\n\r\n"), "431 "));
  CHECK(has(fixture.ask("GET /" + std::string(3000, 'a')), "431 "));
  std::string many = "GET / HTTP/1.1\r\n";
  for (int i = 0; i < 11; ++i) many += "A: b\r\n";
  CHECK(has(fixture.ask(many + "\r\n"), "431 "));
  CHECK(has(fixture.ask(post("still here"), "still here"), "200 OK"));
}

TEST_CASE("broken HTTP is a 400, a request that stops short is nothing") {
  Fixture fixture;
  for (const char* bad :
       {"nonsense\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /\x01 HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nno colon\r\n\r\n", "POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n"}) {
    CAPTURE(bad);
    CHECK(has(fixture.ask(bad), "400 "));
  }
  {
    Client client(fixture.server.port());
    client.send("POST /echo HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab");
    client.reset();
  }
  {
    Client client(fixture.server.port());
    client.send("POST /echo HTTP/1.1\r\nContent-Le");
    client.reset();
  }
  CHECK(has(fixture.ask(post("still here"), "still here"), "200 OK"));
  CHECK(fixture.soon([&] { return fixture.server.open_connections() == 0; }));
}

TEST_CASE("a slow request is ended with 408") {
  Fixture fixture({.read_seconds = 0.2, .idle_seconds = 10});
  Client client(fixture.server.port());
  client.send("POST /echo HTTP/1.1\r\nContent-Length: 10\r\n\r\n");
  CHECK(has(client.receive(), "408 "));
  CHECK(client.closed());
}

TEST_CASE("an idle connection is closed") {
  Fixture fixture({.idle_seconds = 0.2});
  Client client(fixture.server.port());
  CHECK(client.receive().empty());
  CHECK(client.closed());
}

TEST_CASE("a refused request is answered without its body") {
  Fixture fixture;
  const std::string answer =
      fixture.ask("POST /echo HTTP/1.1\r\nRefuse: yes\r\nContent-Length: 100000\r\n\r\npart of it");
  CHECK(has(answer, "403 "));
  CHECK(has(answer, "Connection: close"));
}

TEST_CASE("a client that goes away is noticed, streaming or not") {
  Fixture fixture;
  for (int way = 0; way < 2; ++way) {
    Client client(fixture.server.port());
    client.send("GET /never HTTP/1.1\r\nHost: x\r\n\r\n");
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    if (way == 1) client.reset();
  }
  CHECK(fixture.soon([&] { return fixture.service.gone == 2; }));
  CHECK(fixture.soon([&] { return fixture.server.open_connections() == 0; }));
}

TEST_CASE("a client that does not read is cut off at the bound") {
  Fixture fixture({.max_unsent_bytes = 100'000});
  fixture.service.pump_limit = 1'000'000;
  Client client(fixture.server.port());
  client.send("GET /stream HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(fixture.soon([&] { return fixture.service.gone == 1; }));
  CHECK(fixture.service.pumped < 200'000);
}

TEST_CASE("connections beyond the limit get 503") {
  Fixture fixture({}, 2);
  Client first(fixture.server.port()), second(fixture.server.port());
  first.send("GET /never HTTP/1.1\r\n\r\n");
  second.send("GET /never HTTP/1.1\r\n\r\n");
  REQUIRE(fixture.soon([&] { return fixture.server.open_connections() == 2; }));
  CHECK(has(fixture.ask("GET /echo HTTP/1.1\r\n\r\n"), "503 "));
  first.reset();
  REQUIRE(fixture.soon([&] { return fixture.server.open_connections() == 1; }));
  CHECK(has(fixture.ask(post("welcome"), "welcome"), "200 OK"));
}

TEST_CASE("a handler that throws costs its connection only") {
  Fixture fixture;
  fixture.ask("GET /throw HTTP/1.1\r\n\r\n");
  CHECK(has(fixture.ask(post("alive"), "alive"), "200 OK"));
}

TEST_CASE("a stopped server refuses connections and closes idle ones") {
  Fixture fixture;
  Client idle(fixture.server.port()), busy(fixture.server.port());
  idle.send(post("x"));
  idle.receive("\r\n\r\nx");
  busy.send("GET /never HTTP/1.1\r\n\r\n");
  REQUIRE(fixture.soon([&] { return fixture.server.open_connections() == 2; }));
  const uint16_t port = fixture.server.port();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  fixture.server.stop_accepting();
  CHECK(idle.receive().empty());
  CHECK(idle.closed());
  CHECK_THROWS(Client(port));
  CHECK(fixture.soon([&] { return fixture.server.open_connections() == 1; }));
  fixture.server.close_all();
  CHECK(fixture.service.gone == 1);
}

TEST_CASE("a port that is in use is named") {
  Fixture fixture;
  CHECK_THROWS_WITH(HttpServer({.port = fixture.server.port()}, fixture.service),
                    Catch::Contains("cannot listen") && Catch::Contains("another"));
  CHECK_THROWS_AS(HttpServer({.host = "no.such.host.invalid"}, fixture.service), Error);
}
