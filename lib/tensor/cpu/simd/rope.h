// SPDX-License-Identifier: Apache-2.0
// Rotary position embedding (Su et al. 2021), in place. See Rope in kernels.h.
#pragma once

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/simd/loops.h"

namespace gradus::cpu {
namespace {

template <class T>
inline void rotate_halves(T* x, int64_t half, const float* cos, const float* sin, float sign) {
  for_each_vector(half, [&](auto v) {
    const Vec c = v.load(cos), s = v.load(sin) * vset(sign);
    const Vec a = v.load(x), b = v.load(x + half);
    v.store(x, a * c - b * s);
    v.store(x + half, b * c + a * s);
  });
}

// Pairs are split into two arrays, turned, and put back: 16 pairs at a time.
template <class T>
inline void rotate_interleaved(T* x, int64_t half, const float* cos, const float* sin, float sign) {
  for (int64_t i = 0; i < half; i += kLanes) {
    const int64_t count = min_of(kLanes, half - i);
    T* pairs = x + 2 * i;
    float a[kLanes] = {}, b[kLanes] = {};
    for (int64_t j = 0; j < count; ++j) {
      a[j] = load_one(pairs + 2 * j);
      b[j] = load_one(pairs + 2 * j + 1);
    }
    const bool whole = count == kLanes;
    const Vec cosine = whole ? vload(cos + i) : vload_n(cos + i, count);
    const Vec sine = (whole ? vload(sin + i) : vload_n(sin + i, count)) * vset(sign);
    T first[kLanes], second[kLanes];
    vstore(first, vload(a) * cosine - vload(b) * sine);
    vstore(second, vload(b) * cosine + vload(a) * sine);
    for (int64_t j = 0; j < count; ++j) {
      pairs[2 * j] = first[j];
      pairs[2 * j + 1] = second[j];
    }
  }
}

template <class T>
inline void rope_token(const Rope& args, int64_t t) {
  int64_t position = t;
  if (args.positions) position = args.positions[t];
  const int64_t half = args.rotary / 2;
  const float* cos = args.cos + position * half;
  const float* sin = args.sin + position * half;
  const float sign = args.direction == RopeDirection::kForward ? 1.0f : -1.0f;
  T* token = static_cast<T*>(args.x) + t * args.token_stride;
  for (int64_t h = 0; h < args.heads; ++h) {
    T* x = token + h * args.head_stride;
    if (args.pairs == RopePairs::kHalves) {
      rotate_halves(x, half, cos, sin, sign);
    } else {
      rotate_interleaved(x, half, cos, sin, sign);
    }
  }
}

inline void rope(const Rope& args) {
  const int64_t bytes = 2 * args.rows * args.heads * args.rotary * element_bytes(args.dtype);
  with_dtype(args.dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    parallel_for(args.rows, threads_for_bytes(args.threads, bytes),
                 [&](int64_t t) { rope_token<T>(args, t); });
  });
}

}  // namespace
}  // namespace gradus::cpu
