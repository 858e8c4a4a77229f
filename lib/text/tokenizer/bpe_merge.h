// SPDX-License-Identifier: Apache-2.0
// The merges of a byte-pair encoding, and how they are applied as written: the pair of neighbours
// with the lowest rank is merged, the leftmost first, until no pair has a rank.
#pragma once

#include <bit>
#include <cstdint>
#include <vector>

#include "text/tokenizer/model.h"

namespace gradus {

inline constexpr uint32_t kNoRank = UINT32_MAX;

struct Merge {
  uint32_t rank = kNoRank;
  TokenId id = -1;
};

// (left id, right id) to merge, with open addressing.
class MergeTable {
 public:
  void reserve(size_t count) {
    size_t slots = 16;
    while (slots < count * 2) slots *= 2;
    slots_.assign(slots, {});
    shift_ = 64 - static_cast<int>(std::countr_zero(slots));
  }

  // A pair given twice keeps the later rank.
  void set(TokenId left, TokenId right, Merge merge) {
    slots_[slot_of(key_of(left, right))] = {key_of(left, right), merge};
  }

  Merge find(TokenId left, TokenId right) const {
    return slots_[slot_of(key_of(left, right))].merge;
  }

  // Calls visit(left, right, merge) for every merge, in no order.
  template <class Visit>
  void for_each(Visit&& visit) const {
    for (const Slot& slot : slots_) {
      if (slot.key != kFree)
        visit(static_cast<TokenId>(slot.key >> 32), static_cast<TokenId>(slot.key), slot.merge);
    }
  }

 private:
  static constexpr uint64_t kFree = UINT64_MAX;
  struct Slot {
    uint64_t key = kFree;
    Merge merge;
  };

  static uint64_t key_of(TokenId left, TokenId right) {
    return static_cast<uint64_t>(static_cast<uint32_t>(left)) << 32 | static_cast<uint32_t>(right);
  }
  size_t slot_of(uint64_t key) const {
    const size_t mask = slots_.size() - 1;
    size_t slot = (key * 0x9E3779B97F4A7C15ull) >> shift_;
    while (slots_[slot].key != kFree && slots_[slot].key != key) slot = (slot + 1) & mask;
    return slot;
  }

  std::vector<Slot> slots_;
  int shift_ = 60;
};

// Merges symbols [begin, end of the list) in place. Short lists search a small array, long ones
// use a heap (n log n).
void merge_symbols(const MergeTable& table, std::vector<Symbol>& symbols, size_t begin);

}  // namespace gradus
