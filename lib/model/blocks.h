// SPDX-License-Identifier: Apache-2.0
// One decoder layer: norms, attention, feed-forward and how they are added to the residual stream.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/attention.h"
#include "model/config.h"
#include "model/linear.h"
#include "model/recurrent.h"
#include "model/rope.h"

namespace gradus {

struct Norm {
  at::Tensor weight, bias;
  bool plain = false;  // NormKind::kPlainLayer

  bool exists() const { return weight.defined() || plain; }
};

// The router and the experts of a layer that has any.
struct Experts {
  at::Tensor router;                  // [E, D]; undefined: the layer has none
  at::Tensor router_bias;             // [E] fp32, or undefined
  std::vector<Linear> gate_up, down;  // per expert
  Linear shared_gate_up, shared_down, shared_gate;
};

struct DecoderLayer {
  Norm attention_norm, attention_post_norm, mlp_norm, mlp_post_norm;  // [D]
  Norm q_norm, k_norm;   // [Dh]; [heads · Dh] for QkNorm::kEachHead and kFull; the latents' widths
  Linear qkv, o;         // with LatentConfig qkv makes the queries, or their latent, and the keys'
  Linear q_up, kv_up;    // LatentConfig: from the latents to the heads
  Linear gate_up, down;  // gate_up is the plain first projection where nothing is gated
  Experts experts;       // in place of gate_up and down
  RecurrentMixer recurrent;  // in place of all projections above, where config.recurrent has a kind
};

// What a layer needs besides its weights and input.
struct LayerContext {
  int64_t index = 0;
  Rotary rotary;  // undefined tensors where the layer does not rotate
  bool interleaved = false;
  at::Tensor alibi_slopes;  // [H], or undefined
};

// x [T, ...] normalised over the last dimension, or x itself where the norm does not exist.
at::Tensor apply_norm(const ModelConfig& config, const Norm& norm, const at::Tensor& x);

// x [T, heads, R] rotated by the layer's angles, over all of R or its first numbers.
at::Tensor rotated(const LayerContext& context, const at::Tensor& x);

// What flows from layer to layer: the residual stream [T, D] and, in RWKV-7 from the first layer
// on, that layer's values [T, D].
using Stream = std::vector<at::Tensor>;

// The stream after a layer. A tensor that a layer only reads is left out of its result.
Stream layer_forward(const ModelConfig& config, const DecoderLayer& layer,
                     const LayerContext& context, const Stream& stream, Attention& attention);

}  // namespace gradus
