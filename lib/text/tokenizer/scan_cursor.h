// SPDX-License-Identifier: Apache-2.0
// A text as word scanners read it: by classes of characters. What the expressions of tokenizers
// have in common is here; functions named skip_x return the end of the longest run of x that starts
// at `at`.
#pragma once

#include "text/unicode_classes.h"

namespace gradus {

class ScanCursor {
 public:
  ScanCursor(std::string_view text, const uint8_t* classes) : text_(text), classes_(classes) {}

  size_t size() const { return text_.size(); }
  char byte(size_t at) const { return at < text_.size() ? text_[at] : '\0'; }
  // At the end of the text: a space of no bytes.
  ClassedChar at(size_t place) const {
    return place < text_.size() ? class_at(classes_, text_, place) : ClassedChar{kSpaceChar, 0};
  }
  char32_t code_point(size_t at) const { return decode_utf8(text_, at).value; }
  bool is_line_end(size_t at) const { return byte(at) == '\n' || byte(at) == '\r'; }
  bool is(size_t at, uint8_t any_of) const { return (this->at(at).char_class & any_of) != 0; }

  size_t skip_any(size_t at, uint8_t classes) const {
    while (at < text_.size()) {
      const ClassedChar c = class_at(classes_, text_, at);
      if (!(c.char_class & classes)) break;
      at += c.bytes;
    }
    return at;
  }
  size_t skip_none(size_t at, uint8_t classes) const {
    while (at < text_.size()) {
      const ClassedChar c = class_at(classes_, text_, at);
      if (c.char_class & classes) break;
      at += c.bytes;
    }
    return at;
  }
  // At most `limit` numbers.
  size_t skip_numbers(size_t at, int limit) const {
    for (; limit > 0 && is(at, kNumberChar); --limit) at += this->at(at).bytes;
    return at;
  }
  size_t skip_line_ends(size_t at) const {
    while (is_line_end(at)) ++at;
    return at;
  }
  size_t skip_line_ends_and_slashes(size_t at) const {
    while (is_line_end(at) || byte(at) == '/') ++at;
    return at;
  }

  // \s+(?!\S)|\s+ for the run of space [at, end): all of it before the end of the text, else all
  // but its last character, if it has several.
  size_t space_word(size_t at, size_t end) const {
    if (end == text_.size()) return end;
    size_t last = end - 1;
    while ((text_[last] & 0xC0) == 0x80) --last;
    return last > at ? last : end;
  }
  // \s*[\r\n]+|\s+(?!\S)|\s+ at a space.
  size_t line_end_or_space_word(size_t at) const {
    const size_t end = skip_any(at, kSpaceChar);
    size_t last_line_end = end;  // \s*[\r\n]+ takes space up to the last line end of the run
    while (last_line_end > at && !is_line_end(last_line_end - 1)) --last_line_end;
    return last_line_end > at ? last_line_end : space_word(at, end);
  }

  // 's 't 're 've 'm 'll 'd in lower case; 0 when there is none.
  size_t contraction(size_t at) const {
    if (byte(at) != '\'') return 0;
    return known_contraction(at, byte(at + 1), byte(at + 2));
  }
  // The same in any case, the long s included.
  size_t any_contraction(size_t at) const {
    if (byte(at) != '\'') return 0;
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c; };
    if (text_.substr(at + 1).starts_with("\u017F")) return at + 3;
    return known_contraction(at, lower(byte(at + 1)), lower(byte(at + 2)));
  }

 private:
  static size_t known_contraction(size_t at, char first, char second) {
    if (first == 's' || first == 't' || first == 'm' || first == 'd') return at + 2;
    const bool two =
        ((first == 'r' || first == 'v') && second == 'e') || (first == 'l' && second == 'l');
    return two ? at + 3 : 0;
  }

  std::string_view text_;
  const uint8_t* classes_;
};

}  // namespace gradus
