// SPDX-License-Identifier: Apache-2.0
// Character classes and case conversion as Python's str defines them. Unicode's own classes, which
// tokenizers use, are in text/unicode.h.
#pragma once

#include <string>
#include <string_view>

namespace gradus::jinja {

bool is_space(char32_t c);
bool is_alphabetic(char32_t c);
bool is_decimal(char32_t c);
bool is_digit(char32_t c);
bool is_numeric(char32_t c);
bool is_alphanumeric(char32_t c);
bool is_word_character(char32_t c);  // \w of Python's re
bool is_printable(char32_t c);
bool is_cased(char32_t c);
bool is_upper(char32_t c);
bool is_lower(char32_t c);
bool is_title(char32_t c);
bool is_identifier_start(char32_t c);
bool is_identifier_part(char32_t c);

std::string to_upper(std::string_view text);
std::string to_lower(std::string_view text);
std::string fold_case(std::string_view text);   // str.casefold()
std::string to_title(std::string_view text);    // str.title()
std::string capitalize(std::string_view text);  // str.capitalize()
std::string swap_case(std::string_view text);

}  // namespace gradus::jinja
