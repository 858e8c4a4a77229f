// SPDX-License-Identifier: Apache-2.0
// How 64 packed bytes (16 rows, 4 or 8 columns; see quant_weight.h) become factors of a product.
//
// A path names the arithmetic: FloatPath multiplies one column a step in fp32; Bf16Path, on
// processors with AVX512-BF16, a pair of columns a step. Both give, for row n, the sum over columns
// in the order 1, 0, 3, 2, 5, 4, … (vdpbf16ps adds the odd product first).
//   Factor        weights of 16 rows for one step
//   Input         one step of a row of x, as packed by pack_inputs; kColumns of them
//   unpack<F>(p)  all steps of the 64 bytes at p
//   dot           acc + factor * input
#pragma once

#include <cstddef>

#include "tensor/cpu/quant_weight.h"
#include "tensor/cpu/simd/loops.h"

namespace gradus::cpu {
namespace {

constexpr int columns_per_lane(QuantFormat f) { return f == QuantFormat::kInt4 ? 8 : 4; }

template <QuantFormat F>
struct FloatFactors {
  Vec step[columns_per_lane(F)];
};

#if defined(__AVX512F__)
template <QuantFormat F>
inline Vec unpack_column(__m512i raw, int c) {
  constexpr int kBits = F == QuantFormat::kInt4 ? 4 : 8;
  const int field = kBits == 4 ? c % 2 * 4 + c / 2 : c;
  const __m512i top = _mm512_slli_epi32(raw, static_cast<unsigned>(32 - kBits * (field + 1)));
  return {_mm512_cvtepi32_ps(_mm512_srai_epi32(top, 32 - kBits))};
}
template <QuantFormat F>
inline FloatFactors<F> unpack_floats(const std::byte* p) {
  const __m512i raw = _mm512_loadu_si512(p);
  FloatFactors<F> out;
  for (int s = 0; s < columns_per_lane(F); ++s) out.step[s] = unpack_column<F>(raw, s ^ 1);
  return out;
}
#elif defined(__AVX2__)
template <QuantFormat F>
inline __m256 unpack_column(__m256i raw, int c) {
  constexpr int kBits = F == QuantFormat::kInt4 ? 4 : 8;
  const int field = kBits == 4 ? c % 2 * 4 + c / 2 : c;
  const __m256i top = _mm256_slli_epi32(raw, 32 - kBits * (field + 1));
  return _mm256_cvtepi32_ps(_mm256_srai_epi32(top, 32 - kBits));
}
template <QuantFormat F>
inline FloatFactors<F> unpack_floats(const std::byte* p) {
  const auto* q = reinterpret_cast<const __m256i*>(p);
  const __m256i lo = _mm256_loadu_si256(q), hi = _mm256_loadu_si256(q + 1);
  FloatFactors<F> out;
  for (int s = 0; s < columns_per_lane(F); ++s) {
    out.step[s] = {unpack_column<F>(lo, s ^ 1), unpack_column<F>(hi, s ^ 1)};
  }
  return out;
}
#else
template <QuantFormat F>
inline FloatFactors<F> unpack_floats(const std::byte* p) {
  constexpr int kBits = F == QuantFormat::kInt4 ? 4 : 8;
  uint32_t raw[16];
  __builtin_memcpy(raw, p, sizeof raw);
  FloatFactors<F> out;
  for (int s = 0; s < columns_per_lane(F); ++s) {
    const int c = s ^ 1;
    const int field = kBits == 4 ? c % 2 * 4 + c / 2 : c;
    out.step[s] = each([&](int i) {
      const auto top = static_cast<int32_t>(raw[i] << (32 - kBits * (field + 1)));
      return static_cast<float>(top >> (32 - kBits));
    });
  }
  return out;
}
#endif

struct FloatPath {
  using Factor = Vec;
  using Input = float;
  static constexpr int kColumns = 1;

  template <QuantFormat F>
  static FloatFactors<F> unpack(const std::byte* p) {
    return unpack_floats<F>(p);
  }
  static Vec dot(Vec acc, Factor w, Input x) { return vfma(w, vset(x), acc); }
  template <class T>
  static Input input(const T* x, int64_t step) {
    return load_one(x + (step ^ 1));
  }
};

#if defined(__AVX512BF16__)
template <QuantFormat F>
struct Bf16Factors {
  __m512i step[columns_per_lane(F) / 2];
};

inline __m512i nibble_table() {
  // The bf16 bits of 0..7, -8..-1, twice: vpermw looks at five bits, the fifth is a stranger's.
  alignas(64) static constexpr uint16_t kTable[32] = {
      0x0000, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0, 0x40c0, 0x40e0, 0xc100, 0xc0e0, 0xc0c0,
      0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80, 0x0000, 0x3f80, 0x4000, 0x4040, 0x4080, 0x40a0,
      0x40c0, 0x40e0, 0xc100, 0xc0e0, 0xc0c0, 0xc0a0, 0xc080, 0xc040, 0xc000, 0xbf80};
  return _mm512_load_si512(kTable);
}
// Bytes 2s (low half) and 2s + 1 (high half) of each lane as bf16: |q| <= 128 fits its 8 bits.
inline __m512i byte_pair(__m512i raw, int s) {
  const __m512i even = _mm512_slli_epi32(raw, static_cast<unsigned>(24 - 16 * s));
  const __m512i odd = _mm512_slli_epi32(raw, static_cast<unsigned>(16 - 16 * s));
  const __m512 low = _mm512_cvtepi32_ps(_mm512_srai_epi32(even, 24));
  const __m512 high = _mm512_cvtepi32_ps(_mm512_srai_epi32(odd, 24));
  return _mm512_or_si512(_mm512_srli_epi32(_mm512_castps_si512(low), 16),
                         _mm512_castps_si512(high));
}
inline Bf16Factors<QuantFormat::kInt4> unpack_pairs(const std::byte* p,
                                                    Tag<Bf16Factors<QuantFormat::kInt4>>) {
  const __m512i raw = _mm512_loadu_si512(p), table = nibble_table();
  return {{_mm512_permutexvar_epi16(raw, table),
           _mm512_permutexvar_epi16(_mm512_srli_epi16(raw, 4), table),
           _mm512_permutexvar_epi16(_mm512_srli_epi16(raw, 8), table),
           _mm512_permutexvar_epi16(_mm512_srli_epi16(raw, 12), table)}};
}
inline Bf16Factors<QuantFormat::kInt8> unpack_pairs(const std::byte* p,
                                                    Tag<Bf16Factors<QuantFormat::kInt8>>) {
  const __m512i raw = _mm512_loadu_si512(p);
  return {{byte_pair(raw, 0), byte_pair(raw, 1)}};
}

struct Bf16Path {
  using Factor = __m512i;
  using Input = uint32_t;
  static constexpr int kColumns = 2;

  template <QuantFormat F>
  static Bf16Factors<F> unpack(const std::byte* p) {
    return unpack_pairs(p, Tag<Bf16Factors<F>>{});
  }
  static Vec dot(Vec acc, Factor w, Input x) {
    const __m512i pair = _mm512_set1_epi32(static_cast<int>(x));
    return {_mm512_dpbf16_ps(acc.v, (__m512bh)w, (__m512bh)pair)};
  }
  static Input input(const Bf16* x, int64_t step) {
    return x[2 * step].bits | static_cast<uint32_t>(x[2 * step + 1].bits) << 16;
  }
};
#endif

}  // namespace
}  // namespace gradus::cpu
