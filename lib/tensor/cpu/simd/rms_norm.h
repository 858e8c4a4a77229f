// SPDX-License-Identifier: Apache-2.0
// RMSNorm (Zhang & Sennrich 2019). See kernels.h.
#pragma once

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/simd/loops.h"

namespace gradus::cpu {
namespace {

template <class T, class W>
inline void rms_norm_row(const RmsNorm& args, int64_t t) {
  const T* x = row_of<T>(args.x, t);
  const float squares = vector_sum(args.width, [&](auto v) {
    const Vec value = v.load(x);
    return value * value;
  });
  const float mean = squares / static_cast<float>(args.width);
  const float reciprocal = 1.0f / __builtin_sqrtf(mean + args.eps);
  if (args.reciprocal_rms) args.reciprocal_rms[t] = reciprocal;
  const W* weight = static_cast<const W*>(args.weight.data);
  T* y = row_of<T>(args.y, t);
  for_each_vector(args.width, [&](auto v) {
    const Vec w = v.load(weight) + vset(args.weight_offset);
    v.store(y, v.load(x) * vset(reciprocal) * w);
  });
}

inline void rms_norm(const RmsNorm& args) {
  const int64_t bytes = 3 * args.rows * args.width * element_bytes(args.x.dtype);
  with_dtype(args.x.dtype, [&](auto x) {
    with_dtype(args.weight.dtype, [&](auto w) {
      using T = typename decltype(x)::Type;
      using W = typename decltype(w)::Type;
      parallel_for(args.rows, threads_for_bytes(args.threads, bytes),
                   [&](int64_t t) { rms_norm_row<T, W>(args, t); });
    });
  });
}

// With r = 1/rms and c = sum(dy * w * x) / D: dx = r * (dy * w) - r^3 * c * x.
template <class T, class W>
inline void rms_norm_dx(const RmsNormBackward& args, int64_t t) {
  const T* x = row_of<T>(args.x, t);
  const T* dy = row_of<T>(args.dy, t);
  T* dx = row_of<T>(args.dx, t);
  const W* weight = static_cast<const W*>(args.weight.data);
  const Vec offset = vset(args.weight_offset);
  const float dot = vector_sum(
      args.width, [&](auto v) { return v.load(dy) * (v.load(weight) + offset) * v.load(x); });
  const float r = args.reciprocal_rms[t];
  const Vec scale = vset(r), slope = vset(r * r * r * dot / static_cast<float>(args.width));
  for_each_vector(args.width, [&](auto v) {
    const Vec g = v.load(dy) * (v.load(weight) + offset) * scale;
    v.store(dx, vfnma(slope, v.load(x), g));
  });
}

// dweight of 4 vectors of columns: all rows in order, so no partial sums to merge.
template <class T>
inline void rms_norm_dweight(const RmsNormBackward& args, int64_t column, int64_t width) {
  Vec sum[4] = {vset(0.0f), vset(0.0f), vset(0.0f), vset(0.0f)};
  for (int64_t t = 0; t < args.rows; ++t) {
    const T* x = row_of<T>(args.x, t) + column;
    const T* dy = row_of<T>(args.dy, t) + column;
    const Vec r = vset(args.reciprocal_rms[t]);
    for_each_vector(width, [&](auto v) {
      Vec& s = sum[v.offset / kLanes];
      s = vfma(v.load(dy) * r, v.load(x), s);
    });
  }
  for_each_vector(width, [&](auto v) { v.store(args.dweight + column, sum[v.offset / kLanes]); });
}

inline void rms_norm_backward(const RmsNormBackward& args) {
  constexpr int64_t kColumns = 4 * kLanes;
  const int64_t bytes = 3 * args.rows * args.width * element_bytes(args.x.dtype);
  const int threads = threads_for_bytes(args.threads, bytes);
  with_dtype(args.x.dtype, [&](auto x) {
    using T = typename decltype(x)::Type;
    if (args.dweight) {  // before dx, which may overwrite dy
      parallel_for(ceil_div(args.width, kColumns), threads, [&](int64_t i) {
        const int64_t column = i * kColumns;
        rms_norm_dweight<T>(args, column, min_of(kColumns, args.width - column));
      });
    }
    if (!args.dx.data) return;
    with_dtype(args.weight.dtype, [&](auto w) {
      using W = typename decltype(w)::Type;
      parallel_for(args.rows, threads, [&](int64_t t) { rms_norm_dx<T, W>(args, t); });
    });
  });
}

}  // namespace
}  // namespace gradus::cpu
