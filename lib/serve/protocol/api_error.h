// SPDX-License-Identifier: Apache-2.0
// A refusal in OpenAI's shape: {"error": {"message", "type", "param", "code"}}.
#pragma once

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>

#include "base/json.h"

namespace gradus {

struct ApiErrorParts {
  int status = 400;          // of the HTTP response
  std::string message = {};  // for the client's developer
  std::string param = {};    // the field at fault; "" for none
  std::string code = {};     // "model_not_found", …; "" for none
};

class ApiError : public std::runtime_error {
 public:
  explicit ApiError(ApiErrorParts parts)
      : std::runtime_error(parts.message), parts_(std::move(parts)) {}

  int status() const { return parts_.status; }
  const std::string& param() const { return parts_.param; }
  Json json() const;

  // Seconds for the Retry-After header.
  std::optional<int64_t> retry_after;

 private:
  ApiErrorParts parts_;
};

// A 400 about one field: "temperature: must be from 0 to 2, found 3".
ApiError bad_field(const std::string& field, const std::string& message);

}  // namespace gradus
