// SPDX-License-Identifier: Apache-2.0
// Shared by the cpu_*_test.cpp: arrays by formula, bf16 in plain C++, comparisons, the tables.
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <vector>

#include "support/catch.h"
#include "tensor/cpu/kernels.h"

namespace gradus::cpu_test {

using namespace gradus::cpu;

inline float widen(float x) { return x; }
inline float widen(Bf16 x) { return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16); }
inline void narrow(float& out, float x) { out = x; }
inline void narrow(Bf16& out, float x) {
  const auto u = std::bit_cast<uint32_t>(x);
  const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  out.bits = static_cast<uint16_t>(std::isnan(x) ? (u >> 16) | 0x40u : rounded);
}
template <class T>
constexpr DType dtype_of() {
  return sizeof(T) == 2 ? DType::kBFloat16 : DType::kFloat32;
}

// `count` numbers in about [-2, 2], the same in every run.
template <class T = float>
std::vector<T> numbers(int64_t count, uint64_t seed) {
  std::vector<T> out(static_cast<size_t>(count));
  uint64_t state = seed * 0x9e3779b97f4a7c15ull + 1;
  for (T& x : out) {
    state = state * 6364136223846793005ull + 1442695040888963407ull;
    narrow(x, static_cast<float>(static_cast<int32_t>(state >> 32)) * 0x1p-30f);
  }
  return out;
}

template <class T>
std::vector<float> widened(const std::vector<T>& v) {
  std::vector<float> out;
  for (const T& x : v) out.push_back(widen(x));
  return out;
}

// torch.testing's defaults per dtype of the result. NaN fails.
template <class T>
void check_close(const std::vector<T>& actual, const std::vector<double>& expected,
                 double looser = 1) {
  REQUIRE(actual.size() == expected.size());
  const double rtol = (sizeof(T) == 2 ? 1.6e-2 : 1.3e-6) * looser, atol = 1e-5 * looser;
  double worst = 0;
  size_t at = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double error = std::abs(static_cast<double>(widen(actual[i])) - expected[i]);
    const double excess = error / (atol + rtol * std::abs(expected[i]));
    if (!(excess <= worst)) {
      worst = excess;
      at = i;
    }
  }
  INFO("at " << at << ": " << widen(actual[at]) << " instead of " << expected[at]);
  CHECK(worst <= 1.0);
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

// Every table that this processor can run.
inline std::vector<const CpuKernels*> all_tables() {
  std::vector<const CpuKernels*> tables;
  for (const Isa isa : {Isa::kGeneric, Isa::kAvx2, Isa::kAvx512, Isa::kAvx512Bf16}) {
    if (const CpuKernels* table = cpu_kernels_for(isa)) tables.push_back(table);
  }
  return tables;
}

// 64-byte aligned bytes.
struct AlignedBytes {
  explicit AlignedBytes(int64_t size)
      : storage(static_cast<size_t>(size) + 64),
        data(storage.data() + (64 - reinterpret_cast<uintptr_t>(storage.data()) % 64) % 64) {}
  AlignedBytes(AlignedBytes&&) = default;
  std::vector<std::byte> storage;
  std::byte* data;
};

}  // namespace gradus::cpu_test
