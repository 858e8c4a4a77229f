// SPDX-License-Identifier: Apache-2.0
// GET over libcurl, for the hub: bounded, interruptible, and careful with the access token.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "hub/settings.h"

namespace gradus {

struct HttpReply {
  int status = 0;                              // 0: no complete answer, see failure
  std::map<std::string, std::string> headers;  // names in lower case; the last one counts
  std::string body;                            // bounded; empty when a sink took it
  std::string failure;                         // "timed out", … ; set also when a body broke off
  std::string url = {};                        // that answered, after all redirects

  bool ok() const { return failure.empty() && (status == 200 || status == 206); }
  std::string header(const std::string& name) const;
};

struct HttpGet {
  int64_t first_byte = 0;  // above 0: a Range request
  int64_t last_byte = -1;  // not below 0: a Range request that ends there
  size_t max_body = size_t{64} << 20;
  // Takes the body of a 200 or 206; may throw, which ends the request.
  std::function<void(const HttpReply& head, std::string_view part)> sink = {};
  // Asked at least once a second; true ends the request.
  std::function<bool()> cancelled = {};
};

// For one thread. Connections are kept between requests.
class HttpClient {
 public:
  explicit HttpClient(const HubSettings& settings);
  ~HttpClient();

  // Follows up to 10 redirects, to http and https only and never from https to http. The token goes
  // to the endpoint's own scheme, host and port only. A broken connection is a reply with
  // `failure`; SIGINT and SIGTERM throw gradus::Error with their exit code.
  HttpReply get(const std::string& url, const HttpGet& request);

 private:
  HttpReply perform(const std::string& url, const HttpGet& request);

  struct Handle;
  std::unique_ptr<Handle> handle_;
  std::string token_, origin_;
  int stall_seconds_;
};

// "https://host:443"; "" when `url` is not http or https.
std::string url_origin(const std::string& url);

// base/signals.h, of a transfer.
void throw_if_transfer_stopped();

}  // namespace gradus
