// SPDX-License-Identifier: Apache-2.0
// HTTP requests and responses as the rest of the server sees them.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace gradus {

using HttpHeaders = std::vector<std::pair<std::string, std::string>>;

struct HttpRequest {
  std::string method;  // "GET"
  std::string path;    // without the query
  HttpHeaders headers;
  std::string body;
  std::string id;  // the client's X-Request-Id if it is a plain word, else one of ours
  std::chrono::steady_clock::time_point received;

  // The first header of that name (any case), or "".
  std::string_view header(std::string_view name) const;
};

struct HttpResponse {
  int status = 200;
  std::string body = {};
  std::string content_type = "application/json";
  HttpHeaders headers = {};
};

// "Too Many Requests"
const char* status_text(int status);
// Status line and headers, with the empty line.
std::string response_head(const HttpResponse& response, const HttpHeaders& framing);
// One chunk of the chunked transfer coding; an empty one ends the body.
std::string http_chunk(std::string_view data);
bool equal_ignoring_case(std::string_view a, std::string_view b);

}  // namespace gradus
