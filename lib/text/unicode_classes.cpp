// SPDX-License-Identifier: Apache-2.0
#include "text/unicode_classes.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <vector>

#include "text/unicode_additions.h"

namespace gradus {
namespace {

constexpr size_t kCodePoints = 0x110000;

// Of a general category by its two letters.
uint8_t class_of(std::string_view category) {
  switch (category[0]) {
    case 'L':
      return kLetterChar | (category[1] == 'u' || category[1] == 't' ? kUpperChar
                            : category[1] == 'l'                     ? kLowerChar
                                                                     : kCaselessChar);
    case 'M':
      return kMarkChar;
    case 'N':
      return kNumberChar;
    case 'P':
    case 'S':
      return kSymbolChar;
    default:
      return kOtherChar;
  }
}

// In the order of ICU's UCharCategory.
constexpr std::string_view kCategories =
    "CnLuLlLtLmLoMnMeMcNdNlNoZsZlZpCcCfCoCsPdPsPePcPoSmScSkSoPiPf";
static_assert(kCategories.size() == 2 * U_CHAR_CATEGORY_COUNT);

UBool add_range(const void* context, UChar32 begin, UChar32 end, UCharCategory category) {
  auto* classes = static_cast<uint8_t*>(const_cast<void*>(context));
  std::fill(classes + begin, classes + end, class_of(kCategories.substr(2 * category, 2)));
  return true;
}

std::vector<uint8_t> make_classes() {
  std::vector<uint8_t> classes(kCodePoints, kOtherChar);
  u_enumCharTypes(add_range, classes.data());
  for (const AddedRange& range : kUnicodeAdditions)
    std::fill(classes.begin() + range.first, classes.begin() + range.last + 1,
              class_of(range.category));
  for (char32_t c = 0; c <= 0x3000; ++c) {
    if (is_white_space(c)) classes[c] = kSpaceChar;
  }
  return classes;
}

}  // namespace

const uint8_t* char_classes() {
  static const std::vector<uint8_t> kClasses = make_classes();
  return kClasses.data();
}

}  // namespace gradus
