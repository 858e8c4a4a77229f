// SPDX-License-Identifier: Apache-2.0
#include "serve/responses.h"

namespace gradus {

std::string json_line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace) + "\n";
}

HttpResponse json_response(int status, const Json& value) {
  return {.status = status, .body = json_line(value)};
}

HttpResponse error_response(const ApiError& error) {
  HttpResponse response = json_response(error.status(), error.json());
  if (error.retry_after)
    response.headers.emplace_back("Retry-After", std::to_string(*error.retry_after));
  if (error.status() == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
  return response;
}

}  // namespace gradus
