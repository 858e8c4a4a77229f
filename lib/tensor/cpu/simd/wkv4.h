// SPDX-License-Identifier: Apache-2.0
// RWKV-4's recurrence, 16 channels at a time. See wkv.h.
//
// With w = decay, u = first and sums a and b over the past: y = (a + e^(u+k) v) / (b + e^(u+k)),
// then a = e^w a + e^k v and b = e^w b + e^k. Both are kept divided by e^max, so that nothing
// overflows whatever the keys.
#pragma once

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/simd/loops.h"
#include "tensor/cpu/wkv.h"

namespace gradus::cpu {
namespace {

constexpr float kNoPast = -1e38f;  // the maximum of an empty sum

struct Wkv4State {
  Vec num, den, max;
};

template <class At>
inline Wkv4State wkv4_load(const At& at, const float* state, int64_t width) {
  if (!state) return {vset(0.0f), vset(0.0f), vset(kNoPast)};
  return {at.load(state), at.load(state + width), at.load(state + 2 * width)};
}
template <class At>
inline void wkv4_store(const At& at, const Wkv4State& s, float* state, int64_t width) {
  at.store(state, s.num);
  at.store(state + width, s.den);
  at.store(state + 2 * width, s.max);
}

// A token's output, and what the backward pass needs of it.
struct Wkv4Token {
  Vec y, den, share, top;  // share: of the token itself, e^(u+k) / e^top; den is divided by e^top
};
inline Wkv4Token wkv4_token(const Wkv4State& s, Vec first, Vec k, Vec v) {
  const Vec own = k + first;
  const Vec top = vmax(s.max, own);
  const Vec past = vexp(s.max - top), share = vexp(own - top);
  const Vec den = vfma(past, s.den, share);
  return {vfma(past, s.num, share * v) / den, den, share, top};
}

inline Wkv4State wkv4_next(const Wkv4State& s, Vec decay, Vec k, Vec v) {
  const Vec decayed = s.max + decay;
  const Vec max = vmax(decayed, k);
  const Vec past = vexp(decayed - max), share = vexp(k - max);
  return {vfma(past, s.num, share * v), vfma(past, s.den, share), max};
}

template <class T, class At>
inline void wkv4_segment(const Wkv4& args, const WkvSegment& segment, const At& at) {
  const int64_t A = args.width;
  const Vec decay = at.load(args.decay), first = at.load(args.first);
  Wkv4State s = wkv4_load(at, segment.from, A);
  for (int64_t t = segment.begin; t < segment.end; ++t) {
    const int64_t place = t - segment.begin;
    if (args.chunks && place % kWkvChunk == 0)
      wkv4_store(at, s, args.chunks + (segment.first_chunk + place / kWkvChunk) * 3 * A, A);
    const Vec k = at.load(static_cast<const T*>(args.k) + t * A);
    const Vec v = at.load(static_cast<const T*>(args.v) + t * A);
    at.store(static_cast<T*>(args.out) + t * A, wkv4_token(s, first, k, v).y);
    s = wkv4_next(s, decay, k, v);
  }
  if (segment.to) wkv4_store(at, s, segment.to, A);
}

// body(accessor) for the `block`-th 16 channels of `width`.
template <class Body>
inline void with_channels(int64_t block, int64_t width, const Body& body) {
  const int64_t first = block * kLanes, count = min_of(kLanes, width - first);
  if (count == kLanes) {
    body(WholeVector{first});
  } else {
    body(PartVector{first, count});
  }
}

inline int64_t wkv_tokens(const WkvSegment* segments, int64_t count) {
  int64_t tokens = 0;
  for (int64_t i = 0; i < count; ++i) tokens += segments[i].end - segments[i].begin;
  return tokens;
}

inline void wkv4(const Wkv4& args) {
  const int64_t blocks = ceil_div(args.width, kLanes);
  const int64_t bytes = 12 * wkv_tokens(args.segments, args.segment_count) * args.width;
  with_dtype(args.dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    parallel_for(
        args.segment_count * blocks, threads_for_bytes(args.threads, bytes), [&](int64_t i) {
          with_channels(i % blocks, args.width,
                        [&](auto at) { wkv4_segment<T>(args, args.segments[i / blocks], at); });
        });
  });
}

// Gradients of the sums a and b after a token, divided by e^max as the sums are multiplied by it.
struct Wkv4Gradient {
  Vec num, den, max;
};
struct Wkv4Totals {
  Vec decay, first;
};

// One token backwards: `before` is the state that it met, `after` the gradient that comes back.
template <class T, class At>
inline Wkv4Gradient wkv4_token_back(const Wkv4Backward& args, int64_t t, const At& at,
                                    const Wkv4State& before, const Wkv4Gradient& after,
                                    Wkv4Totals& totals) {
  const int64_t row = t * args.forward.width;
  const Vec decay = at.load(args.forward.decay), first = at.load(args.forward.first);
  const Vec k = at.load(static_cast<const T*>(args.forward.k) + row);
  const Vec v = at.load(static_cast<const T*>(args.forward.v) + row);
  const Wkv4Token token = wkv4_token(before, first, k, v);
  const Vec q = at.load(static_cast<const T*>(args.dout) + row) / token.den;
  const Vec own = q * token.share, later = vexp(k + after.max);
  const Vec dfirst = own * (v - token.y);
  at.store(static_cast<T*>(args.dv) + row, vfma(later, after.num, own));
  at.store(static_cast<T*>(args.dk) + row, vfma(later, vfma(after.num, v, after.den), dfirst));
  totals.first = totals.first + dfirst;
  const Vec kept = vexp(decay + after.max + before.max);
  totals.decay = vfma(kept, vfma(after.num, before.num, after.den * before.den), totals.decay);
  const Vec none = vset(0.0f), decayed = decay + after.max, here = none - token.top;
  const Vec max = vmax(here, decayed);
  const Vec fresh = vexp(here - max) * q, past = vexp(decayed - max);
  return {vfma(past, after.num, fresh), vfnma(fresh, token.y, past * after.den), max};
}

template <class T, class At>
inline void wkv4_segment_back(const Wkv4Backward& args, const WkvSegment& segment, const At& at,
                              Wkv4Totals& totals) {
  const Wkv4& forward = args.forward;
  const int64_t A = forward.width;
  const Vec decay = at.load(forward.decay);
  Wkv4State states[kWkvChunk];
  Wkv4Gradient gradient = {vset(0.0f), vset(0.0f), vset(kNoPast)};
  for (int64_t chunk = (segment.end - segment.begin - 1) / kWkvChunk; chunk >= 0; --chunk) {
    const int64_t begin = segment.begin + chunk * kWkvChunk;
    const int64_t count = min_of(kWkvChunk, segment.end - begin);
    states[0] = wkv4_load(at, forward.chunks + (segment.first_chunk + chunk) * 3 * A, A);
    for (int64_t i = 0; i + 1 < count; ++i) {
      const Vec k = at.load(static_cast<const T*>(forward.k) + (begin + i) * A);
      const Vec v = at.load(static_cast<const T*>(forward.v) + (begin + i) * A);
      states[i + 1] = wkv4_next(states[i], decay, k, v);
    }
    for (int64_t i = count - 1; i >= 0; --i)
      gradient = wkv4_token_back<T>(args, begin + i, at, states[i], gradient, totals);
  }
}

inline void wkv4_backward(const Wkv4Backward& args) {
  const Wkv4& forward = args.forward;
  const int64_t bytes = 20 * wkv_tokens(forward.segments, forward.segment_count) * forward.width;
  with_dtype(forward.dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    parallel_for(ceil_div(forward.width, kLanes), threads_for_bytes(forward.threads, bytes),
                 [&](int64_t block) {
                   with_channels(block, forward.width, [&](auto at) {
                     Wkv4Totals totals = {vset(0.0f), vset(0.0f)};
                     for (int64_t s = 0; s < forward.segment_count; ++s)
                       wkv4_segment_back<T>(args, forward.segments[s], at, totals);
                     at.store(args.ddecay, totals.decay);
                     at.store(args.dfirst, totals.first);
                   });
                 });
  });
}

}  // namespace
}  // namespace gradus::cpu
