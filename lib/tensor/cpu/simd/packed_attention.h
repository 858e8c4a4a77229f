// SPDX-License-Identifier: Apache-2.0
// Causal attention of whole segments and its backward pass. See PackedAttention in kernels.h.
//
// The scores are made block by block with a running softmax and never leave the cache (Milakov &
// Gimelshein 2018, Dao et al. 2022). All arithmetic is fp32: keys and values are widened once per
// segment and head, in blocks laid out for the products that use them. A work item is one segment
// of one key-value head with all its query heads, so that gradients of keys and values need no
// second pass; results do not depend on the number of threads.
#pragma once

#include "tensor/cpu/kernels.h"
#include "tensor/cpu/simd/block_gemm.h"
#include "tensor/cpu/simd/scratch.h"

namespace gradus::cpu {
namespace {

constexpr int64_t kBlock = 64;  // queries and keys at a time
constexpr float kNoScore = -1e30f;

inline int64_t padded(int64_t n, int64_t unit) { return ceil_div(n, unit) * unit; }

// One work item: tokens [start, start + n) of one key-value head.
struct AttentionItem {
  int64_t start, n, kv_head;
};

template <class T>
inline const T* at_token(const HeadsView& x, int64_t token, int64_t head) {
  return static_cast<const T*>(x.data) + token * x.token_stride + head * x.head_stride;
}

// Keys [first, first + count) of the segment; `width` is count rounded up to whole vectors.
struct KeyBlock {
  int64_t first, count, width;
};
inline KeyBlock key_block(int64_t n, int64_t j) {
  const int64_t count = min_of(kBlock, n - j * kBlock);
  return {j * kBlock, count, padded(count, kLanes)};
}

// Rows [count, Dh] of a head, widened and scaled, rows up to `rows` zero.
template <class T>
inline void widen_rows(const T* x, int64_t stride, float scale, float* out, int64_t count,
                       int64_t rows, int64_t width) {
  for (int64_t t = 0; t < rows; ++t, x += stride, out += width) {
    for (int64_t d = 0; d < width; d += kLanes)
      vstore(out + d, t < count ? vload(x + d) * vset(scale) : vset(0.0f));
  }
}

// The same rows as columns: out [Dh, kBlock].
template <class T>
inline void widen_columns(const T* x, int64_t stride, float* out, int64_t count, int64_t columns,
                          int64_t width) {
  for (int64_t t = 0; t < columns; ++t, x += stride) {
    for (int64_t d = 0; d < width; ++d) out[d * kBlock + t] = t < count ? load_one(x + d) : 0.0f;
  }
}

// Query `row` sees key c when c <= row and, under a window, c > row - window. Overwrites the scores
// of the keys that it does not see.
inline void mask_row(float* scores, int64_t row, const KeyBlock& keys, int64_t window,
                     float hidden) {
  const int64_t from = window > 0 ? max_of(0, row - window + 1 - keys.first) : 0;
  const int64_t to = row - keys.first + 1;
  for (int64_t c = 0; c < min_of(from, keys.width); ++c) scores[c] = hidden;
  for (int64_t c = max_of(to, 0); c < keys.width; ++c) scores[c] = hidden;
}
inline bool needs_mask(int64_t first_row, int64_t rows, const KeyBlock& keys, int64_t window) {
  const bool causal = keys.first + keys.width > first_row + 1;
  return causal || (window > 0 && keys.first <= first_row + rows - 1 - window);
}
// The first key block that any query from `first_row` on sees.
inline int64_t first_key_block(int64_t first_row, int64_t window) {
  return window > 0 ? max_of(0, first_row - window + 1) / kBlock : 0;
}

inline float exp_scalar(float x) {
  float lanes[kLanes];
  vstore(lanes, vexp(vset(x)));
  return lanes[0];
}

// One row of scores becomes exp(score - maximum); earlier sums and outputs are rescaled.
inline void softmax_row(float* scores, int64_t width, float* out, int64_t head_dim, float& maximum,
                        float& sum) {
  Vec best = vset(maximum);
  for (int64_t c = 0; c < width; c += kLanes) best = vmax(best, vload(scores + c));
  const float largest = vmax_lane(best);
  if (largest != maximum) {
    const float shrink = exp_scalar(maximum - largest);
    sum *= shrink;
    for (int64_t d = 0; d < head_dim; d += kLanes) vstore(out + d, vload(out + d) * vset(shrink));
    maximum = largest;
  }
  Vec total = vset(0.0f);
  for (int64_t c = 0; c < width; c += kLanes) {
    const Vec p = vexp(vload(scores + c) - vset(largest));
    vstore(scores + c, p);
    total = total + p;
  }
  sum += vsum(total);
}

// Buffers of one thread. Blocks of keys lie one after the other, kBlock · Dh floats each.
struct ForwardBuffers {
  float *keys, *values, *q, *scores, *out;
  static int64_t size(int64_t longest, int64_t head_dim) {
    return 2 * padded(longest, kBlock) * head_dim + 2 * kBlock * head_dim + kBlock * kBlock;
  }
  ForwardBuffers(float* memory, int64_t longest, int64_t head_dim) {
    const int64_t all = padded(longest, kBlock) * head_dim;
    keys = memory, values = keys + all, q = values + all;
    scores = q + kBlock * head_dim, out = scores + kBlock * kBlock;
  }
};

template <class T>
inline void forward_queries(const PackedAttention& args, const AttentionItem& item, int64_t head,
                            int64_t first_row, const ForwardBuffers& b) {
  const int64_t Dh = args.head_dim, rows = min_of(kBlock, item.n - first_row),
                rows4 = padded(rows, 4);
  float maximum[kBlock], sum[kBlock];
  for (int64_t r = 0; r < kBlock; ++r) maximum[r] = kNoScore, sum[r] = 0.0f;
  const T* q = at_token<T>(args.q, item.start + first_row, head);
  widen_rows(q, args.q.token_stride, args.scale, b.q, rows, rows4, Dh);
  for (int64_t i = 0; i < rows4 * Dh; ++i) b.out[i] = 0.0f;
  const int64_t last = first_row / kBlock;
  for (int64_t j = first_key_block(first_row, args.window); j <= last; ++j) {
    const KeyBlock keys = key_block(item.n, j);
    const float *kt = b.keys + keys.first * Dh, *v = b.values + keys.first * Dh;
    block_gemm({b.q, Dh, 1, kt, kBlock, b.scores, kBlock, rows4, keys.width, Dh, false});
    const bool masked = needs_mask(first_row, rows, keys, args.window);
    for (int64_t r = 0; r < rows; ++r) {
      float* scores = b.scores + r * kBlock;
      if (masked) mask_row(scores, first_row + r, keys, args.window, -__builtin_inff());
      softmax_row(scores, keys.width, b.out + r * Dh, Dh, maximum[r], sum[r]);
    }
    block_gemm({b.scores, kBlock, 1, v, Dh, b.out, Dh, rows4, Dh, keys.width, true});
  }
  for (int64_t r = 0; r < rows; ++r) {
    const int64_t token = item.start + first_row + r;
    T* out = static_cast<T*>(args.out) + (token * args.heads + head) * Dh;
    for (int64_t d = 0; d < Dh; d += kLanes)
      vstore(out + d, vload(b.out + r * Dh + d) * vset(1.0f / sum[r]));
    if (args.lse) args.lse[head * args.tokens + token] = maximum[r] + __builtin_logf(sum[r]);
  }
}

template <class T>
inline void forward_item(const PackedAttention& args, const AttentionItem& item,
                         const ForwardBuffers& b) {
  const int64_t Dh = args.head_dim, group = args.heads / args.kv_heads;
  for (int64_t j = 0; j * kBlock < item.n; ++j) {
    const KeyBlock keys = key_block(item.n, j);
    const int64_t token = item.start + keys.first;
    widen_columns(at_token<T>(args.k, token, item.kv_head), args.k.token_stride,
                  b.keys + keys.first * Dh, keys.count, keys.width, Dh);
    widen_rows(at_token<T>(args.v, token, item.kv_head), args.v.token_stride, 1.0f,
               b.values + keys.first * Dh, keys.count, keys.width, Dh);
  }
  for (int64_t g = 0; g < group; ++g) {
    for (int64_t row = 0; row < item.n; row += kBlock)
      forward_queries<T>(args, item, item.kv_head * group + g, row, b);
  }
}

struct BackwardBuffers {
  float *keys, *key_rows, *values, *dkeys, *dvalues;  // whole segment
  float *q, *dout, *dq, *p, *dp;                      // one block
  static int64_t size(int64_t longest, int64_t head_dim) {
    return 5 * padded(longest, kBlock) * head_dim + 3 * kBlock * head_dim + 2 * kBlock * kBlock;
  }
  BackwardBuffers(float* memory, int64_t longest, int64_t head_dim) {
    const int64_t all = padded(longest, kBlock) * head_dim, block = kBlock * head_dim;
    keys = memory, key_rows = keys + all, values = key_rows + all;
    dkeys = values + all, dvalues = dkeys + all;
    q = dvalues + all, dout = q + block, dq = dout + block;
    p = dq + block, dp = p + kBlock * kBlock;
  }
};

// p = exp(score - lse), dp becomes p · (dp - delta).
inline void backward_row(float* p, float* dp, int64_t width, float lse, float delta) {
  for (int64_t c = 0; c < width; c += kLanes) {
    const Vec probability = vexp(vload(p + c) - vset(lse));
    vstore(p + c, probability);
    vstore(dp + c, probability * (vload(dp + c) - vset(delta)));
  }
}

template <class T>
inline float dot_row(const T* a, const float* b, int64_t n) {
  Vec sum = vset(0.0f);
  for (int64_t d = 0; d < n; d += kLanes) sum = vfma(vload(a + d), vload(b + d), sum);
  return vsum(sum);
}

template <class T>
inline void backward_queries(const PackedAttentionBackward& args, const AttentionItem& item,
                             int64_t head, int64_t first_row, const BackwardBuffers& b) {
  const PackedAttention& f = args.forward;
  const int64_t Dh = f.head_dim, rows = min_of(kBlock, item.n - first_row), rows4 = padded(rows, 4),
                token = item.start + first_row;
  const int64_t dense = f.heads * Dh;
  const T* dout = static_cast<const T*>(args.dout) + token * dense + head * Dh;
  const T* out = static_cast<const T*>(f.out) + token * dense + head * Dh;
  widen_rows(at_token<T>(f.q, token, head), f.q.token_stride, f.scale, b.q, rows, rows4, Dh);
  widen_rows(dout, dense, 1.0f, b.dout, rows, rows4, Dh);
  float delta[kBlock], lse[kBlock];
  for (int64_t r = 0; r < rows4; ++r) {
    delta[r] = r < rows ? dot_row(out + r * dense, b.dout + r * Dh, Dh) : 0.0f;
    lse[r] = r < rows ? f.lse[head * f.tokens + token + r] : __builtin_inff();
  }
  for (int64_t i = 0; i < rows4 * Dh; ++i) b.dq[i] = 0.0f;
  for (int64_t j = first_key_block(first_row, f.window); j <= first_row / kBlock; ++j) {
    const KeyBlock keys = key_block(item.n, j);
    const int64_t at = keys.first * Dh;
    block_gemm({b.q, Dh, 1, b.keys + at, kBlock, b.p, kBlock, rows4, keys.width, Dh, false});
    block_gemm({b.dout, Dh, 1, b.values + at, kBlock, b.dp, kBlock, rows4, keys.width, Dh, false});
    const bool masked = needs_mask(first_row, rows, keys, f.window);
    for (int64_t r = 0; r < rows4; ++r) {
      float* scores = b.p + r * kBlock;
      if (masked) mask_row(scores, first_row + r, keys, f.window, -__builtin_inff());
      backward_row(scores, b.dp + r * kBlock, keys.width, lse[r], delta[r]);
    }
    block_gemm({b.p, 1, kBlock, b.dout, Dh, b.dvalues + at, Dh, keys.width, Dh, rows4, true});
    block_gemm({b.dp, 1, kBlock, b.q, Dh, b.dkeys + at, Dh, keys.width, Dh, rows4, true});
    block_gemm({b.dp, kBlock, 1, b.key_rows + at, Dh, b.dq, Dh, rows4, Dh, keys.width, true});
  }
  T* dq = static_cast<T*>(args.dq) + token * dense + head * Dh;
  for (int64_t r = 0; r < rows; ++r) {
    for (int64_t d = 0; d < Dh; d += kLanes)
      vstore(dq + r * dense + d, vload(b.dq + r * Dh + d) * vset(f.scale));
  }
}

template <class T>
inline void store_rows(void* out, int64_t stride, const float* x, int64_t count, int64_t width) {
  T* to = static_cast<T*>(out);
  for (int64_t t = 0; t < count; ++t) {
    for (int64_t d = 0; d < width; d += kLanes)
      vstore(to + t * stride + d, vload(x + t * width + d));
  }
}

template <class T>
inline void backward_item(const PackedAttentionBackward& args, const AttentionItem& item,
                          const BackwardBuffers& b) {
  const PackedAttention& f = args.forward;
  const int64_t Dh = f.head_dim, group = f.heads / f.kv_heads;
  for (int64_t j = 0; j * kBlock < item.n; ++j) {
    const KeyBlock keys = key_block(item.n, j);
    const int64_t token = item.start + keys.first, at = keys.first * Dh;
    const T* k = at_token<T>(f.k, token, item.kv_head);
    widen_columns(k, f.k.token_stride, b.keys + at, keys.count, keys.width, Dh);
    widen_rows(k, f.k.token_stride, 1.0f, b.key_rows + at, keys.count, keys.width, Dh);
    widen_columns(at_token<T>(f.v, token, item.kv_head), f.v.token_stride, b.values + at,
                  keys.count, keys.width, Dh);
  }
  const int64_t all = padded(item.n, kBlock) * Dh;
  for (int64_t i = 0; i < all; ++i) b.dkeys[i] = 0.0f;
  for (int64_t i = 0; i < all; ++i) b.dvalues[i] = 0.0f;
  for (int64_t g = 0; g < group; ++g) {
    for (int64_t row = 0; row < item.n; row += kBlock)
      backward_queries<T>(args, item, item.kv_head * group + g, row, b);
  }
  const int64_t dense = f.kv_heads * Dh, first = item.start * dense + item.kv_head * Dh;
  store_rows<T>(static_cast<T*>(args.dk) + first, dense, b.dkeys, item.n, Dh);
  store_rows<T>(static_cast<T*>(args.dv) + first, dense, b.dvalues, item.n, Dh);
}

// run(item, buffers) for every segment and key-value head, the longest segment's buffers each.
template <class Buffers, class Run>
inline void for_attention_items(const PackedAttention& args, const Run& run) {
  int64_t longest = 0;
  for (int64_t s = 0; s < args.segment_count; ++s)
    longest = max_of(longest, args.segment_starts[s + 1] - args.segment_starts[s]);
  const int64_t items = args.segment_count * args.kv_heads;
  const int threads = thread_count(args.threads, items);
  const int64_t size = padded(Buffers::size(longest, args.head_dim), kLanes);
  float* memory = scratch<float>(size * threads);
#pragma omp parallel for schedule(dynamic, 1) num_threads(threads)
  for (int64_t i = 0; i < items; ++i) {
    const int64_t segment = i / args.kv_heads, start = args.segment_starts[segment];
    const Buffers buffers(memory + size * omp_get_thread_num(), longest, args.head_dim);
    run(AttentionItem{start, args.segment_starts[segment + 1] - start, i % args.kv_heads}, buffers);
  }
}

inline void packed_attention(const PackedAttention& args) {
  with_dtype(args.dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    for_attention_items<ForwardBuffers>(
        args, [&](const AttentionItem& item, const ForwardBuffers& buffers) {
          forward_item<T>(args, item, buffers);
        });
  });
}

inline void packed_attention_backward(const PackedAttentionBackward& args) {
  with_dtype(args.forward.dtype, [&](auto tag) {
    using T = typename decltype(tag)::Type;
    for_attention_items<BackwardBuffers>(
        args.forward, [&](const AttentionItem& item, const BackwardBuffers& buffers) {
          backward_item<T>(args, item, buffers);
        });
  });
}

}  // namespace
}  // namespace gradus::cpu
