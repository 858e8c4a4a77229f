// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/byte_chars.h"

#include <array>

#include "text/unicode.h"

namespace gradus {
namespace {

constexpr char32_t kFirstStandIn = 0x100, kEnd = 0x144;

bool is_printable(int byte) {
  return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Tables {
  std::array<std::string, 256> chars;
  std::array<int, kEnd> bytes;

  Tables() {
    bytes.fill(-1);
    char32_t next = kFirstStandIn;
    for (int byte = 0; byte < 256; ++byte) {
      const char32_t c = is_printable(byte) ? static_cast<char32_t>(byte) : next++;
      append_utf8(chars[byte], c);
      bytes[c] = byte;
    }
  }
};

const Tables& tables() {
  static const Tables kTables;
  return kTables;
}

}  // namespace

const std::string& byte_char(unsigned char byte) { return tables().chars[byte]; }

std::optional<unsigned char> char_byte(char32_t c) {
  if (c >= kEnd || tables().bytes[c] < 0) return std::nullopt;
  return static_cast<unsigned char>(tables().bytes[c]);
}

std::string bytes_to_chars(std::string_view bytes) {
  std::string out;
  out.reserve(bytes.size() * 2);
  for (const char byte : bytes) out += byte_char(static_cast<unsigned char>(byte));
  return out;
}

std::optional<std::string> chars_to_bytes(std::string_view chars) {
  std::string out;
  out.reserve(chars.size());
  for (size_t at = 0; at < chars.size();) {
    const CodePoint c = decode_utf8(chars, at);
    const auto byte = char_byte(c.value);
    if (!byte) return std::nullopt;
    out += static_cast<char>(*byte);
    at += c.bytes;
  }
  return out;
}

}  // namespace gradus
