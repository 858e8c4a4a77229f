// SPDX-License-Identifier: Apache-2.0
#include "serve/protocol/api_error.h"

namespace gradus {
namespace {

const char* error_type(int status) {
  if (status == 401) return "authentication_error";
  if (status == 403) return "permission_error";
  if (status == 429) return "rate_limit_error";
  if (status == 503) return "service_unavailable";
  return status < 500 ? "invalid_request_error" : "server_error";
}

Json or_null(const std::string& text) { return text.empty() ? Json(nullptr) : Json(text); }

}  // namespace

Json ApiError::json() const {
  return {{"error",
           {{"message", parts_.message},
            {"type", error_type(parts_.status)},
            {"param", or_null(parts_.param)},
            {"code", or_null(parts_.code)}}}};
}

ApiError bad_field(const std::string& field, const std::string& message) {
  return ApiError({.message = field + ": " + message, .param = field});
}

}  // namespace gradus
