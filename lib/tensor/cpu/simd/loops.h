// SPDX-License-Identifier: Apache-2.0
// Loop helpers shared by the kernels: threads, tails, element types. Internal linkage, like Vec.
#pragma once

#include <omp.h>

#include "tensor/cpu/simd/vec.h"

namespace gradus::cpu {
namespace {

inline int64_t min_of(int64_t a, int64_t b) { return a < b ? a : b; }
inline int64_t max_of(int64_t a, int64_t b) { return a > b ? a : b; }
inline int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }

inline int thread_count(int requested, int64_t items) {
  const int wanted = requested > 0 ? requested : omp_get_max_threads();
  return static_cast<int>(max_of(1, min_of(wanted, items)));
}

// One thread for work that takes less than two fork-joins (about 2 us each): `bytes` is what the
// whole call reads and writes.
constexpr int64_t kParallelBytes = 64 * 1024;
inline int threads_for_bytes(int requested, int64_t bytes) {
  return bytes < kParallelBytes ? 1 : requested;
}
inline int64_t element_bytes(DType dtype) { return dtype == DType::kFloat32 ? 4 : 2; }

// body(begin, end) once per thread, on contiguous shares of [0, items).
template <class Body>
inline void parallel_ranges(int64_t items, int threads, const Body& body) {
  const int count = thread_count(threads, items);
  if (count == 1) {
    body(int64_t{0}, items);
    return;
  }
#pragma omp parallel num_threads(count)
  {
    const int64_t id = omp_get_thread_num();
    const int64_t team = omp_get_num_threads();
    const int64_t begin = items * id / team;
    const int64_t end = items * (id + 1) / team;
    if (begin < end) body(begin, end);
  }
}

// body(i) for each i in [0, items), in contiguous shares.
template <class Body>
inline void parallel_for(int64_t items, int threads, const Body& body) {
  parallel_ranges(items, threads, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) body(i);
  });
}

// full(i) for each whole vector of [0, n), then tail(i, count) for what is left.
template <class Full, class Tail>
inline void for_vectors(int64_t n, const Full& full, const Tail& tail) {
  int64_t i = 0;
  for (; i + kLanes <= n; i += kLanes) full(i);
  if (i < n) tail(i, n - i);
}

// for_vectors for a body that gets one pair of accessors: load(pointer) and store(pointer, value),
// both already offset to this vector and cut to its length. load_or fills missing lanes, load has
// 0.
struct WholeVector {
  int64_t offset;
  template <class T>
  Vec load(const T* p) const {
    return vload(p + offset);
  }
  template <class T>
  Vec load_or(const T* p, float) const {
    return vload(p + offset);
  }
  template <class T>
  void store(T* p, Vec a) const {
    vstore(p + offset, a);
  }
};
struct PartVector {
  int64_t offset;
  int64_t count;
  template <class T>
  Vec load(const T* p) const {
    return vload_n(p + offset, count);
  }
  template <class T>
  Vec load_or(const T* p, float fill) const {
    float lanes[kLanes];
    for (float& lane : lanes) lane = fill;
    vstore_n(lanes, load(p), count);
    return vload(lanes);
  }
  template <class T>
  void store(T* p, Vec a) const {
    vstore_n(p + offset, a, count);
  }
};
template <class Body>
inline void for_each_vector(int64_t n, const Body& body) {
  for_vectors(
      n, [&](int64_t i) { body(WholeVector{i}); },
      [&](int64_t i, int64_t count) {
        body(PartVector{i, count});
      });
}

// The sum over [0, n) of term(accessor), four sums at once in a fixed order. Missing lanes of the
// last vector are loaded as 0 and must give 0.
template <class Term>
inline float vector_sum(int64_t n, const Term& term) {
  Vec sum[4] = {vset(0.0f), vset(0.0f), vset(0.0f), vset(0.0f)};
  int64_t i = 0;
  for (; i + 4 * kLanes <= n; i += 4 * kLanes) {
    for (int j = 0; j < 4; ++j) sum[j] = sum[j] + term(WholeVector{i + j * kLanes});
  }
  for (; i + kLanes <= n; i += kLanes) sum[0] = sum[0] + term(WholeVector{i});
  if (i < n) sum[1] = sum[1] + term(PartVector{i, n - i});
  return vsum((sum[0] + sum[1]) + (sum[2] + sum[3]));
}

template <class T>
struct Tag {
  using Type = T;
};
// body(Tag<float>) or body(Tag<Bf16>).
template <class Body>
inline void with_dtype(DType dtype, const Body& body) {
  if (dtype == DType::kBFloat16) {
    body(Tag<Bf16>{});
  } else {
    body(Tag<float>{});
  }
}

inline float load_one(const float* p) { return *p; }
inline float load_one(const Bf16* p) {
  const uint32_t bits = static_cast<uint32_t>(p->bits) << 16;
  return __builtin_bit_cast(float, bits);
}

template <class T>
inline const T* row_of(const ConstRows& rows, int64_t r) {
  return static_cast<const T*>(rows.data) + r * rows.stride;
}
template <class T>
inline T* row_of(const Rows& rows, int64_t r) {
  return static_cast<T*>(rows.data) + r * rows.stride;
}

}  // namespace
}  // namespace gradus::cpu
