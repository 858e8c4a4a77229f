// SPDX-License-Identifier: Apache-2.0
// Arguments of the recurrences of RWKV-4 (Peng et al. 2023) and RWKV-7 (Peng et al. 2025); common
// rules in kernels.h, the equations in tensor/recurrence.h. Backward passes hold no state per
// token: the forward pass leaves the state of each kWkvChunk tokens, from which they run it again.
#pragma once

#include "tensor/cpu/types.h"

namespace gradus::cpu {

constexpr int64_t kWkvChunk = 32;

// Consecutive tokens [begin, end) of one sequence.
struct WkvSegment {
  int64_t begin = 0, end = 0;
  const float* from = nullptr;  // the state before the first token; null: of no past
  float* to = nullptr;          // gets the state after the last; null: not kept; may be `from`
  int64_t first_chunk = 0;      // of its ceil(tokens / kWkvChunk) places in `chunks`
};

// A state is [3, A]: numerator and denominator, both divided by e^maximum, and the maximum.
struct Wkv4 {
  const float* decay = nullptr;  // [A]
  const float* first = nullptr;  // [A]
  const void* k = nullptr;       // [T, A], as v
  const void* v = nullptr;
  DType dtype = DType::kFloat32;
  const WkvSegment* segments = nullptr;
  int64_t segment_count = 0;
  int64_t width = 0;        // A
  void* out = nullptr;      // [T, A]
  float* chunks = nullptr;  // [chunks, 3, A], or null
  int threads = 0;
};
struct Wkv4Backward {
  Wkv4 forward;  // with chunks; `from` and `to` are not looked at: every segment has no past
  const void* dout = nullptr;
  void* dk = nullptr;
  void* dv = nullptr;
  float* ddecay = nullptr;  // [A], as dfirst
  float* dfirst = nullptr;
};

// A state is [H, Dh, Dh], keys first.
struct Wkv7 {
  const void* r = nullptr;          // [T, H, Dh], as the others
  const void* log_decay = nullptr;  // at most 0
  const void* k = nullptr;
  const void* v = nullptr;
  const void* a = nullptr;
  const void* b = nullptr;
  DType dtype = DType::kFloat32;
  const WkvSegment* segments = nullptr;
  int64_t segment_count = 0;
  int64_t heads = 0;
  int64_t head_dim = 0;      // Dh: 16, 32, 64 or 128
  void* out = nullptr;       // [T, H, Dh]
  float* removed = nullptr;  // [T, H, Dh], the products of state and a; or null
  float* chunks = nullptr;   // [chunks, H, Dh, Dh]; or null
  int threads = 0;
};
struct Wkv7Backward {
  Wkv7 forward;  // with removed and chunks; as in Wkv4Backward
  const void* dout = nullptr;
  void* dr = nullptr;
  void* dlog_decay = nullptr;
  void* dk = nullptr;
  void* dv = nullptr;
  void* da = nullptr;
  void* db = nullptr;
};

}  // namespace gradus::cpu
