// SPDX-License-Identifier: Apache-2.0
// Vec: 16 floats, whatever the instruction set, so that each kernel is written once and its sums
// have one order everywhere. Chosen by the flags that the including file is compiled with.
//
// Everything here has internal linkage (unnamed namespace): the same names compiled for two
// instruction sets must never be merged by the linker. For that reason kernel files also use no
// inline functions of the standard library beyond <cmath>'s built-ins.
//
//   vload/vstore        float or Bf16 memory, any alignment; stores round to nearest even
//   vload_n/vstore_n    the first n < 16 lanes; loads fill the rest with 0
//   vfma(a,b,c)         a*b + c;  vfnma(a,b,c) = c - a*b  (one rounding where FMA exists)
//   vmax/vmin(a,b)      b where either is NaN
//   vsum                fixed tree: lanes i and i+8, then i+4, i+2, i+1
//   vscale_by_power     a * 2^n for integral n in [-252, 252]
#pragma once

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#include "tensor/cpu/simd/vec_avx512.h"
#elif defined(__AVX2__) && defined(__FMA__)
#include "tensor/cpu/simd/vec_avx2.h"
#else
#include "tensor/cpu/simd/vec_generic.h"
#endif

namespace gradus::cpu {
namespace {

constexpr int64_t kLanes = 16;

// e^x, within 1 ulp for normal results; 0 below -103.98, infinity above 88.73, NaN stays NaN.
// Cody-Waite reduction by ln 2 in two parts and the degree-6 polynomial of Cephes' expf.
inline Vec vexp(Vec x) {
  x = vmin(vset(89.0f), vmax(vset(-105.0f), x));
  const Vec n = vround(x * vset(1.44269504f));
  Vec r = vfnma(n, vset(0.693359375f), x);
  r = vfnma(n, vset(-2.12194440e-4f), r);
  Vec p = vset(1.9875691500e-4f);
  p = vfma(p, r, vset(1.3981999507e-3f));
  p = vfma(p, r, vset(8.3334519073e-3f));
  p = vfma(p, r, vset(4.1665795894e-2f));
  p = vfma(p, r, vset(1.6666665459e-1f));
  p = vfma(p, r, vset(5.0000001201e-1f));
  p = vfma(p, r * r, r) + vset(1.0f);
  return vscale_by_power(p, n);
}

inline Vec vsigmoid(Vec x) { return vset(1.0f) / (vset(1.0f) + vexp(vset(0.0f) - x)); }

// tanh by e^(2x); absolute error below 2e-7, which is what soft caps need.
inline Vec vtanh(Vec x) {
  const Vec e = vexp(x + x);
  return vset(1.0f) - vset(2.0f) / (e + vset(1.0f));
}

}  // namespace
}  // namespace gradus::cpu
