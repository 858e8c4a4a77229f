// SPDX-License-Identifier: Apache-2.0
// Sets of characters in Oniguruma's terms, written for PCRE2: what its classes, properties and
// scripts hold, with the characters that Unicode added since the version of PCRE2.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace gradus {

// A set of characters: what stands inside a PCRE2 bracket, and patterns of one character each that
// cannot stand inside one.
struct CharSet {
  std::string items = {};
  std::vector<std::string> others = {};
};

std::string code_point(uint32_t value);

// Bracket items. named_items() takes names without capitals, spaces, '-' and '_'; property_items()
// takes them as written and makes `\p{name}` of one that is not known.
std::string category_items(const std::string& name);
std::string word_items();
std::string bare_word_items();  // \w outside of brackets
std::optional<std::string> named_items(const std::string& plain);
std::string property_items(const std::string& name);
// Code points that PCRE2 calls unassigned and Oniguruma does not.
std::string added_items();

// Patterns of one character: of a set, and of all operands of && in brackets.
std::string set_pattern(const CharSet& set);
std::string class_pattern(const std::vector<CharSet>& operands, bool negated);

}  // namespace gradus
