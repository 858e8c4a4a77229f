// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace gradus {

// 128 random bits in hex.
std::string new_request_id();
// `given` when it is 1 to 64 letters, digits, '-', '_' or '.': it goes into logs and headers.
std::string request_id(std::string_view given, const std::string& fallback);

}  // namespace gradus
