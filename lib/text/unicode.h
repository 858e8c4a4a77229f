// SPDX-License-Identifier: Apache-2.0
// UTF-8 and the Unicode facts that tokenizers need. Properties and normal forms are those of the
// Unicode versions that the `tokenizers` package is built with, because models were trained on its
// results.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace gradus {

struct CodePoint {
  char32_t value = 0;
  uint32_t bytes = 0;
};

// The code point that starts at text[at]; `text` is valid UTF-8 and at < text.size().
CodePoint decode_utf8(std::string_view text, size_t at);
// The code point that ends before text[end]; end > 0.
CodePoint decode_utf8_before(std::string_view text, size_t end);
void append_utf8(std::string& out, char32_t value);
size_t count_code_points(std::string_view text);

// Offset of the first byte that is not part of well-formed UTF-8.
std::optional<size_t> find_invalid_utf8(std::string_view text);
// Each maximal ill-formed part becomes one U+FFFD, as Unicode recommends and Rust and Python do.
std::string utf8_lossy(std::string_view bytes);
// How many bytes at the end begin a character that more bytes could complete: 0 to 3.
size_t unfinished_utf8(std::string_view bytes);

bool is_white_space(char32_t c);      // property White_Space
bool is_numeric(char32_t c);          // general category N
bool is_word(char32_t c);             // \w of UTS 18
bool is_punctuation(char32_t c);      // ASCII punctuation or general category P
bool is_combining_mark(char32_t c);   // general category M
bool is_nonspacing_mark(char32_t c);  // general category Mn
bool is_control(char32_t c);          // general categories Cc, Cf and Co
// Whether the code point was assigned by this version of Unicode (1 to 15).
bool assigned_by(char32_t c, int version);
// The full lower case of one code point (U+0130 gives two), without regard to its neighbours.
void append_lower(std::string& out, char32_t c);

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };

// Calls visit(begin, end, text) for consecutive parts of `text` that normalise independently; text
// is the normalised part. Returns false, without a call, when nothing would change.
template <class Visit>
bool normalize_parts(std::string_view text, NormalForm form, Visit&& visit);

namespace detail {
// The next part that starts at text[at]: its end, and in `changed` its normal form if it differs.
size_t next_normal_part(std::string_view text, size_t at, NormalForm form,
                        std::optional<std::string>& changed);
}  // namespace detail

template <class Visit>
bool normalize_parts(std::string_view text, NormalForm form, Visit&& visit) {
  std::optional<std::string> changed;
  size_t begin = 0, end = 0;
  for (; begin < text.size(); begin = end) {
    end = detail::next_normal_part(text, begin, form, changed);
    if (changed) break;
  }
  if (!changed) return false;
  if (begin > 0) visit(size_t{0}, begin, text.substr(0, begin));
  while (begin < text.size()) {
    visit(begin, end, changed ? std::string_view(*changed) : text.substr(begin, end - begin));
    begin = end;
    if (begin < text.size()) end = detail::next_normal_part(text, begin, form, changed);
  }
  return true;
}

}  // namespace gradus
