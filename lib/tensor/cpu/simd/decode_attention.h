// SPDX-License-Identifier: Apache-2.0
// Attention of one query token per sequence over its cache. See DecodeAttention in kernels.h.
//
// The tokens of a sequence are cut at fixed multiples of kDecodeChunk. A work item is one chunk of
// one key-value head: scores of all its query heads, softmax against the chunk's own maximum, and
// the weighted sum of values, kept as (maximum, sum, values). The chunks of a head are then merged
// in order, as in flash-decoding (Dao et al. 2023).
#pragma once

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/simd/loops.h"

namespace gradus::cpu {
namespace {

constexpr int64_t kMaxHeadDim = 256;
#if defined(__AVX512F__)
constexpr int64_t kHeadTile = 4;
#else
constexpr int64_t kHeadTile = 2;
#endif
constexpr int64_t kValueVecs = 4;  // value vectors summed at once

inline float exp_one(float x) {
  float lanes[kLanes];
  vstore(lanes, vexp(vset(x)));
  return lanes[0];
}

// What one sequence contributes: its chunks [first, end), and where its partial results begin.
struct DecodeSpan {
  const DecodeSequence& sequence;
  int64_t start;  // first token inside the window
  int64_t first, end;
  int64_t workspace_chunk;
};

struct DecodeChunk {
  const void* const* pages;
  int64_t head;  // key-value head
  int64_t begin, end;
};

// body(pointer to the first token's row, first token, count) for each run of tokens in one page.
template <class C, class Body>
inline void for_page_runs(const DecodeAttention& args, const DecodeChunk& chunk, const Body& body) {
  for (int64_t t = chunk.begin; t < chunk.end;) {
    const int64_t page = t / args.page_tokens, offset = t % args.page_tokens;
    const int64_t count = min_of(chunk.end - t, args.page_tokens - offset);
    const C* base = static_cast<const C*>(chunk.pages[page]);
    body(base + chunk.head * args.head_stride + offset * args.token_stride, t - chunk.begin, count);
    t += count;
  }
}

// scores[r][t] = q_r . k_t for kHeads query heads; q is fp32 [kHeads, Dh].
template <int kHeads, class C>
inline void chunk_scores(const DecodeAttention& args, const DecodeChunk& chunk, const float* q,
                         float (*scores)[kDecodeChunk]) {
  for_page_runs<C>(args, chunk, [&](const C* k, int64_t first, int64_t count) {
    for (int64_t t = first; t < first + count; ++t, k += args.token_stride) {
      Vec sum[kHeads];
      for (Vec& s : sum) s = vset(0.0f);
      for (int64_t d = 0; d < args.head_dim; d += kLanes) {
        const Vec key = vload(k + d);
        for (int r = 0; r < kHeads; ++r) {
          sum[r] = vfma(key, vload(q + r * args.head_dim + d), sum[r]);
        }
      }
      for (int r = 0; r < kHeads; ++r) scores[r][t] = vsum(sum[r]);
    }
  });
}

struct SoftmaxSums {
  float maximum;
  float sum;
};
// Scores become exp(score - maximum); what lies behind `count` is overwritten.
inline SoftmaxSums chunk_softmax(const DecodeAttention& args, float* scores, int64_t count) {
  const Vec scale = vset(args.scale), cap = vset(args.softcap);
  const int64_t padded = ceil_div(count, kLanes) * kLanes;
  for (int64_t t = 0; t < padded; t += kLanes) {
    Vec s = vload(scores + t) * scale;
    if (args.softcap > 0) s = vtanh(s / cap) * cap;
    vstore(scores + t, s);
  }
  for (int64_t t = count; t < padded; ++t) scores[t] = -__builtin_inff();
  Vec best = vload(scores), sum = vset(0.0f);
  for (int64_t t = kLanes; t < padded; t += kLanes) best = vmax(best, vload(scores + t));
  const float maximum = vmax_lane(best);
  for (int64_t t = 0; t < padded; t += kLanes) {
    const Vec p = vexp(vload(scores + t) - vset(maximum));
    vstore(scores + t, p);
    sum = sum + p;
  }
  return {maximum, vsum(sum)};
}

// out[r][d..] += sum over t of p[r][t] * v_t, kVecs vectors of d.
template <int kHeads, int kVecs, class C>
inline void run_values(const C* v, int64_t token_stride, int64_t count, const float* const* p,
                       float* const* out) {
  Vec sum[kHeads][kVecs];
  for (int r = 0; r < kHeads; ++r)
    for (int i = 0; i < kVecs; ++i) sum[r][i] = vload(out[r] + i * kLanes);
  for (int64_t t = 0; t < count; ++t, v += token_stride) {
    for (int i = 0; i < kVecs; ++i) {
      const Vec value = vload(v + i * kLanes);
      for (int r = 0; r < kHeads; ++r) sum[r][i] = vfma(vset(p[r][t]), value, sum[r][i]);
    }
  }
  for (int r = 0; r < kHeads; ++r)
    for (int i = 0; i < kVecs; ++i) vstore(out[r] + i * kLanes, sum[r][i]);
}

// One vector position (or kVecs of them) of the values of a chunk, for kHeads heads.
template <int kHeads, int kVecs, class C>
inline void chunk_values_at(const DecodeAttention& args, const DecodeChunk& chunk, int64_t d,
                            const float (*p)[kDecodeChunk], float* const* out) {
  for_page_runs<C>(args, chunk, [&](const C* v, int64_t first, int64_t count) {
    const float* weights[kHeads];
    float* sums[kHeads];
    for (int r = 0; r < kHeads; ++r) {
      weights[r] = p[r] + first;
      sums[r] = out[r] + d;
    }
    run_values<kHeads, kVecs>(v + d, args.token_stride, count, weights, sums);
  });
}

// Where the partial result of (head, chunk) lies: maximum, sum, values[Dh].
inline float* partial_result(const DecodeAttention& args, const DecodeSpan& span, int64_t head,
                             int64_t chunk) {
  const int64_t chunks = span.end - span.first;
  const int64_t index = span.workspace_chunk * args.heads + head * chunks + chunk - span.first;
  return args.workspace + index * (args.head_dim + 2);
}

// kHeads query heads from `head` on, all of one key-value head, times one chunk.
template <int kHeads, class C>
inline void attend_heads(const DecodeAttention& args, const DecodeSpan& span, int64_t head,
                         int64_t chunk) {
  const int64_t kv_head = head / (args.heads / args.kv_heads), dim = args.head_dim;
  const int64_t begin = max_of(span.start, chunk * kDecodeChunk);
  const int64_t end = min_of(span.sequence.length, (chunk + 1) * kDecodeChunk);
  alignas(64) float q[kHeads * kMaxHeadDim];
  alignas(64) float scores[kHeads][kDecodeChunk];
  with_dtype(args.dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    const T* from = static_cast<const T*>(span.sequence.q) + head * dim;
    for (int64_t d = 0; d < kHeads * dim; d += kLanes) vstore(q + d, vload(from + d));
  });
  chunk_scores<kHeads, C>(args, {span.sequence.k_pages, kv_head, begin, end}, q, scores);
  float* out[kHeads];
  for (int r = 0; r < kHeads; ++r) {
    float* partial = partial_result(args, span, head + r, chunk);
    const SoftmaxSums sums = chunk_softmax(args, scores[r], end - begin);
    partial[0] = sums.maximum;
    partial[1] = sums.sum;
    out[r] = partial + 2;
    for (int64_t d = 0; d < dim; d += kLanes) vstore(out[r] + d, vset(0.0f));
  }
  const DecodeChunk values = {span.sequence.v_pages, kv_head, begin, end};
  int64_t d = 0;
  for (; d + kValueVecs * kLanes <= dim; d += kValueVecs * kLanes) {
    chunk_values_at<kHeads, kValueVecs, C>(args, values, d, scores, out);
  }
  for (; d < dim; d += kLanes) chunk_values_at<kHeads, 1, C>(args, values, d, scores, out);
}

template <class C>
inline void attend_group(const DecodeAttention& args, const DecodeSpan& span, int64_t kv_head,
                         int64_t chunk) {
  const int64_t group = args.heads / args.kv_heads;
  int64_t head = kv_head * group;
  const int64_t end = head + group;
  for (; head + kHeadTile <= end; head += kHeadTile) {
    attend_heads<kHeadTile, C>(args, span, head, chunk);
  }
  switch (end - head) {
    case 3:
      return attend_heads<3, C>(args, span, head, chunk);
    case 2:
      return attend_heads<2, C>(args, span, head, chunk);
    case 1:
      return attend_heads<1, C>(args, span, head, chunk);
  }
}

// Merges the chunks of one head and writes its output.
inline void merge_head(const DecodeAttention& args, const DecodeSpan& span, int64_t head) {
  const int64_t dim = args.head_dim, chunks = span.end - span.first;
  const float* partial = partial_result(args, span, head, span.first);
  float maximum = partial[0], sum = 0;
  for (int64_t c = 1; c < chunks; ++c) {
    const float other = partial[c * (dim + 2)];
    maximum = other > maximum ? other : maximum;
  }
  alignas(64) float out[kMaxHeadDim] = {};
  for (int64_t c = 0; c < chunks; ++c) {
    const float* from = partial + c * (dim + 2);
    const float weight = exp_one(from[0] - maximum);
    sum = from[1] * weight + sum;
    for (int64_t d = 0; d < dim; d += kLanes) {
      vstore(out + d, vfma(vload(from + 2 + d), vset(weight), vload(out + d)));
    }
  }
  with_dtype(args.dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    T* to = static_cast<T*>(span.sequence.out) + head * dim;
    for (int64_t d = 0; d < dim; d += kLanes) vstore(to + d, vload(out + d) / vset(sum));
  });
}

