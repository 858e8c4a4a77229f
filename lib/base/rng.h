// SPDX-License-Identifier: Apache-2.0
// Random numbers that depend on (seed, stream, index) alone, so that any position can be reached
// in O(1): resume needs no replay, and the order does not depend on ranks or threads.
#pragma once

#include <cstdint>

namespace gradus {

// A 64-bit value from a key and a counter (SplitMix64 finaliser over both).
uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t index);
// Uniform in [0, 1).
double random_uniform(uint64_t seed, uint64_t stream, uint64_t index);

// A pseudo-random permutation of [0, size) evaluated point by point: a Feistel network over the
// next power of four, cycle-walked into range.
class Permutation {
 public:
  Permutation(uint64_t size, uint64_t seed, uint64_t stream = 0);
  uint64_t operator()(uint64_t index) const;  // index < size
  uint64_t size() const { return size_; }

 private:
  uint64_t size_, seed_, stream_;
  int half_bits_;
};

}  // namespace gradus
