// SPDX-License-Identifier: Apache-2.0
// Vec in plain C++, for processors without AVX2. See simd/vec.h for the contract of each function.
#pragma once

#include "tensor/cpu/types.h"

namespace gradus::cpu {
namespace {

struct Vec {
  float v[16];
};

inline float to_float(float x) { return x; }
inline float to_float(Bf16 x) {
  const uint32_t bits = static_cast<uint32_t>(x.bits) << 16;
  float result;
  __builtin_memcpy(&result, &bits, sizeof result);
  return result;
}
inline void assign(float& out, float x) { out = x; }
inline void assign(Bf16& out, float x) {
  uint32_t u;
  __builtin_memcpy(&u, &x, sizeof u);
  const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  out.bits = static_cast<uint16_t>((x != x) ? (u >> 16) | 0x40u : rounded);
}
template <class F>
inline Vec each(F f) {
  Vec out;
  for (int i = 0; i < 16; ++i) out.v[i] = f(i);
  return out;
}

inline Vec vset(float x) {
  return each([&](int) { return x; });
}
template <class T>
inline Vec vload(const T* p) {
  return each([&](int i) { return to_float(p[i]); });
}
template <class T>
inline Vec vload_n(const T* p, int64_t n) {
  return each([&](int i) { return i < n ? to_float(p[i]) : 0.0f; });
}
template <class T>
inline void vstore_n(T* p, Vec a, int64_t n) {
  for (int64_t i = 0; i < n; ++i) assign(p[i], a.v[i]);
}
template <class T>
inline void vstore(T* p, Vec a) {
  vstore_n(p, a, 16);
}

inline Vec operator+(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] + b.v[i]; });
}
inline Vec operator-(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] - b.v[i]; });
}
inline Vec operator*(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] * b.v[i]; });
}
inline Vec operator/(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] / b.v[i]; });
}
inline Vec vfma(Vec a, Vec b, Vec c) {
  return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
}
inline Vec vfnma(Vec a, Vec b, Vec c) {
  return each([&](int i) { return c.v[i] - a.v[i] * b.v[i]; });
}
inline Vec vmax(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec vmin(Vec a, Vec b) {
  return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
}
inline Vec vsqrt(Vec a) {
  return each([&](int i) { return __builtin_sqrtf(a.v[i]); });
}
// Adding 1.5 * 2^23 drops the fraction; right for |a| < 2^22, all that vexp needs.
inline Vec vround(Vec a) {
  return each([&](int i) { return (a.v[i] + 12582912.0f) - 12582912.0f; });
}
inline float power_of_two(int32_t n) {
  const uint32_t bits = static_cast<uint32_t>(n + 127) << 23;
  float result;
  __builtin_memcpy(&result, &bits, sizeof result);
  return result;
}
inline Vec vscale_by_power(Vec a, Vec n) {
  return each([&](int i) {
    if (a.v[i] != a.v[i]) return a.v[i];
    const auto exponent = static_cast<int32_t>(n.v[i]);
    const int32_t first = exponent >> 1;
    return a.v[i] * power_of_two(first) * power_of_two(exponent - first);
  });
}

inline float vsum(Vec a) {
  for (int width = 8; width >= 1; width /= 2) {
    for (int i = 0; i < width; ++i) a.v[i] += a.v[i + width];
  }
  return a.v[0];
}
inline bool vhas_nan(Vec a) {
  int found = 0;
  for (int i = 0; i < 16; ++i) found |= a.v[i] != a.v[i];
  return found != 0;
}
inline float vmax_lane(Vec a) {
  float best = a.v[0];
  for (int i = 1; i < 16; ++i) best = a.v[i] > best ? a.v[i] : best;
  return best;
}

}  // namespace
}  // namespace gradus::cpu
