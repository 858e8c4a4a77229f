// SPDX-License-Identifier: Apache-2.0
// One client connection: HTTP/1.1 with keep-alive, plain or TLS, one request at a time. While a
// request is worked on, the socket is watched, so that a client that goes away is noticed at once.
#pragma once

#include <atomic>
#include <memory>

#include "serve/http/asio.h"
#include "serve/http/service.h"

namespace gradus {

class Connection {
 public:
  virtual ~Connection() = default;
  virtual void start() = 0;
  // Closes as soon as no request is being worked on. Any thread.
  virtual void close_when_idle() = 0;
  // Closes at once, then calls `closed`. Any thread.
  virtual void close_now(std::function<void()> closed) = 0;
};

struct ConnectionSetting {
  HttpService& service;
  const HttpLimits& limits;
  std::atomic<int64_t>& open;        // counts connections
  const std::atomic<bool>& closing;  // no keep-alive any more
};

// The setting's referents must outlive the io_context's last handler. `tls` null: plain.
std::shared_ptr<Connection> make_connection(tcp::socket socket, asio::ssl::context* tls,
                                            const ConnectionSetting& setting);

}  // namespace gradus
