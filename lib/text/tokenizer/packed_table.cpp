// SPDX-License-Identifier: Apache-2.0
#include "text/tokenizer/packed_table.h"

#include <algorithm>

namespace gradus {

void PackedTable::reserve(size_t count) {
  const size_t slots = std::bit_ceil(std::max<size_t>(16, count * 3 / 2));
  slots_.assign(slots, kFree);
  shift_ = 64 - std::countr_zero(slots);
  const size_t words = std::bit_ceil(std::max<size_t>(16, count / 8));
  filter_.assign(words, 0);
  filter_shift_ = 64 - std::countr_zero(words);
}

void PackedTable::add(uint32_t first, uint32_t second, uint32_t value) {
  const uint64_t key = key_of(first, second), mixed = key * kMix;
  filter_[mixed >> filter_shift_] |= filter_bits(mixed);
  size_t slot = mixed >> shift_;
  while (slots_[slot] != kFree) slot = (slot + 1) & (slots_.size() - 1);
  slots_[slot] = key << kBits | value;
}

}  // namespace gradus
