// SPDX-License-Identifier: Apache-2.0
// Matrix times a few rows, weights row-major and unquantised. See Gemv in kernels.h.
//
// A row of weights is one stream; kStreams rows go together so that each load of x serves several
// and enough cache lines are in flight. Every (row of x, output) has one vector sum over K, then
// the fixed tree of vsum: independent of T, of the thread, and of the position of the row.
#pragma once

#include <cstddef>

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/simd/scratch.h"

namespace gradus::cpu {
namespace {

constexpr int64_t kGemvRows = 4;
constexpr int64_t kStreams = 4;

// One step of a dot product: kSpan columns of x and of w. x is in kSpan-padded fp32 or bf16.
template <class W>
struct FloatDot {
  using X = float;
  using Weight = W;
  static constexpr int64_t kSpan = kLanes;
  static Vec step(Vec acc, const W* w, const X* x) { return vfma(vload(w), vload(x), acc); }
  static Vec tail(Vec acc, const W* w, const X* x, int64_t n) {
    return vfma(vload_n(w, n), vload_n(x, n), acc);
  }
};

#if defined(__AVX512BF16__)
struct Bf16Dot {
  using X = Bf16;
  using Weight = Bf16;
  static constexpr int64_t kSpan = 32;
  static Vec add(Vec acc, __m512i w, __m512i x) {
    return {_mm512_dpbf16_ps(acc.v, (__m512bh)w, (__m512bh)x)};
  }
  static Vec step(Vec acc, const Bf16* w, const Bf16* x) {
    return add(acc, _mm512_loadu_si512(w), _mm512_loadu_si512(x));
  }
  static Vec tail(Vec acc, const Bf16* w, const Bf16* x, int64_t n) {
    const auto mask = static_cast<__mmask32>((1ull << n) - 1ull);
    return add(acc, _mm512_maskz_loadu_epi16(mask, w), _mm512_maskz_loadu_epi16(mask, x));
  }
};
#endif

template <class D>
struct GemvJob {
  const Gemv& args;
  const typename D::X* x;
  int64_t x_stride;
  int64_t row0;  // first row of x of this tile
};

// How far ahead of the weights in use to prefetch, in bytes: short rows end too soon, so the same
// place in the next kStreams rows.
inline int64_t gemv_prefetch_bytes(const Gemv& args) {
  const int64_t next_rows = kStreams * args.weight.stride * element_bytes(args.weight.dtype);
  return next_rows <= 8192 ? next_rows : 2048;
}

template <class D, int kRows, int kOutputs>
inline void gemv_outputs(const GemvJob<D>& job, int64_t n) {
  Vec sum[kRows][kOutputs];
  for (auto& row : sum)
    for (auto& s : row) s = vset(0.0f);
  const typename D::Weight* w[kOutputs];
  for (int o = 0; o < kOutputs; ++o) w[o] = row_of<typename D::Weight>(job.args.weight, n + o);
  const int64_t whole = job.args.k / D::kSpan * D::kSpan, rest = job.args.k - whole;
  const int64_t ahead = gemv_prefetch_bytes(job.args);
  for (int64_t k = 0; k < whole; k += D::kSpan)
    for (int o = 0; o < kOutputs; ++o) {
      __builtin_prefetch(reinterpret_cast<const std::byte*>(w[o] + k) + ahead);
      for (int r = 0; r < kRows; ++r)
        sum[r][o] = D::step(sum[r][o], w[o] + k, job.x + r * job.x_stride + k);
    }
  for (int r = 0; r < kRows; ++r) {
    for (int o = 0; o < kOutputs; ++o) {
      Vec s = sum[r][o];
      if (rest) s = D::tail(s, w[o] + whole, job.x + r * job.x_stride + whole, rest);
      const float value = vsum(s) + (job.args.bias ? job.args.bias[n + o] : 0.0f);
      with_dtype(job.args.y.dtype, [&](auto tag) {
        using T = typename decltype(tag)::Type;
        vstore_n(row_of<T>(job.args.y, job.row0 + r) + n + o, vset(value), 1);
      });
    }
  }
}

template <class D, int kRows>
inline void gemv_range(const GemvJob<D>& job, int64_t begin, int64_t end) {
  int64_t n = begin;
  for (; n + kStreams <= end; n += kStreams) gemv_outputs<D, kRows, kStreams>(job, n);
  for (; n < end; ++n) gemv_outputs<D, kRows, 1>(job, n);
}

template <class D>
inline void gemv_tiles(const Gemv& args, const typename D::X* x, int64_t x_stride) {
  parallel_ranges(args.n, args.threads, [&](int64_t begin, int64_t end) {
    for (int64_t row = 0; row < args.rows; row += kGemvRows) {
      const GemvJob<D> job = {args, x + row * x_stride, x_stride, row};
      switch (min_of(kGemvRows, args.rows - row)) {
        case 1:
          gemv_range<D, 1>(job, begin, end);
          break;
        case 2:
          gemv_range<D, 2>(job, begin, end);
          break;
        case 3:
          gemv_range<D, 3>(job, begin, end);
          break;
        default:
          gemv_range<D, 4>(job, begin, end);
      }
    }
  });
}

// x widened to fp32, rows after each other.
inline const float* widened_rows(const Gemv& args) {
  float* out = scratch<float>(args.rows * args.k);
  for (int64_t r = 0; r < args.rows; ++r) {
    const Bf16* x = row_of<Bf16>(args.x, r);
    for_each_vector(args.k, [&](auto v) { v.store(out + r * args.k, v.load(x)); });
  }
  return out;
}

inline void gemv(const Gemv& args) {
  const bool wide = args.x.dtype == DType::kFloat32;
#if defined(__AVX512BF16__)
  if (!wide && args.weight.dtype == DType::kBFloat16) {
    return gemv_tiles<Bf16Dot>(args, static_cast<const Bf16*>(args.x.data), args.x.stride);
  }
#endif
  const float* x = wide ? static_cast<const float*>(args.x.data) : widened_rows(args);
  const int64_t stride = wide ? args.x.stride : args.k;
  with_dtype(args.weight.dtype, [&](auto tag) {
    gemv_tiles<FloatDot<typename decltype(tag)::Type>>(args, x, stride);
  });
}

}  // namespace
}  // namespace gradus::cpu
