// SPDX-License-Identifier: Apache-2.0
#include "text/jinja/python_str.h"

#include <unicode/bytestream.h>
#include <unicode/casemap.h>
#include <unicode/uchar.h>
#include <unicode/ustring.h>

#include "text/jinja/budget.h"
#include "text/jinja/traced_text.h"

namespace gradus::jinja {
namespace {

UChar32 point(char32_t c) { return static_cast<UChar32>(c); }

bool in_category(char32_t c, uint32_t mask) { return (U_GET_GC_MASK(point(c)) & mask) != 0; }

int32_t numeric_type(char32_t c) { return u_getIntPropertyValue(point(c), UCHAR_NUMERIC_TYPE); }

// One of ICU's conversions in the root locale: f(source, size, sink, status).
template <class Convert>
std::string converted(std::string_view text, Convert convert) {
  std::string out;
  icu::StringByteSink<std::string> sink(&out);
  UErrorCode status = U_ZERO_ERROR;
  convert(icu::StringPiece(text.data(), static_cast<int32_t>(text.size())), sink, status);
  if (U_FAILURE(status)) throw Failure(u_errorName(status));
  return out;
}

std::string title_letter(std::string_view letter) {
  return converted(letter, [](icu::StringPiece text, icu::ByteSink& sink, UErrorCode& status) {
    constexpr uint32_t kAsIs = U_TITLECASE_WHOLE_STRING | U_TITLECASE_NO_BREAK_ADJUSTMENT;
    icu::CaseMap::utf8ToTitle("", kAsIs, nullptr, text, sink, nullptr, status);
  });
}

// Σ ends a word as ς: a cased letter before it, none after it, ignoring marks and the like.
bool ends_word(const std::u32string& text, size_t i) {
  const auto has = [](char32_t c, UProperty property) {
    return u_hasBinaryProperty(point(c), property) != 0;
  };
  size_t before = i;
  while (before > 0 && has(text[before - 1], UCHAR_CASE_IGNORABLE)) --before;
  if (before == 0 || !has(text[before - 1], UCHAR_CASED)) return false;
  size_t after = i + 1;
  while (after < text.size() && has(text[after], UCHAR_CASE_IGNORABLE)) ++after;
  return after == text.size() || !has(text[after], UCHAR_CASED);
}

std::string letter_at(const std::u32string& text, size_t i) {
  std::string letter;
  append_utf8(letter, text[i]);
  return letter;
}

std::string lower_letter(const std::u32string& text, size_t i) {
  constexpr char32_t kSigma = 0x3A3;
  if (text[i] == kSigma) return ends_word(text, i) ? "\u03c2" : "\u03c3";
  return to_lower(letter_at(text, i));
}

}  // namespace

bool is_space(char32_t c) {
  if (c < 0x80) return c == ' ' || (c >= 9 && c <= 13) || (c >= 0x1C && c <= 0x1F);
  const UCharDirection direction = u_charDirection(point(c));
  return in_category(c, U_GC_ZS_MASK) || direction == U_WHITE_SPACE_NEUTRAL ||
         direction == U_BLOCK_SEPARATOR || direction == U_SEGMENT_SEPARATOR;
}

bool is_alphabetic(char32_t c) { return in_category(c, U_GC_L_MASK); }
bool is_decimal(char32_t c) { return numeric_type(c) == U_NT_DECIMAL; }
bool is_digit(char32_t c) { return is_decimal(c) || numeric_type(c) == U_NT_DIGIT; }
bool is_numeric(char32_t c) { return numeric_type(c) != U_NT_NONE; }
bool is_alphanumeric(char32_t c) { return is_alphabetic(c) || is_numeric(c); }
bool is_word_character(char32_t c) { return c == '_' || is_alphanumeric(c); }
bool is_printable(char32_t c) { return c == ' ' || !in_category(c, U_GC_C_MASK | U_GC_Z_MASK); }
bool is_upper(char32_t c) { return u_isUUppercase(point(c)) != 0; }
bool is_lower(char32_t c) { return u_isULowercase(point(c)) != 0; }
bool is_title(char32_t c) { return in_category(c, U_GC_LT_MASK); }
bool is_cased(char32_t c) { return is_upper(c) || is_lower(c) || in_category(c, U_GC_LT_MASK); }
bool is_identifier_start(char32_t c) {
  return c == '_' || u_hasBinaryProperty(point(c), UCHAR_XID_START) != 0;
}
bool is_identifier_part(char32_t c) {
  return c == '_' || u_hasBinaryProperty(point(c), UCHAR_XID_CONTINUE) != 0;
}

std::string to_upper(std::string_view text) {
  spend_bytes(text.size());
  return converted(text, [](icu::StringPiece piece, icu::ByteSink& sink, UErrorCode& status) {
    icu::CaseMap::utf8ToUpper("", 0, piece, sink, nullptr, status);
  });
}

std::string to_lower(std::string_view text) {
  spend_bytes(text.size());
  return converted(text, [](icu::StringPiece piece, icu::ByteSink& sink, UErrorCode& status) {
    icu::CaseMap::utf8ToLower("", 0, piece, sink, nullptr, status);
  });
}

std::string fold_case(std::string_view text) {
  spend_bytes(text.size());
  return converted(text, [](icu::StringPiece piece, icu::ByteSink& sink, UErrorCode& status) {
    icu::CaseMap::utf8Fold(0, piece, sink, nullptr, status);
  });
}

std::string to_title(std::string_view text) {
  std::string out;
  const std::u32string letters = to_code_points(text);
  bool in_word = false;
  for (size_t i = 0; i < letters.size(); ++i) {
    out += in_word ? lower_letter(letters, i) : title_letter(letter_at(letters, i));
    in_word = is_cased(letters[i]);
  }
  return out;
}

std::string capitalize(std::string_view text) {
  std::string out;
  const std::u32string letters = to_code_points(text);
  for (size_t i = 0; i < letters.size(); ++i) {
    out += i > 0 ? lower_letter(letters, i) : title_letter(letter_at(letters, i));
  }
  return out;
}

std::string swap_case(std::string_view text) {
  std::string out;
  const std::u32string letters = to_code_points(text);
  for (size_t i = 0; i < letters.size(); ++i) {
    out += is_upper(letters[i])   ? lower_letter(letters, i)
           : is_lower(letters[i]) ? to_upper(letter_at(letters, i))
                                  : letter_at(letters, i);
  }
  return out;
}

}  // namespace gradus::jinja
