// SPDX-License-Identifier: Apache-2.0
// Translates a regular expression from Oniguruma's syntax (what tokenizer.json files are written
// in) to one for PCRE2 with UTF, UCP and MULTILINE, so that both match the same text. What differs:
// \s \w \h \v \b, (?m), isolated (?i), ^ and $, {,n}, {n,m}+, nested classes and &&, script names,
// POSIX brackets, and the Unicode version.
// Source: Oniguruma 6.9 doc/RE, pcre2pattern(3).
#pragma once

#include <string>

namespace gradus {

// Throws gradus::Error naming `where` for syntax that has no counterpart.
std::string oniguruma_to_pcre2(const std::string& pattern, const std::string& where);

}  // namespace gradus
