// SPDX-License-Identifier: Apache-2.0
// Base64 (RFC 4648, the standard alphabet), for binary parts of tokenizer files.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gradus {

// None for characters outside the alphabet. Padding may be left out.
std::optional<std::string> decode_base64(std::string_view text);
std::string encode_base64(std::string_view bytes);

}  // namespace gradus
