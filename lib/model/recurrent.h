// SPDX-License-Identifier: Apache-2.0
// Recurrent layers: what RWKV has in place of attention (time mixing) and of the feed-forward part
// (channel mixing). The norms around them and the residual stream are those of every layer.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "model/attention.h"
#include "model/config.h"
#include "model/linear.h"

namespace gradus {

// up(activation(down(x))) + the bias of up.
struct LowRank {
  Linear down, up;
};

// The weights of one layer. Vectors have the shapes of the files: mixes and r_k are [1, 1, D] or
// [D], and [H, Dh].
struct RecurrentMixer {
  std::vector<at::Tensor> time_mix;     // how much of the token before goes into each projection
  std::vector<at::Tensor> channel_mix;  // in the order of the tables in recurrent.cpp
  Linear receptance, key, value, output;
  Linear channel_key, channel_value, channel_receptance;  // the last: RWKV-4 only
  at::Tensor decay, first;                                // RWKV-4: [A]
  LowRank decay_low, rate_low, value_low, gate_low;  // RWKV-7; value_low from the second layer on
  at::Tensor k_k, k_a, r_k;                          // RWKV-7: [D], [D], [H, Dh]
  at::Tensor norm_weight, norm_bias;                 // RWKV-7: of each head's output, [D]
};

// Uninitialised weights of layer `index`.
RecurrentMixer make_recurrent(const ModelConfig& config, int64_t index,
                              const at::TensorOptions& options);

// Every projection, in the order of the files.
template <class Mixer, class Visit>
void visit_recurrent_linears(Mixer& m, const Visit& visit) {
  for (auto* linear :
       {&m.receptance, &m.key, &m.value, &m.output, &m.decay_low.down, &m.decay_low.up,
        &m.rate_low.down, &m.rate_low.up, &m.value_low.down, &m.value_low.up, &m.gate_low.down,
        &m.gate_low.up, &m.channel_key, &m.channel_value, &m.channel_receptance}) {
    if (!linear->parts.empty()) visit(*linear);
  }
}

// Every other tensor under its name in the layer: "attention.time_decay", …
void visit_recurrent_vectors(
    const ModelConfig& config, const RecurrentMixer& mixer,
    const std::function<void(const std::string& name, const at::Tensor& tensor)>& visit);

// x [T, D], normed -> [T, D]. `first_value` [T, D] is written by the first layer of RWKV-7 and read
// by the others.
at::Tensor time_mixing(const ModelConfig& config, const RecurrentMixer& mixer, int64_t index,
                       const at::Tensor& x, at::Tensor& first_value, Attention& memory);
// x [T, D], normed -> [T, D].
at::Tensor channel_mixing(const ModelConfig& config, const RecurrentMixer& mixer, int64_t index,
                          const at::Tensor& x, Attention& memory);

// The sizes of one sequence's state of `part`: [D], [3, A] or [H, Dh, Dh].
std::vector<int64_t> recurrent_state_sizes(const ModelConfig& config, RecurrentPart part);

}  // namespace gradus