inline DecodeSpan decode_span(const DecodeAttention& args, int64_t sequence, int64_t workspace) {
  const DecodeSequence& s = args.sequences[sequence];
  const int64_t start = args.window > 0 ? max_of(0, s.length - args.window) : 0;
  return {s, start, start / kDecodeChunk, ceil_div(s.length, kDecodeChunk), workspace};
}

// Work items are (sequence, key-value head, chunk), sequence by sequence.
inline int64_t decode_items(const DecodeAttention& args) {
  int64_t items = 0;
  for (int64_t i = 0; i < args.sequence_count; ++i) {
    const DecodeSpan span = decode_span(args, i, 0);
    items += (span.end - span.first) * args.kv_heads;
  }
  return items;
}

template <class C>
inline void attend_items(const DecodeAttention& args, int64_t begin, int64_t end) {
  int64_t item = 0, chunk_base = 0;
  for (int64_t i = 0; i < args.sequence_count && item < end; ++i) {
    const DecodeSpan span = decode_span(args, i, chunk_base);
    const int64_t chunks = span.end - span.first, count = chunks * args.kv_heads;
    for (int64_t j = max_of(begin, item); j < min_of(end, item + count); ++j) {
      attend_group<C>(args, span, (j - item) / chunks, span.first + (j - item) % chunks);
    }
    item += count;
    chunk_base += chunks;
  }
}

inline void merge_all(const DecodeAttention& args) {
  int64_t chunk_base = 0;
  for (int64_t i = 0; i < args.sequence_count; ++i) {
    const DecodeSpan span = decode_span(args, i, chunk_base);
    for (int64_t head = 0; head < args.heads; ++head) merge_head(args, span, head);
    chunk_base += span.end - span.first;
  }
}

inline void decode_attention(const DecodeAttention& args) {
  int64_t tokens = 0;
  for (int64_t i = 0; i < args.sequence_count; ++i) {
    tokens +=
        args.window > 0 ? min_of(args.window, args.sequences[i].length) : args.sequences[i].length;
  }
  const int64_t bytes =
      2 * tokens * args.kv_heads * args.head_dim * element_bytes(args.cache_dtype);
  const int threads = threads_for_bytes(args.threads, bytes);
  parallel_ranges(decode_items(args), threads, [&](int64_t begin, int64_t end) {
    with_dtype(args.cache_dtype,
               [&](auto tag) { attend_items<typename decltype(tag)::Type>(args, begin, end); });
  });
  merge_all(args);
}

}  // namespace
}  // namespace gradus::cpu
