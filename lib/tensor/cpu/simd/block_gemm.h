// SPDX-License-Identifier: Apache-2.0
// Small fp32 matrix products on blocks that lie in the cache, the inner loops of attention.
#pragma once

#include "tensor/cpu/simd/loops.h"

namespace gradus::cpu {
namespace {

#if defined(__AVX512F__)
constexpr int kGemmRows = 4, kGemmVecs = 4;  // 16 of 32 registers hold sums
#else
constexpr int kGemmRows = 2, kGemmVecs = 2;  // a Vec takes two of 16 registers
#endif

// C[m, n] = A · B, or += with `add`. a(i, p) = a[i * a_row + p * a_step], so that A may be read
// transposed; b [depth, n] and c [m, n] row-major. m is a multiple of 4 and n of kLanes.
struct BlockGemm {
  const float* a;
  int64_t a_row, a_step;
  const float* b;
  int64_t b_row;
  float* c;
  int64_t c_row;
  int64_t m, n, depth;
  bool add;
};

template <int kVecs>
inline void gemm_tile(const BlockGemm& g, int64_t i, int64_t j) {
  Vec sum[kGemmRows][kVecs];
  float* c = g.c + i * g.c_row + j;
  for (int r = 0; r < kGemmRows; ++r) {
    for (int v = 0; v < kVecs; ++v)
      sum[r][v] = g.add ? vload(c + r * g.c_row + v * kLanes) : vset(0.0f);
  }
  const float* a = g.a + i * g.a_row;
  const float* b = g.b + j;
  for (int64_t p = 0; p < g.depth; ++p, a += g.a_step, b += g.b_row) {
    Vec right[kVecs];
    for (int v = 0; v < kVecs; ++v) right[v] = vload(b + v * kLanes);
    for (int r = 0; r < kGemmRows; ++r) {
      const Vec left = vset(a[r * g.a_row]);
      for (int v = 0; v < kVecs; ++v) sum[r][v] = vfma(left, right[v], sum[r][v]);
    }
  }
  for (int r = 0; r < kGemmRows; ++r) {
    for (int v = 0; v < kVecs; ++v) vstore(c + r * g.c_row + v * kLanes, sum[r][v]);
  }
}

inline void block_gemm(const BlockGemm& g) {
  int64_t j = 0;
  for (; j + kGemmVecs * kLanes <= g.n; j += kGemmVecs * kLanes) {
    for (int64_t i = 0; i < g.m; i += kGemmRows) gemm_tile<kGemmVecs>(g, i, j);
  }
  for (; j < g.n; j += kLanes) {
    for (int64_t i = 0; i < g.m; i += kGemmRows) gemm_tile<1>(g, i, j);
  }
}

}  // namespace
}  // namespace gradus::cpu
