// SPDX-License-Identifier: Apache-2.0
#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/matmul.h>
#include <ATen/ops/scaled_dot_product_attention.h>
#include <ATen/ops/softmax.h>

#include <algorithm>
#include <limits>

#include "tensor/fused_cpu.h"
#include "tensor/ops.h"

namespace gradus::ops {
namespace {

// [T, H, Dh] -> [1, H, T, Dh]
Tensor heads_first(const Tensor& x) { return x.transpose(0, 1).unsqueeze(0); }
// [1, H, T, Dh] -> [T, H, Dh]
Tensor tokens_first(const Tensor& x) { return x.squeeze(0).transpose(0, 1); }

// Which of the `keys` positions each of the last `queries` positions may see; [queries, keys].
Tensor causal_mask(int64_t queries, int64_t keys, int64_t window, const c10::Device& device) {
  const auto options = at::TensorOptions().dtype(at::kLong).device(device);
  const Tensor row = at::arange(keys - queries, keys, options).unsqueeze(1);
  const Tensor column = at::arange(keys, options).unsqueeze(0);
  Tensor mask = column <= row;
  if (window > 0) mask = mask.logical_and(column > row - window);
  return mask;
}

// What ALiBi adds to the scores, [H, 1, S] fp32.
Tensor alibi_bias(const AttentionOptions& options, int64_t keys) {
  const Tensor& slopes = options.alibi_slopes;
  const Tensor positions =
      options.key_positions.defined()
          ? options.key_positions.narrow(0, 0, keys)
          : at::arange(keys, at::TensorOptions().dtype(at::kLong).device(slopes.device()));
  const Tensor bias = slopes.unsqueeze(1) * positions.to(slopes.scalar_type()).unsqueeze(0);
  return (bias.to(at::kFloat) * options.alibi_scale).unsqueeze(1);
}

// How many queries' scores are held at once, 64 MB of them.
int64_t queries_per_block(int64_t heads, int64_t keys) {
  return std::max<int64_t>(1, (int64_t{1} << 24) / (heads * keys));
}

// [T, H, Dh] -> [H, T, Dh] fp32.
Tensor wide_heads(const Tensor& x) { return x.to(at::kFloat).transpose(0, 1); }

// q [T, H, Dh], k and v [H, S, Dh] fp32, visible [T, S] -> [T, H, Dh].
Tensor attend_at_once(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& visible,
                      const AttentionOptions& options) {
  Tensor scores = at::matmul(wide_heads(q), k.transpose(1, 2)) * options.scale;  // [H, T, S]
  scores = softcap(scores, options.softcap);
  if (options.alibi_slopes.defined()) scores = scores + alibi_bias(options, k.size(1));
  scores = scores.masked_fill(visible.logical_not(), -std::numeric_limits<float>::infinity());
  return at::matmul(at::softmax(scores, -1), v).transpose(0, 1).to(q.scalar_type());
}

// The plain composition, for what no kernel computes: visible [T, S], or undefined for causal. Its
// scores are kept for gradients only; else they are made for some queries after the other.
Tensor attend_plainly(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& visible,
                      const AttentionOptions& options) {
  const int64_t T = q.size(0), S = k.size(0), group = q.size(1) / k.size(1);
  const auto repeated = [&](const Tensor& x) {
    return group == 1 ? wide_heads(x) : wide_heads(x).repeat_interleave(group, 0);
  };
  const Tensor keys = repeated(k), values = repeated(v);
  const bool differentiated =
      at::GradMode::is_enabled() && (q.requires_grad() || k.requires_grad() || v.requires_grad());
  const int64_t step = differentiated ? T : queries_per_block(q.size(1), S);
  const auto block = [&](int64_t first, int64_t count) {
    const int64_t seen = visible.defined() ? S : S - T + first + count;
    const Tensor mask = visible.defined() ? visible.narrow(0, first, count)
                                          : causal_mask(count, seen, options.window, q.device());
    return attend_at_once(q.narrow(0, first, count), keys.narrow(1, 0, seen),
                          values.narrow(1, 0, seen), mask, options);
  };
  if (step >= T) return block(0, T);
  Tensor out = at::empty({T, q.size(1), v.size(2)}, q.options());
  for (int64_t first = 0; first < T; first += step) {
    const int64_t count = std::min(step, T - first);
    out.narrow(0, first, count).copy_(block(first, count));
  }
  return out;
}

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionOptions& options) {
  if (!options.is_plain()) return attend_plainly(q, k, v, {}, options);
  const int64_t queries = q.size(0), keys = k.size(0);
  const bool grouped = q.size(1) != k.size(1);
  const bool windowed = options.window > 0 && options.window < keys;
  std::optional<Tensor> mask;
  if (windowed || (queries != keys && queries > 1))
    mask = causal_mask(queries, keys, options.window, q.device());
  const bool causal = !mask && queries > 1;
  return tokens_first(at::scaled_dot_product_attention(
      heads_first(q), heads_first(k), heads_first(v), mask, 0.0, causal, options.scale, grouped));
}

template <class Attend>
Tensor per_segment(const Tensor& q, const std::vector<int64_t>& starts,
                   const Attend& attend_range) {
  if (starts.size() == 2) return attend_range(0, q.size(0));
  std::vector<Tensor> parts;
  parts.reserve(starts.size() - 1);
  for (size_t i = 0; i + 1 < starts.size(); ++i)
    parts.push_back(attend_range(starts[i], starts[i + 1] - starts[i]));
  return at::cat(parts, 0);
}

}  // namespace

