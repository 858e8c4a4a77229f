// SPDX-License-Identifier: Apache-2.0
// The tokens of recent short words of one thread: most of a text is a few ten thousand words.
#pragma once

#include <cstdint>
#include <cstring>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace gradus {

inline constexpr size_t kCachedWordBytes = 16;

// A word of at most kCachedWordBytes bytes as two numbers.
struct WordKey {
  uint64_t low = 0, high = 0;

  // The word [begin, end) of `text`; reads whole blocks where the text goes on.
  static WordKey of(std::string_view text, size_t begin, size_t end) {
    WordKey key;
    const size_t bytes = end - begin;
    if (begin + kCachedWordBytes <= text.size()) {
      std::memcpy(&key, text.data() + begin, kCachedWordBytes);
      if (bytes <= 8) {
        key.high = 0;
        key.low &= ~uint64_t{0} >> (64 - 8 * bytes);
      } else {
        key.high &= ~uint64_t{0} >> (128 - 8 * bytes);
      }
    } else {
      std::memcpy(&key, text.data() + begin, bytes);
    }
    return key;
  }
};

// A newer word replaces an older one in its slot; one slot is one cache line.
class WordCache {
 public:
  static constexpr size_t kMaxTokens = 10;
  struct Slot {
    WordKey key;
    uint32_t owner = 0;  // which tokenizer; 0: empty
    uint16_t bytes = 0, count = 0;
    TokenId ids[kMaxTokens];

    bool holds(const WordKey& wanted, uint32_t by, size_t size) const {
      return key.low == wanted.low && key.high == wanted.high && owner == by && bytes == size;
    }
  };

  // When a thread ends the next one takes its cache over, words and all: every batch is encoded by
  // new threads.
  static WordCache& of_this_thread();

  WordCache() : slots_(size_t{1} << kSlotBits) {}
  Slot& slot(const WordKey& key, uint32_t owner) {
    const uint64_t mixed =
        (key.low ^ owner) * 0x9E3779B97F4A7C15ull ^ key.high * 0xC2B2AE3D27D4EB4Full;
    return slots_[(mixed * 0x9E3779B97F4A7C15ull) >> (64 - kSlotBits)];
  }

 private:
  static constexpr int kSlotBits = 16;
  std::vector<Slot> slots_;
};

}  // namespace gradus
