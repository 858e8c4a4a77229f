// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "serve/http/message.h"
#include "serve/protocol/api_error.h"

namespace gradus {

// JSON as the body of a response; never throws on bad UTF-8.
std::string json_line(const Json& value);
HttpResponse json_response(int status, const Json& value);
// With Retry-After, and WWW-Authenticate where the status asks for it.
HttpResponse error_response(const ApiError& error);

}  // namespace gradus
