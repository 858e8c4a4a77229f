// SPDX-License-Identifier: Apache-2.0
// Multi-head latent attention (DeepSeek-V2, 2024, section 2.1). The keys and values of all heads
// are linear in one narrow vector per token, so a memory keeps that vector. There are two ways to
// the same numbers: making the heads' keys and values (training, prompts), or moving their
// projection to the queries and to the result, so that all heads attend to the latents themselves
// (decoding).
#pragma once

#include <ATen/core/Tensor.h>

#include "model/attention.h"
#include "model/blocks.h"

namespace gradus {

struct LatentHeads {
  at::Tensor q;        // [T, H, nope_dim + rope_dim], rotated
  at::Tensor latents;  // [T, kv_rank + rope_dim]: the normed latent, then the shared rotated keys
  const Linear& up;    // from latents to the heads' keys and values
  const LatentConfig& sizes;

  LatentHeads rows(int64_t first, int64_t count) const;
};

// Queries that attend to latents: [T, H, kv_rank + rope_dim].
at::Tensor queries_of_latents(const LatentHeads& heads);
// The heads' results from their mixtures of latents, mixed [T, H, kv_rank] -> [T, H, v_dim].
at::Tensor values_of_latents(const LatentHeads& heads, const at::Tensor& mixed);

// Projections, norms, rotary embedding, attention, output projection: x [T, D] -> [T, D].
at::Tensor latent_attention_block(const ModelConfig& config, const DecoderLayer& layer,
                                  const LayerContext& context, const at::Tensor& x,
                                  Attention& attention);

}  // namespace gradus
