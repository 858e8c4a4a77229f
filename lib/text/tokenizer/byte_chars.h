// SPDX-License-Identifier: Apache-2.0
// GPT-2's printable stand-ins for bytes: byte-level vocabularies write each byte as a character.
// Source: github.com/openai/gpt-2, src/encoder.py, bytes_to_unicode.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace gradus {

// The character of a byte, in UTF-8 (1 or 2 bytes).
const std::string& byte_char(unsigned char byte);
// The byte of a character, if it stands for one.
std::optional<unsigned char> char_byte(char32_t c);

std::string bytes_to_chars(std::string_view bytes);
// None when a character of `chars` stands for no byte; `chars` is valid UTF-8.
std::optional<std::string> chars_to_bytes(std::string_view chars);

}  // namespace gradus
