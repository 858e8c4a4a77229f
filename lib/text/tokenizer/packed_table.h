// SPDX-License-Identifier: Apache-2.0
// A hash table from pairs of small numbers to small numbers: 8 bytes per slot, and a filter that
// answers most questions about absent pairs from a few bits, because what it costs to ask is memory
// that is not in a near cache.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace gradus {

class PackedTable {
 public:
  static constexpr int kBits = 21;  // of each number
  static constexpr uint32_t kLimit = 1u << kBits, kAbsent = UINT32_MAX;

  // Room for `count` pairs; empties the table.
  void reserve(size_t count);
  // The pair is not in the table yet.
  void add(uint32_t first, uint32_t second, uint32_t value);

  uint32_t find(uint32_t first, uint32_t second) const {
    const uint64_t key = key_of(first, second), mixed = key * kMix;
    const uint64_t bits = filter_bits(mixed);
    if ((filter_[mixed >> filter_shift_] & bits) != bits) return kAbsent;
    for (size_t slot = mixed >> shift_;; slot = (slot + 1) & (slots_.size() - 1)) {
      if (slots_[slot] >> kBits == key) return static_cast<uint32_t>(slots_[slot] & (kLimit - 1));
      if (slots_[slot] == kFree) return kAbsent;
    }
  }

 private:
  static constexpr uint64_t kFree = UINT64_MAX, kMix = 0x9E3779B97F4A7C15ull;
  static uint64_t key_of(uint32_t first, uint32_t second) {
    return uint64_t{first} << kBits | second;
  }
  static uint64_t filter_bits(uint64_t mixed) {
    const uint64_t other = mixed ^ mixed >> 29;
    return uint64_t{1} << (other & 63) | uint64_t{1} << (other >> 6 & 63);
  }

  std::vector<uint64_t> slots_, filter_;
  int shift_ = 60, filter_shift_ = 60;
};

}  // namespace gradus
