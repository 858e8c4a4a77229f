// SPDX-License-Identifier: Apache-2.0
#include "text/unicode_classes.h"

#include <unicode/uchar.h>

#include <algorithm>
#include <vector>

#include "text/unicode_additions.h"

namespace gradus {
namespace {

constexpr size_t kCodePoints = 0x110000;

uint8_t class_of(char category) {
  return category == 'L' ? kLetterChar : category == 'N' ? kNumberChar : kOtherChar;
}

UBool add_range(const void* context, UChar32 begin, UChar32 end, UCharCategory category) {
  const uint32_t mask = U_MASK(category);
  const char letter = mask & U_GC_L_MASK ? 'L' : mask & U_GC_N_MASK ? 'N' : 'C';
  auto* classes = static_cast<uint8_t*>(const_cast<void*>(context));
  std::fill(classes + begin, classes + end, class_of(letter));
  return true;
}

std::vector<uint8_t> make_classes() {
  std::vector<uint8_t> classes(kCodePoints, kOtherChar);
  u_enumCharTypes(add_range, classes.data());
  for (const AddedRange& range : kUnicodeAdditions)
    std::fill(classes.begin() + range.first, classes.begin() + range.last + 1,
              class_of(range.category[0]));
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
