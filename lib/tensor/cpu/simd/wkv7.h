// SPDX-License-Identifier: Apache-2.0
// RWKV-7's recurrence. See wkv.h.
//
// A head's state S is a matrix of keys and values: S = diag(e^log_decay) S + b (aᵀ S) + k vᵀ, then
// y = rᵀ S. Values are independent of each other: a vector is 16 values of one key, a task up to
// 64 values of a head. One pass over the state per token: it also sums aᵀ S for the next one.
#pragma once

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/simd/loops.h"
#include "tensor/cpu/simd/scratch.h"
#include "tensor/cpu/simd/wkv4.h"

namespace gradus::cpu {
namespace {

constexpr int64_t kWkv7MostKeys = 128;

// What a token says about each key of a head.
struct Wkv7Keys {
  float r[kWkv7MostKeys], decay[kWkv7MostKeys], k[kWkv7MostKeys], b[kWkv7MostKeys];
};

// out[0, n) = x in fp32; n is a multiple of 16.
template <class T>
inline void widen_to(float* out, const void* x, int64_t offset, int64_t n) {
  const T* from = static_cast<const T*>(x) + offset;
  for (int64_t i = 0; i < n; i += kLanes) vstore(out + i, vload(from + i));
}

template <class T>
inline void wkv7_keys(const Wkv7& args, int64_t row, Wkv7Keys& keys) {
  const int64_t Dh = args.head_dim;
  widen_to<T>(keys.r, args.r, row, Dh);
  widen_to<T>(keys.decay, args.log_decay, row, Dh);
  widen_to<T>(keys.k, args.k, row, Dh);
  widen_to<T>(keys.b, args.b, row, Dh);
  for (int64_t j = 0; j < Dh; j += kLanes) vstore(keys.decay + j, vexp(vload(keys.decay + j)));
}

// removed[n] = sum over keys of a · state, for N vectors of values.
template <int N>
inline void wkv7_removed(const float* state, const float* a, int64_t Dh, Vec (&removed)[N]) {
  for (int n = 0; n < N; ++n) removed[n] = vset(0.0f);
  for (int64_t j = 0; j < Dh; ++j, state += N * kLanes) {
    const Vec weight = vset(a[j]);
    for (int n = 0; n < N; ++n) removed[n] = vfma(vload(state + n * kLanes), weight, removed[n]);
  }
}

// The state after a token, its output y, and `removed` of the next token.
template <int N>
inline void wkv7_token(float* state, const Wkv7Keys& keys, const float* next_a, int64_t Dh,
                       const Vec (&v)[N], Vec (&removed)[N], Vec (&y)[N]) {
  Vec next[N];
  for (int n = 0; n < N; ++n) next[n] = y[n] = vset(0.0f);
  for (int64_t j = 0; j < Dh; ++j, state += N * kLanes) {
    const Vec decay = vset(keys.decay[j]), b = vset(keys.b[j]), k = vset(keys.k[j]);
    const Vec r = vset(keys.r[j]), a = vset(next_a[j]);
    for (int n = 0; n < N; ++n) {
      const Vec s = vfma(v[n], k, vfma(removed[n], b, vload(state + n * kLanes) * decay));
      vstore(state + n * kLanes, s);
      y[n] = vfma(s, r, y[n]);
      next[n] = vfma(s, a, next[n]);
    }
  }
  for (int n = 0; n < N; ++n) removed[n] = next[n];
}

// Copies N vectors of each key between [Dh, Dh] at the first value, and [Dh, N · 16].
template <int N>
inline void wkv7_take(const float* from, int64_t Dh, float* state) {
  for (int64_t j = 0; j < Dh; ++j)
    for (int n = 0; n < N; ++n)
      vstore(state + (j * N + n) * kLanes, from ? vload(from + j * Dh + n * kLanes) : vset(0.0f));
}
template <int N>
inline void wkv7_put(const float* state, int64_t Dh, float* to) {
  for (int64_t j = 0; j < Dh; ++j)
    for (int n = 0; n < N; ++n)
      vstore(to + j * Dh + n * kLanes, vload(state + (j * N + n) * kLanes));
}

// Values [first, first + N · 16) of a head in one segment.
template <class T, int N>
inline void wkv7_values(const Wkv7& args, const WkvSegment& segment, int64_t head, int64_t first,
                        float* state) {
  const int64_t Dh = args.head_dim, width = args.heads * Dh, matrix = head * Dh * Dh + first;
  const auto row = [&](int64_t t) { return t * width + head * Dh; };
  wkv7_take<N>(segment.from ? segment.from + matrix : nullptr, Dh, state);
  Wkv7Keys keys;
  float a[kWkv7MostKeys];
  Vec removed[N], v[N], y[N];
  widen_to<T>(a, args.a, row(segment.begin), Dh);
  wkv7_removed<N>(state, a, Dh, removed);
  for (int64_t t = segment.begin; t < segment.end; ++t) {
    const int64_t place = t - segment.begin;
    if (args.chunks && place % kWkvChunk == 0) {
      const int64_t chunk = segment.first_chunk + place / kWkvChunk;
      wkv7_put<N>(state, Dh, args.chunks + chunk * width * Dh + matrix);
    }
    wkv7_keys<T>(args, row(t), keys);
    if (t + 1 < segment.end) widen_to<T>(a, args.a, row(t + 1), Dh);
    for (int n = 0; n < N; ++n) {
      const int64_t at = row(t) + first + n * kLanes;
      v[n] = vload(static_cast<const T*>(args.v) + at);
      if (args.removed) vstore(args.removed + at, removed[n]);
    }
    wkv7_token<N>(state, keys, a, Dh, v, removed, y);
    for (int n = 0; n < N; ++n)
      vstore(static_cast<T*>(args.out) + row(t) + first + n * kLanes, y[n]);
  }
  if (segment.to) wkv7_put<N>(state, Dh, segment.to + matrix);
}

template <int N>
struct VectorCount {
  static constexpr int kCount = N;
};
// body(VectorCount<N>) for the values of a task: 64 where the head has as many, else all.
template <class Body>
inline void with_value_vectors(int64_t Dh, const Body& body) {
  if (Dh >= 64) {
    body(VectorCount<4>{});
  } else if (Dh == 32) {
    body(VectorCount<2>{});
  } else {
    body(VectorCount<1>{});
  }
}

inline void wkv7(const Wkv7& args) {
  const int64_t Dh = args.head_dim, width = args.heads * Dh;
  const int64_t bytes = 8 * wkv_tokens(args.segments, args.segment_count) * width * Dh;
  with_value_vectors(Dh, [&](auto vectors) {
    constexpr int N = decltype(vectors)::kCount;
    const int64_t blocks = Dh / (N * kLanes), tasks = args.segment_count * args.heads * blocks;
    const int threads = thread_count(threads_for_bytes(args.threads, bytes), tasks);
    float* memory = scratch<float>(threads * Dh * N * kLanes);
    with_dtype(args.dtype, [&](auto tag) {
      using T = typename decltype(tag)::Type;
      parallel_ranges(tasks, threads, [&](int64_t begin, int64_t end) {
        float* state = memory + omp_get_thread_num() * Dh * N * kLanes;
        for (int64_t i = begin; i < end; ++i)
          wkv7_values<T, N>(args, args.segments[i / (args.heads * blocks)], i / blocks % args.heads,
                            i % blocks * N * kLanes, state);
      });
    });
  });
}

}  // namespace
}  // namespace gradus::cpu
