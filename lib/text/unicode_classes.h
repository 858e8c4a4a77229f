// SPDX-License-Identifier: Apache-2.0
// The general categories of all code points in one table, for scanners that would spend their time
// on asking ICU. Equal to what the regular expressions \p{L}, \p{N}, \s and so on match here.
#pragma once

#include <cstdint>
#include <string_view>

#include "text/unicode.h"

namespace gradus {

// A letter has two of them, other characters one or none.
enum CharClass : uint8_t {
  kOtherChar = 0,
  kLetterChar = 1,
  kNumberChar = 2,
  kSpaceChar = 4,
  kUpperChar = 8,      // Lu, Lt
  kLowerChar = 16,     // Ll
  kCaselessChar = 32,  // Lm, Lo
  kMarkChar = 64,
  kSymbolChar = 128,  // punctuation and symbols
};

// The classes of each code point, 0x110000 of them; made by the first call.
const uint8_t* char_classes();

// decode_utf8() with characters of three bytes, such as Chinese, read in line.
inline CodePoint decode_inline(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[at + i]); };
  if ((byte(0) & 0xF0) != 0xE0) return decode_utf8(text, at);
  return {(byte(0) & 0x0Fu) << 12 | (byte(1) & 0x3Fu) << 6 | (byte(2) & 0x3Fu), 3};
}

struct ClassedChar {
  uint8_t char_class;
  uint8_t bytes;
};

// The class of the character that starts at text[at]; `text` is valid UTF-8.
inline ClassedChar class_at(const uint8_t* classes, std::string_view text, size_t at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  if (lead < 0x80) return {classes[lead], 1};
  const CodePoint c = decode_inline(text, at);
  return {classes[c.value], static_cast<uint8_t>(c.bytes)};
}

}  // namespace gradus
