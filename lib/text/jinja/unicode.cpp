// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/unicode.h"

#include <algorithm>

#include "text/jinja/budget.h"
#include "text/jinja/traced_text.h"
#include "text/jinja/unicode_tables.h"

namespace gradus::jinja {
namespace {

using Ranges = std::vector<CodePointRange>;
using Cases = std::vector<CaseRange>;
using Specials = std::vector<CaseSpecial>;

template <class Table>
auto last_not_after(const Table& table, char32_t c) {
  auto after = std::upper_bound(table.begin(), table.end(), c,
                                [](char32_t x, const auto& range) { return x < range.first; });
  return after == table.begin() ? table.end() : std::prev(after);
}

bool inside(const Ranges& ranges, char32_t c) {
  const auto range = last_not_after(ranges, c);
  return range != ranges.end() && c <= range->last;
}

char32_t mapped(const Cases& cases, char32_t c) {
  // Runs of stride 2 may interleave, so the neighbour before is looked at too.
  auto range = last_not_after(cases, c);
  for (int tries = 0; tries < 3 && range != cases.end(); ++tries) {
    if (c <= range->last && (c - range->first) % range->stride == 0) {
      return static_cast<char32_t>(static_cast<int64_t>(c) + range->delta);
    }
    if (range == cases.begin()) break;
    --range;
  }
  return c;
}

const char32_t* special(const Specials& specials, char32_t c) {
  for (const CaseSpecial& entry : specials) {
    if (entry.from == c) return entry.to;
  }
  return nullptr;
}

void append_case(std::string& out, char32_t c, const Cases& cases, const Specials& specials) {
  if (const char32_t* many = c < 0x80 ? nullptr : special(specials, c)) {
    out += to_utf8(many);
  } else {
    append_utf8(out, mapped(cases, c));
  }
}

void append_upper(std::string& out, char32_t c) {
  if (c >= 'a' && c <= 'z') {
    out += static_cast<char>(c - 32);
  } else {
    append_case(out, c, upper_ranges(), upper_specials());
  }
}

void append_title(std::string& out, char32_t c) {
  if (const char32_t* many = c < 0x80 ? nullptr : special(title_specials(), c)) {
    out += to_utf8(many);
    return;
  }
  const auto& titles = title_ranges();
  const auto found = last_not_after(titles, c);
  if (found != titles.end() && c == found->first) {
    append_utf8(out, mapped(titles, c));
  } else {
    append_upper(out, c);
  }
}

// Σ ends a word as ς: a cased letter before it, none after it.
bool ends_word(const std::u32string& text, size_t i) {
  const auto ignorable = [](char32_t c) { return !is_cased(c) && !is_alphabetic(c) && c > 0x20; };
  size_t before = i;
  while (before > 0 && ignorable(text[before - 1])) --before;
  if (before == 0 || !is_cased(text[before - 1])) return false;
  size_t after = i + 1;
  while (after < text.size() && ignorable(text[after])) ++after;
  return after == text.size() || !is_cased(text[after]);
}

void append_lower(std::string& out, const std::u32string& text, size_t i) {
  constexpr char32_t kSigma = 0x3A3, kFinalSigma = 0x3C2;
  const char32_t c = text[i];
  if (c == kSigma && ends_word(text, i)) {
    append_utf8(out, kFinalSigma);
  } else {
    append_case(out, c, lower_ranges(), lower_specials());
  }
}

}  // namespace

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F);
  return inside(space_ranges(), c);
}

bool is_alphabetic(char32_t c) { return inside(alphabetic_ranges(), c); }
bool is_decimal(char32_t c) { return inside(decimal_ranges(), c); }
bool is_digit(char32_t c) { return inside(digit_ranges(), c); }
bool is_numeric(char32_t c) { return inside(numeric_ranges(), c); }
bool is_printable(char32_t c) { return !inside(unprintable_ranges(), c); }
bool is_upper(char32_t c) {
  return mapped(lower_ranges(), c) != c && mapped(title_ranges(), c) == c;
}
bool is_lower(char32_t c) {
  return (mapped(upper_ranges(), c) != c && mapped(lower_ranges(), c) == c) ||
         (c >= 0x80 && special(upper_specials(), c) != nullptr);
}
bool is_cased(char32_t c) { return mapped(lower_ranges(), c) != c || is_lower(c); }
bool is_identifier_start(char32_t c) { return c == '_' || is_alphabetic(c); }
bool is_identifier_part(char32_t c) { return is_identifier_start(c) || is_decimal(c); }

std::string to_upper(std::string_view text) {
  spend_bytes(text.size());
  std::string out;
  for (size_t i = 0; i < text.size();) append_upper(out, decode_utf8(text, i));
  return out;
}

std::string to_lower(std::string_view text) {
  spend_bytes(text.size());
  std::string out;
  if (is_ascii(text)) {
    for (const char c : text) out += c >= 'A' && c <= 'Z' ? static_cast<char>(c + 32) : c;
    return out;
  }
  const std::u32string code_points = to_code_points(text);
  for (size_t i = 0; i < code_points.size(); ++i) append_lower(out, code_points, i);
  return out;
}

std::string to_title(std::string_view text) {
  spend_bytes(text.size());
  std::string out;
  const std::u32string code_points = to_code_points(text);
  bool in_word = false;
  for (size_t i = 0; i < code_points.size(); ++i) {
    if (in_word) {
      append_lower(out, code_points, i);
    } else {
      append_title(out, code_points[i]);
    }
    in_word = is_cased(code_points[i]);
  }
  return out;
}

std::string capitalize(std::string_view text) {
  spend_bytes(text.size());
  std::string out;
  const std::u32string code_points = to_code_points(text);
  for (size_t i = 0; i < code_points.size(); ++i) {
    if (i == 0) {
      append_title(out, code_points[0]);
    } else {
      append_lower(out, code_points, i);
    }
  }
  return out;
}

std::string swap_case(std::string_view text) {
  spend_bytes(text.size());
  std::string out;
  const std::u32string code_points = to_code_points(text);
  for (size_t i = 0; i < code_points.size(); ++i) {
    if (is_upper(code_points[i])) {
      append_lower(out, code_points, i);
    } else {
      append_upper(out, code_points[i]);
    }
  }
  return out;
}

}  // namespace gradus::jinja
