// SPDX-License-Identifier: Apache-2.0
// SwiGLU (Shazeer 2020), forward and backward. See kernels.h.
#pragma once

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/simd/loops.h"

namespace gradus::cpu {
namespace {

// Slices of kSwigluColumns: one row of a decode step uses all threads too.
constexpr int64_t kSwigluColumns = 1024;

// body(row, first column, width) over [rows, width].
template <class Body>
inline void for_slices(int64_t rows, int64_t width, int threads, const Body& body) {
  const int64_t slices = ceil_div(width, kSwigluColumns);
  parallel_for(rows * slices, threads, [&](int64_t i) {
    const int64_t column = i % slices * kSwigluColumns;
    body(i / slices, column, min_of(kSwigluColumns, width - column));
  });
}

// silu(g) = g * sigmoid(g) as g / (1 + e^-g): 0 where e^-g overflows.
inline Vec vsilu(Vec g) { return g / (vset(1.0f) + vexp(vset(0.0f) - g)); }

inline void swiglu(const SwiGlu& args) {
  const int64_t bytes = 3 * args.rows * args.width * element_bytes(args.y.dtype);
  with_dtype(args.y.dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const auto body = [&](int64_t t, int64_t column, int64_t width) {
      const T* gate = row_of<T>(args.gate, t) + column;
      const T* up = row_of<T>(args.up, t) + column;
      T* y = row_of<T>(args.y, t) + column;
      for_each_vector(width, [&](auto v) { v.store(y, vsilu(v.load(gate)) * v.load(up)); });
    };
    for_slices(args.rows, args.width, threads_for_bytes(args.threads, bytes), body);
  });
}

// With s = sigmoid(g): d silu(g)/dg = s * (1 + g * (1 - s)).
inline void swiglu_backward(const SwiGluBackward& args) {
  const int64_t bytes = 5 * args.rows * args.width * element_bytes(args.dy.dtype);
  with_dtype(args.dy.dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const auto body = [&](int64_t t, int64_t column, int64_t width) {
      const T* gate = row_of<T>(args.gate, t) + column;
      const T* up = row_of<T>(args.up, t) + column;
      const T* dy = row_of<T>(args.dy, t) + column;
      T* dgate = row_of<T>(args.dgate, t) + column;
      T* dup = row_of<T>(args.dup, t) + column;
      for_each_vector(width, [&](auto v) {
        const Vec g = v.load(gate), u = v.load(up), d = v.load(dy);
        const Vec s = vsigmoid(g);
        const Vec slope = s * vfma(g, vset(1.0f) - s, vset(1.0f));
        v.store(dgate, d * u * slope);
        v.store(dup, d * g * s);
      });
    };
    for_slices(args.rows, args.width, threads_for_bytes(args.threads, bytes), body);
  });
}

}  // namespace
}  // namespace gradus::cpu
