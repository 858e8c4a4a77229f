// SPDX-License-Identifier: Apache-2.0
// Sorted tables behind unicode.h.
#pragma once

#include <cstdint>
#include <vector>

namespace gradus::jinja {

struct CodePointRange {
  char32_t first, last;
};

// Code points first, first + stride, …, last map to themselves + delta.
struct CaseRange {
  char32_t first, last;
  uint32_t stride;
  int32_t delta;
};

struct CaseSpecial {
  char32_t from;
  const char32_t* to;
};

const std::vector<CodePointRange>& alphabetic_ranges();
const std::vector<CodePointRange>& decimal_ranges();
const std::vector<CodePointRange>& digit_ranges();
const std::vector<CodePointRange>& numeric_ranges();
const std::vector<CodePointRange>& space_ranges();
const std::vector<CodePointRange>& unprintable_ranges();
const std::vector<CaseRange>& lower_ranges();
const std::vector<CaseRange>& upper_ranges();
const std::vector<CaseRange>& title_ranges();  // where title case is not upper case
const std::vector<CaseSpecial>& lower_specials();
const std::vector<CaseSpecial>& upper_specials();
const std::vector<CaseSpecial>& title_specials();

}  // namespace gradus::jinja
