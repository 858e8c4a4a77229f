// SPDX-License-Identifier: Apache-2.0
// The strings of templates: UTF-8 bytes that remember which ranges came from where. Concatenation,
// slicing and everything built on them keep exact ranges; other operations mark the whole result
// (marked_like). Also the builder that all output is collected in.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "text/unicode.h"

namespace gradus::jinja {

// Bytes [begin, end) come from `source`: message number source >= 0, or generation block
// -1 - source.
struct Trace {
  size_t begin = 0, end = 0;
  int64_t source = 0;
};

struct Text {
  std::string bytes;
  std::vector<Trace> traces;  // by begin; those of one source do not overlap
  bool markup = false;        // Jinja's |safe: joined plain text is HTML-escaped

  Text() = default;
  Text(std::string text) : bytes(std::move(text)) {}
  Text(std::string_view text) : bytes(text) {}
  Text(const char* text) : bytes(text) {}

  // All throw Failure beyond kMaxTextBytes.
  void append(std::string_view text);
  void append(const std::string& text) { append(std::string_view(text)); }
  void append(const char* text) { append(std::string_view(text)); }
  void append(const Text& text) { append(text, 0, text.bytes.size()); }
  void append(const Text& text, size_t begin, size_t end);
  // `text` was computed from `origin`.
  void append_marked(std::string_view text, const Text& origin);
  // Bytes [begin, size) come from `source`.
  void mark(size_t begin, int64_t source);

  Text slice(size_t begin, size_t end) const;
};

// `bytes`, wholly marked with every source of `origin`.
Text marked_like(std::string bytes, const Text& origin);
// HTML-escaped: & < > " ' as markupsafe does.
Text escape_html(const Text& text);

// UTF-8. Texts are valid: the template and its JSON input were checked when they were read.
inline char32_t next_code_point(std::string_view text, size_t& offset) {
  const CodePoint code_point = decode_utf8(text, offset);
  offset += code_point.bytes;
  return code_point.value;
}
bool is_ascii(std::string_view text);
// Byte offsets of all code points, and the size as the last entry.
std::vector<size_t> code_point_offsets(std::string_view text);
std::u32string to_code_points(std::string_view text);
std::string to_utf8(const std::u32string& code_points);

}  // namespace gradus::jinja
