// SPDX-License-Identifier: Apache-2.0
// The gradients of RWKV-7's recurrence. See wkv.h.
//
// Here a vector is 16 keys of one value, so that what is summed over values needs no sums over
// lanes. A task is a head of a segment: chunks from the last to the first, in each 16 values at a
// time, whose states of the chunk are computed again and stay in the cache.
//
// With G the gradient of the state S after a token and u = aᵀ S before it (`removed`):
//   dr = S do, G += r doᵀ, dv = Gᵀ k, dk = G v, db = G u, du = Gᵀ b, da = S' du and
//   dlog_decay = decay · (G ∘ S') 1, where S' is the state before; then G = decay · G + a duᵀ.
#pragma once

#include "tensor/cpu/simd/wkv7.h"

namespace gradus::cpu {
namespace {

constexpr int64_t kWkv7Values = kLanes;  // computed together

// Buffers of one task, in floats.
struct Wkv7Buffers {
  static constexpr int kInputs = 5, kOutputs = 6;
  float* inputs;    // [5, chunk, Dh]: r, decay, k, a, b
  float* sums;      // [6, chunk, Dh]: dr, ddecay, dk, da, db, dv
  float* states;    // [chunk + 1, values, Dh]
  float* gradient;  // [Dh values, Dh]

  static int64_t size(int64_t Dh) {
    return ((kInputs + kOutputs) * kWkvChunk + (kWkvChunk + 1) * kWkv7Values + Dh) * Dh;
  }
  Wkv7Buffers(float* memory, int64_t Dh)
      : inputs(memory),
        sums(inputs + kInputs * kWkvChunk * Dh),
        states(sums + kOutputs * kWkvChunk * Dh),
        gradient(states + (kWkvChunk + 1) * kWkv7Values * Dh) {}
  float* input(int which, int64_t i, int64_t Dh) const {
    return inputs + (which * kWkvChunk + i) * Dh;
  }
  float* sum(int which, int64_t i, int64_t Dh) const { return sums + (which * kWkvChunk + i) * Dh; }
};

// One head's chunk: tokens [begin, begin + count).
struct Wkv7Chunk {
  int64_t begin, count, head;
  const float* state;  // [Dh, Dh], keys first, before the first token
};

template <class T>
inline void wkv7_load_chunk(const Wkv7& args, const Wkv7Chunk& chunk, const Wkv7Buffers& buffers) {
  const int64_t Dh = args.head_dim;
  const void* sources[] = {args.r, args.log_decay, args.k, args.a, args.b};
  for (int64_t i = 0; i < chunk.count; ++i) {
    const int64_t row = ((chunk.begin + i) * args.heads + chunk.head) * Dh;
    for (int which = 0; which < Wkv7Buffers::kInputs; ++which)
      widen_to<T>(buffers.input(which, i, Dh), sources[which], row, Dh);
    float* decay = buffers.input(1, i, Dh);
    for (int64_t j = 0; j < Dh; j += kLanes) vstore(decay + j, vexp(vload(decay + j)));
  }
  for (int64_t i = 0; i < Wkv7Buffers::kOutputs * kWkvChunk * Dh; i += kLanes)
    vstore(buffers.sums + i, vset(0.0f));
}

// One value's row of the state through the tokens of the chunk.
template <class T>
inline void wkv7_states_again(const Wkv7& args, const Wkv7Chunk& chunk, int64_t first,
                              const Wkv7Buffers& buffers) {
  const int64_t Dh = args.head_dim, row_floats = kWkv7Values * Dh;
  for (int64_t j = 0; j < Dh; ++j)
    for (int64_t i = 0; i < kWkv7Values; ++i)
      buffers.states[i * Dh + j] = chunk.state[j * Dh + first + i];
  for (int64_t t = 0; t < chunk.count; ++t) {
    const int64_t row = ((chunk.begin + t) * args.heads + chunk.head) * Dh + first;
    const float *decay = buffers.input(1, t, Dh), *k = buffers.input(2, t, Dh),
                *b = buffers.input(4, t, Dh);
    for (int64_t i = 0; i < kWkv7Values; ++i) {
      const float* before = buffers.states + t * row_floats + i * Dh;
      float* after = buffers.states + (t + 1) * row_floats + i * Dh;
      const Vec removed = vset(args.removed[row + i]);
      const Vec v = vset(load_one(static_cast<const T*>(args.v) + row + i));
      for (int64_t j = 0; j < Dh; j += kLanes)
        vstore(after + j, vfma(v, vload(k + j),
                               vfma(removed, vload(b + j), vload(before + j) * vload(decay + j))));
    }
  }
}

// What one value of one token has.
struct Wkv7Value {
  float dout, v, removed;
  const float *before, *after;  // rows of the state, [Dh]
  float* gradient;
};

// Adds the gradients of N · 16 keys; returns that of v.
template <int N>
inline float wkv7_value_back(const Wkv7Value& value, const Wkv7Buffers& buffers, int64_t t,
                             int64_t Dh) {
  const float *r = buffers.input(0, t, Dh), *decay = buffers.input(1, t, Dh),
              *k = buffers.input(2, t, Dh), *a = buffers.input(3, t, Dh),
              *b = buffers.input(4, t, Dh);
  float *dr = buffers.sum(0, t, Dh), *ddecay = buffers.sum(1, t, Dh), *dk = buffers.sum(2, t, Dh),
        *da = buffers.sum(3, t, Dh), *db = buffers.sum(4, t, Dh);
  const Vec dout = vset(value.dout), v = vset(value.v), removed = vset(value.removed);
  Vec gradient[N], dv = vset(0.0f), dremoved = vset(0.0f);
  for (int n = 0; n < N; ++n) {
    const int64_t j = n * kLanes;
    const Vec g = gradient[n] = vfma(dout, vload(r + j), vload(value.gradient + j));
    vstore(dr + j, vfma(dout, vload(value.after + j), vload(dr + j)));
    vstore(dk + j, vfma(v, g, vload(dk + j)));
    vstore(db + j, vfma(removed, g, vload(db + j)));
    vstore(ddecay + j, vfma(vload(value.before + j), g, vload(ddecay + j)));
    dv = vfma(vload(k + j), g, dv);
    dremoved = vfma(vload(b + j), g, dremoved);
  }
  const Vec back = vset(vsum(dremoved));
  for (int n = 0; n < N; ++n) {
    const int64_t j = n * kLanes;
    vstore(da + j, vfma(back, vload(value.before + j), vload(da + j)));
    vstore(value.gradient + j, vfma(back, vload(a + j), gradient[n] * vload(decay + j)));
  }
  return vsum(dv);
}

template <class T, int N>
inline void wkv7_values_back(const Wkv7Backward& args, const Wkv7Chunk& chunk, int64_t first,
                             const Wkv7Buffers& buffers) {
  const Wkv7& forward = args.forward;
  const int64_t Dh = forward.head_dim, row_floats = kWkv7Values * Dh;
  for (int64_t t = chunk.count - 1; t >= 0; --t) {
    const int64_t row = ((chunk.begin + t) * forward.heads + chunk.head) * Dh + first;
    float* dv = buffers.sum(5, t, Dh) + first;
    for (int64_t i = 0; i < kWkv7Values; ++i) {
      const float* before = buffers.states + t * row_floats + i * Dh;
      dv[i] = wkv7_value_back<N>(
          {load_one(static_cast<const T*>(args.dout) + row + i),
           load_one(static_cast<const T*>(forward.v) + row + i), forward.removed[row + i], before,
           before + row_floats, buffers.gradient + (first + i) * Dh},
          buffers, t, Dh);
    }
  }
}

template <class T>
inline void wkv7_store_chunk(const Wkv7Backward& args, const Wkv7Chunk& chunk,
                             const Wkv7Buffers& buffers) {
  const int64_t Dh = args.forward.head_dim;
  void* targets[] = {args.dr, args.dlog_decay, args.dk, args.da, args.db, args.dv};
  for (int64_t i = 0; i < chunk.count; ++i) {
    const int64_t row = ((chunk.begin + i) * args.forward.heads + chunk.head) * Dh;
    float *decay = buffers.input(1, i, Dh), *ddecay = buffers.sum(1, i, Dh);
    for (int64_t j = 0; j < Dh; j += kLanes)
      vstore(ddecay + j, vload(ddecay + j) * vload(decay + j));
    for (int which = 0; which < Wkv7Buffers::kOutputs; ++which)
      for (int64_t j = 0; j < Dh; j += kLanes)
        vstore(static_cast<T*>(targets[which]) + row + j, vload(buffers.sum(which, i, Dh) + j));
  }
}

template <class T, int N>
inline void wkv7_head_back(const Wkv7Backward& args, const WkvSegment& segment, int64_t head,
                           const Wkv7Buffers& buffers) {
  const Wkv7& forward = args.forward;
  const int64_t Dh = forward.head_dim;
  for (int64_t i = 0; i < Dh * Dh; i += kLanes) vstore(buffers.gradient + i, vset(0.0f));
  for (int64_t i = (segment.end - segment.begin - 1) / kWkvChunk; i >= 0; --i) {
    const int64_t begin = segment.begin + i * kWkvChunk;
    const Wkv7Chunk chunk = {
        begin, min_of(kWkvChunk, segment.end - begin), head,
        forward.chunks + ((segment.first_chunk + i) * forward.heads + head) * Dh * Dh};
    wkv7_load_chunk<T>(forward, chunk, buffers);
    for (int64_t first = 0; first < Dh; first += kWkv7Values) {
      wkv7_states_again<T>(forward, chunk, first, buffers);
      wkv7_values_back<T, N>(args, chunk, first, buffers);
    }
    wkv7_store_chunk<T>(args, chunk, buffers);
  }
}

// body(VectorCount<N>) for heads of N · 16 keys.
template <class Body>
inline void with_key_vectors(int64_t Dh, const Body& body) {
  if (Dh == 128) {
    body(VectorCount<8>{});
  } else {
    with_value_vectors(Dh, body);
  }
}

inline void wkv7_backward(const Wkv7Backward& args) {
  const Wkv7& forward = args.forward;
  const int64_t Dh = forward.head_dim, tasks = forward.segment_count * forward.heads;
  const int64_t size = Wkv7Buffers::size(Dh);
  const int threads = thread_count(forward.threads, tasks);
  float* memory = scratch<float>(threads * size);
  with_key_vectors(Dh, [&](auto vectors) {
    constexpr int N = decltype(vectors)::kCount;
    with_dtype(forward.dtype, [&](auto tag) {
      using T = typename decltype(tag)::Type;
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
      for (int64_t i = 0; i < tasks; ++i) {
        const Wkv7Buffers buffers(memory + omp_get_thread_num() * size, Dh);
        wkv7_head_back<T, N>(args, forward.segments[i / forward.heads], i % forward.heads, buffers);
      }
    });
  });
}

}  // namespace
}  // namespace gradus::cpu
