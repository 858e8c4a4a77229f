// SPDX-License-Identifier: Apache-2.0
// The seam between connections and what is served.
#pragma once

#include <functional>
#include <memory>
#include <optional>

#include "serve/http/message.h"

namespace gradus {

// One request that waits for its response. post() may be called from any thread; everything else
// belongs to the connection's own sequence: inside HttpService::handle(), or inside a function
// given to post(), after() or on_close(). Calls after the response is complete, or after the client
// has gone, do nothing.
class Exchange {
 public:
  virtual ~Exchange() = default;
  virtual const HttpRequest& request() const = 0;
  virtual void post(std::function<void()> work) = 0;

  virtual void respond(HttpResponse response) = 0;  // the whole response
  // A response of unknown length: head, then any number of write(), then end_stream(). A client
  // that reads too slowly is cut off.
  virtual void start_stream(HttpResponse head) = 0;
  virtual void write(std::string data) = 0;
  virtual void end_stream() = 0;

  // Called at most once, when the client goes away before the response is complete.
  virtual void on_close(std::function<void()> gone) = 0;
  // Called once after that time, unless the response is complete by then.
  virtual void after(double seconds, std::function<void()> late) = 0;
};

class HttpService {
 public:
  virtual ~HttpService() = default;
  // Called when the headers are there and the body is not: a response refuses the request unread.
  virtual std::optional<HttpResponse> screen(const HttpRequest& request) = 0;
  virtual void handle(const std::shared_ptr<Exchange>& exchange) = 0;
  // Sees every response before it is sent, those of HTTP errors too (then `request` may be empty);
  // adds headers, counts.
  virtual void finish(const HttpRequest& request, HttpResponse& response) = 0;
  // The body of a response for something that is wrong with the HTTP itself.
  virtual HttpResponse http_error(int status, const std::string& message) = 0;
};

// Bounds on what one client can make the server hold or wait for.
struct HttpLimits {
  size_t max_body_bytes = 2 << 20;
  size_t max_header_bytes = 16 << 10;
  size_t max_headers = 100;
  size_t max_unsent_bytes = 1 << 20;  // of a stream
  double read_seconds = 30;           // for the headers, and again for the body
  double write_seconds = 30;          // without any progress
  double idle_seconds = 75;           // between requests
};

}  // namespace gradus
