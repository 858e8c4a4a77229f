// SPDX-License-Identifier: Apache-2.0
#include "model/latent.h"

#include <ATen/TensorOperators.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/matmul.h>

#include "tensor/ops.h"

namespace gradus {
namespace {

using at::Tensor;

constexpr double kLatentEps = 1e-6;  // the published code takes no other from config.json

Tensor latent_norm(const Norm& norm, const Tensor& x) {
  return ops::rms_norm(x, norm.weight, kLatentEps);
}

// The up-projection with its adapter: [H, nope_dim + v_dim, kv_rank].
Tensor up_weight(const LatentHeads& heads) {
  const Linear& up = heads.up;
  const bool adapted = !up.lora.empty() && up.lora[0].a.defined();
  const Tensor weight =
      adapted ? merged_weight(up.weight, up.lora[0]).to(up.weight.scalar_type()) : up.weight;
  return weight.view({heads.q.size(1), heads.sizes.nope_dim + heads.sizes.v_dim, up.in_features});
}

Tensor make_queries(const ModelConfig& c, const DecoderLayer& layer, const LayerContext& context,
                    const Tensor& product) {
  const LatentConfig& l = c.latent;
  const Tensor q = l.q_rank > 0 ? layer.q_up.forward(latent_norm(layer.q_norm, product)) : product;
  const auto parts = q.reshape({q.size(0), c.num_attention_heads, c.head_dim})
                         .split_with_sizes({l.nope_dim, l.rope_dim}, 2);
  return at::cat({parts[0], rotated(context, parts[1])}, 2);
}

}  // namespace

LatentHeads LatentHeads::rows(int64_t first, int64_t count) const {
  return {q.narrow(0, first, count), latents.narrow(0, first, count), up, sizes};
}

Tensor queries_of_latents(const LatentHeads& heads) {
  const LatentConfig& l = heads.sizes;
  const auto parts = heads.q.split_with_sizes({l.nope_dim, l.rope_dim}, 2);
  const Tensor by_head = at::matmul(parts[0].transpose(0, 1),
                                    up_weight(heads).narrow(1, 0, l.nope_dim));  // [H, T, kv_rank]
  return at::cat({by_head.transpose(0, 1), parts[1]}, 2);
}

Tensor values_of_latents(const LatentHeads& heads, const Tensor& mixed) {
  const LatentConfig& l = heads.sizes;
  const Tensor weight = up_weight(heads).narrow(1, l.nope_dim, l.v_dim);
  return at::matmul(mixed.transpose(0, 1), weight.transpose(1, 2)).transpose(0, 1);
}

// Values are padded to the width of keys: kernels take equal heads.
Tensor Attention::attend_latent(int64_t layer, const LatentHeads& heads,
                                const ops::AttentionOptions& options) {
  const LatentConfig& l = heads.sizes;
  const int64_t T = heads.q.size(0), H = heads.q.size(1);
  const auto latents = heads.latents.split_with_sizes({l.kv_rank, l.rope_dim}, 1);
  const auto made = heads.up.forward(latents[0].contiguous())
                        .view({T, H, l.nope_dim + l.v_dim})
                        .split_with_sizes({l.nope_dim, l.v_dim}, 2);
  const Tensor k = at::cat({made[0], latents[1].unsqueeze(1).expand({T, H, l.rope_dim})}, 2);
  const Tensor v = at::constant_pad_nd(made[1], {0, k.size(2) - l.v_dim});
  return attend(layer, heads.q, k, v, options).narrow(2, 0, l.v_dim);
}

Tensor latent_attention_block(const ModelConfig& c, const DecoderLayer& layer,
                              const LayerContext& context, const Tensor& x, Attention& attention) {
  const LatentConfig& l = c.latent;
  const int64_t T = x.size(0), H = c.num_attention_heads;
  const int64_t q_width = l.q_rank > 0 ? l.q_rank : H * c.head_dim;
  const auto parts = layer.qkv.forward(x).split_with_sizes({q_width, l.kv_rank, l.rope_dim}, 1);
  const Tensor shared_keys = rotated(context, parts[2].unsqueeze(1)).squeeze(1);
  const LatentHeads heads{make_queries(c, layer, context, parts[0]),
                          at::cat({latent_norm(layer.k_norm, parts[1]), shared_keys}, 1),
                          layer.kv_up, l};
  const ops::AttentionOptions options{.scale = c.attention_scale};
  const Tensor mixed = attention.attend_latent(context.index, heads, options);
  return layer.o.forward(mixed.reshape({T, H * l.v_dim}));
}

}  // namespace gradus