Tensor packed_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                        const std::vector<int64_t>& segment_starts,
                        const AttentionOptions& options) {
  TORCH_CHECK(segment_starts.size() >= 2 && segment_starts.back() == q.size(0),
              "segment starts must end at T");
  if (options.is_plain() && fused_cpu::attention_applies(q))
    return fused_cpu::packed_attention(q, k, v, segment_starts, options);
  return per_segment(q, segment_starts, [&](int64_t start, int64_t length) {
    return attend(q.narrow(0, start, length), k.narrow(0, start, length),
                  v.narrow(0, start, length), options);
  });
}

Tensor cached_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                        const AttentionOptions& options) {
  TORCH_CHECK(q.size(0) <= k.size(0), "more queries than cached positions");
  return attend(q, k, v, options);
}

Tensor shared_attention(const Tensor& q, const Tensor& keys, int64_t width,
                        const AttentionOptions& options) {
  TORCH_CHECK(options.is_plain() && options.window == 0, "shared keys take plain scores only");
  const int64_t T = q.size(0), H = q.size(1), S = keys.size(0);
  const int64_t step = queries_per_block(H, S);
  const Tensor wide = keys.to(at::kFloat);
  Tensor out = at::empty({T, H, width}, q.options());
  for (int64_t first = 0; first < T; first += step) {
    const int64_t count = std::min(step, T - first), visible = S - T + first + count;
    const Tensor k = wide.narrow(0, 0, visible);
    const Tensor rows = q.narrow(0, first, count).to(at::kFloat).flatten(0, 1);
    Tensor scores = at::matmul(rows, k.t()).view({count, H, visible}) * options.scale;
    if (count > 1)
      scores.masked_fill_(causal_mask(count, visible, 0, q.device()).logical_not().unsqueeze(1),
                          -std::numeric_limits<float>::infinity());
    const Tensor weights = at::softmax(scores, -1).flatten(0, 1);
    out.narrow(0, first, count)
        .copy_(at::matmul(weights, k.narrow(1, 0, width)).view({count, H, width}));
  }
  return out;
}

Tensor masked_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                        const AttentionOptions& options) {
  if (!options.is_plain()) return attend_plainly(q, k, v, mask, options);
  return tokens_first(at::scaled_dot_product_attention(heads_first(q), heads_first(k),
                                                       heads_first(v), mask, 0.0, false,
                                                       options.scale, q.size(1) != k.size(1)));
}

namespace reference {

Tensor packed_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                        const std::vector<int64_t>& segment_starts,
                        const AttentionOptions& options) {
  return per_segment(q, segment_starts, [&](int64_t start, int64_t length) {
    const auto rows = [&](const Tensor& x) { return x.narrow(0, start, length); };
    return attend_plainly(rows(q), rows(k), rows(v), {}, options);
  });
}

}  // namespace reference
}  // namespace gradus::ops
