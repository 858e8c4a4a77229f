// SPDX-License-Identifier: Apache-2.0
#include "model/blocks.h"

#include <ATen/TensorOperators.h>
#include <ATen/core/grad_mode.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/clamp.h>
#include <ATen/ops/div.h>
#include <ATen/ops/index_add.h>
#include <ATen/ops/sigmoid.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/topk.h>
#include <ATen/ops/zeros_like.h>

#include <limits>

#include "model/latent.h"
#include "tensor/ops.h"

namespace gradus {
namespace {

using at::Tensor;

struct Qkv {
  Tensor q, k, v;  // [T, H, Dh], [T, Hkv, Dh] twice
};

// Splits the fused product; the gradient of a split is one concatenation.
Qkv split_heads(const ModelConfig& c, const Tensor& product) {
  const int64_t T = product.size(0), H = c.num_attention_heads, Hkv = c.num_key_value_heads;
  if (c.qkv_layout == QkvLayout::kBlocks) {
    const auto parts =
        product.view({T, H + 2 * Hkv, c.head_dim}).split_with_sizes({H, Hkv, Hkv}, 1);
    return {parts[0], parts[1], parts[2]};
  }
  const int64_t group = H / Hkv;
  const auto parts =
      product.view({T, Hkv, group + 2, c.head_dim}).split_with_sizes({group, 1, 1}, 2);
  return {parts[0].reshape({T, H, c.head_dim}), parts[1].squeeze(2), parts[2].squeeze(2)};
}

// x [T, heads, Dh].
Tensor head_norm(const ModelConfig& c, const Norm& norm, const Tensor& x) {
  switch (c.qk_norm) {
    case QkNorm::kNone:
      return x;
    case QkNorm::kSharedHead:
      return apply_norm(c, norm, x);
    case QkNorm::kEachHead: {
      const Tensor scaled =
          ops::layer_norm(x, {}, {}, c.norm_eps) * norm.weight.view({x.size(1), x.size(2)});
      return norm.bias.defined() ? scaled + norm.bias.view({x.size(1), x.size(2)}) : scaled;
    }
    case QkNorm::kFull:
      return apply_norm(c, norm, x.flatten(1)).view(x.sizes());
  }
  return x;
}

// Projections, rotary embedding, attention, output projection.
Tensor attention_block(const ModelConfig& c, const DecoderLayer& layer, const LayerContext& context,
                       const Tensor& x, Attention& attention) {
  Tensor product = layer.qkv.forward(x);
  if (c.clip_qkv > 0) product = at::clamp(product, -c.clip_qkv, c.clip_qkv);
  auto [q, k, v] = split_heads(c, product);
  q = head_norm(c, layer.q_norm, q);
  k = head_norm(c, layer.k_norm, k);
  if (context.rotary.cos.defined()) {
    q = rotated(context, q);
    k = rotated(context, k);
  }
  const ops::AttentionOptions options{.scale = c.attention_scale,
                                      .window = c.layer_window[static_cast<size_t>(context.index)],
                                      .softcap = c.attention_softcap,
                                      .alibi_slopes = context.alibi_slopes,
                                      .alibi_scale = c.alibi.scale};
  const Tensor mixed = attention.attend(context.index, q, k, v, options);
  return layer.o.forward(mixed.reshape({x.size(0), c.num_attention_heads * c.head_dim}));
}

Tensor feed_forward(const ModelConfig& c, const Linear& gate_up, const Linear& down,
                    const Tensor& x) {
  const Tensor inner = gate_up.forward(x);
  return down.forward(c.gated ? ops::gated(inner, c.activation)
                              : ops::activate(inner, c.activation));
}

Tensor router_scores(const ModelConfig& c, const Tensor& router, const Tensor& x) {
  const Tensor logits = c.moe.router_in_float
                            ? ops::linear(x.to(at::kFloat), router.to(at::kFloat), {})
                            : ops::linear(x, router, {});
  return c.moe.score == RouterScore::kSigmoid ? at::sigmoid(logits.to(at::kFloat))
                                              : at::softmax(logits, -1, at::kFloat);
}

// The scores [T, E] with those outside the best groups pushed below all others.
Tensor only_best_groups(const MoeConfig& moe, const Tensor& scores) {
  if (moe.groups == 0) return scores;
  const Tensor grouped = scores.unflatten(1, {moe.groups, moe.experts / moe.groups});
  const Tensor best = std::get<0>(at::topk(grouped, moe.group_best, -1)).sum(-1);  // [T, groups]
  const Tensor chosen = std::get<1>(at::topk(best, moe.groups_per_token, -1));
  const Tensor visible = at::zeros_like(best, at::kBool).scatter(1, chosen, true);
  constexpr double kNever = -std::numeric_limits<double>::infinity();
  return grouped.masked_fill(visible.logical_not().unsqueeze(-1), kNever).flatten(1);
}

struct Route {
  Tensor weights, chosen;  // [T, K], fp32 and int64
};
Route route(const ModelConfig& c, const Experts& experts, const Tensor& x) {
  const Tensor scores = router_scores(c, experts.router, x);
  const Tensor liked = experts.router_bias.defined() ? scores + experts.router_bias : scores;
  const Tensor chosen =
      std::get<1>(at::topk(only_best_groups(c.moe, liked.detach()), c.moe.experts_per_token, -1));
  Tensor weights = scores.gather(1, chosen);
  if (c.moe.normalised) weights = weights / weights.sum(-1, true);
  return {c.moe.scale == 1.0 ? weights : weights * c.moe.scale, chosen};
}

// The tokens of each expert, as places in the flat choices [T · K] on the CPU.
std::vector<std::vector<int64_t>> places_by_expert(const Tensor& chosen, int64_t experts) {
  const Tensor host = chosen.to(at::kCPU).contiguous();
  const auto* expert = host.const_data_ptr<int64_t>();
  std::vector<std::vector<int64_t>> places(static_cast<size_t>(experts));
  for (int64_t i = 0; i < host.numel(); ++i) places[static_cast<size_t>(expert[i])].push_back(i);
  return places;
}

Tensor experts_block(const ModelConfig& c, const Experts& experts, const Tensor& x) {
  const int64_t K = c.moe.experts_per_token;
  const auto [weights, chosen] = route(c, experts, x);
  const Tensor flat_weights = weights.to(x.scalar_type()).flatten();
  std::vector<Tensor> outputs, rows;
  const auto places = places_by_expert(chosen, c.moe.experts);
  for (size_t e = 0; e < places.size(); ++e) {
    if (places[e].empty() && !at::GradMode::is_enabled()) continue;  // a gradient of 0 needs a pass
    const Tensor place = at::tensor(places[e], at::kLong).to(x.device());
    rows.push_back(at::div(place, K, "floor"));
    const Tensor y =
        feed_forward(c, experts.gate_up[e], experts.down[e], x.index_select(0, rows.back()));
    outputs.push_back(y * flat_weights.index_select(0, place).unsqueeze(1));
  }
  const Tensor sum = at::zeros_like(x).index_add(0, at::cat(rows, 0), at::cat(outputs, 0));
  if (experts.shared_down.parts.empty()) return sum;
  const Tensor shared = feed_forward(c, experts.shared_gate_up, experts.shared_down, x);
  if (experts.shared_gate.parts.empty()) return sum + shared;
  return sum + shared * at::sigmoid(experts.shared_gate.forward(x));
}

Tensor mlp_block(const ModelConfig& c, const DecoderLayer& layer, const Tensor& x) {
  return layer.experts.router.defined() ? experts_block(c, layer.experts, x)
                                        : feed_forward(c, layer.gate_up, layer.down, x);
}

Tensor add(const ModelConfig& c, const Tensor& x, const Tensor& update) {
  return c.residual_scale == 1.0 ? x + update : x + update * c.residual_scale;
}

Stream recurrent_layer(const ModelConfig& c, const DecoderLayer& layer, int64_t index,
                       const Stream& stream, Attention& attention) {
  Tensor first_value = stream.size() > 1 ? stream[1] : Tensor();
  const Tensor middle = stream[0] + time_mixing(c, layer.recurrent, index,
                                                apply_norm(c, layer.attention_norm, stream[0]),
                                                first_value, attention);
  const Tensor x = middle + channel_mixing(c, layer.recurrent, index,
                                           apply_norm(c, layer.mlp_norm, middle), attention);
  const bool gives_value = stream.size() == 1 && first_value.defined();
  return gives_value ? Stream{x, first_value} : Stream{x};
}

}  // namespace

Tensor rotated(const LayerContext& context, const Tensor& x) {
  const auto pairs = context.interleaved ? ops::RotaryPairs::kAdjacent : ops::RotaryPairs::kHalves;
  return ops::rotary(x, context.rotary.cos, context.rotary.sin, pairs);
}

Tensor apply_norm(const ModelConfig& c, const Norm& norm, const Tensor& x) {
  if (!norm.exists()) return x;
  switch (c.norm) {
    case NormKind::kRms:
      return ops::rms_norm(x, norm.weight, c.norm_eps);
    case NormKind::kRmsPlusOne:
      return ops::rms_norm(x, norm.weight.to(at::kFloat) + 1, c.norm_eps);
    case NormKind::kLayer:
      return ops::layer_norm(x, norm.weight, norm.bias, c.norm_eps);
    case NormKind::kPlainLayer:
      return ops::layer_norm(x, {}, {}, c.norm_eps);
  }
  return x;
}

Stream layer_forward(const ModelConfig& c, const DecoderLayer& layer, const LayerContext& context,
                     const Stream& stream, Attention& attention) {
  if (c.recurrent.kind != RecurrentKind::kNone)
    return recurrent_layer(c, layer, context.index, stream, attention);
  const Tensor& x = stream[0];
  const Tensor normed = apply_norm(c, layer.attention_norm, x);
  const auto block = c.latent.kv_rank > 0 ? latent_attention_block : attention_block;
  const Tensor mixed =
      apply_norm(c, layer.attention_post_norm, block(c, layer, context, normed, attention));
  if (c.residual == Residual::kParallel) {
    const Tensor input = layer.mlp_norm.exists() ? apply_norm(c, layer.mlp_norm, x) : normed;
    return {add(c, x, mixed + mlp_block(c, layer, input))};
  }
  const Tensor middle = add(c, x, mixed);
  const Tensor fed = mlp_block(c, layer, apply_norm(c, layer.mlp_norm, middle));
  return {add(c, middle, apply_norm(c, layer.mlp_post_norm, fed))};
}

}  // namespace gradus
