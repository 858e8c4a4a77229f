// SPDX-License-Identifier: Apache-2.0
// Listens, accepts, and runs connections on a few threads. Models and routes are not its business.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/files.h"
#include "serve/http/service.h"

namespace gradus {

struct TlsFiles {
  fs::path certificate;  // PEM, the whole chain
  fs::path key;          // PEM
};

struct HttpServerOptions {
  std::string host = "127.0.0.1";  // a name or address
  uint16_t port = 0;               // 0: any free one
  int threads = 2;
  int64_t max_connections = 256;  // more are answered with 503
  std::optional<TlsFiles> tls = {};
  HttpLimits limits = {};
};

class HttpServer {
 public:
  // Listens at once; throws gradus::Error when the address cannot be used or the TLS files cannot
  // be read. The service must outlive it.
  HttpServer(const HttpServerOptions& options, HttpService& service);
  ~HttpServer();  // closes everything

  std::string url() const;  // "http://127.0.0.1:8080"
  uint16_t port() const;
  int64_t open_connections() const;

  void start();
  // Accepts nothing new and closes idle connections; requests that are worked on go on.
  void stop_accepting();
  // Closes every connection, whatever it does, and returns when no handler will run again.
  void close_all();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Throws gradus::Error when the files do not make a usable server certificate.
void check_tls_files(const TlsFiles& files);

}  // namespace gradus
