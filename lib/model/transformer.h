// SPDX-License-Identifier: Apache-2.0
// The one forward pass of training, evaluation, quantisation and serving: a decoder-only
// transformer described by ModelConfig. Tokens are flat: T counts the tokens of all sequences.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "model/attention.h"
#include "model/blocks.h"
#include "model/config.h"
#include "model/linear.h"
#include "model/rope.h"
#include "tensor/losses.h"

namespace gradus {

// A tensor under the name that Hugging Face files give it. `tensor` may be a view of rows of
// `leaf`, the tensor that is trained; both are the same object where nothing is fused.
struct NamedTensor {
  std::string name;
  at::Tensor tensor;  // as files hold it
  at::Tensor leaf;
  bool transposed = false;  // `tensor` is [K, N] where the leaf has rows [N, K]
  bool is_buffer = false;   // not trained; fp32 whatever the model's dtype, in files too

  // `tensor` with the leaf's rows.
  at::Tensor rows() const { return transposed ? tensor.t() : tensor; }
};

enum class ActivationMemory { kKeep, kRecompute };

class Transformer {
 public:
  // Allocates uninitialised weights. Every weight must then be filled (load_model does).
  Transformer(ModelConfig config, c10::ScalarType dtype, c10::Device device);

  // ids, positions [T] int64 -> final hidden states after the last norm [T, D], scaled so that
  // logits are their product with the output projection. Throws for positions beyond
  // config().longest_sequence.
  at::Tensor forward(const at::Tensor& ids, const at::Tensor& positions,
                     Attention& attention) const;
  // hidden [T, D] -> [T, V].
  at::Tensor logits(const at::Tensor& hidden) const;
  // The output projection for fused losses; throws when it is quantised or has an adapter.
  ops::OutputHead output_head() const;

  const ModelConfig& config() const { return config_; }
  c10::ScalarType dtype() const { return dtype_; }
  c10::Device device() const { return device_; }
  void set_activation_memory(ActivationMemory mode) { activation_memory_ = mode; }

  // Dense tensors under their file names (quantised projections are not among them).
  std::vector<NamedTensor> named_tensors() const;
  // Every projection, the output one included when it has a weight of its own.
  void for_each_linear(const std::function<void(Linear&)>& visit);
  void for_each_linear(const std::function<void(const Linear&)>& visit) const;

  std::vector<DecoderLayer>& layers() { return layers_; }
  const std::vector<DecoderLayer>& layers() const { return layers_; }

  // Gives a tied output projection a weight of its own, equal to the embedding.
  void untie_output();

  at::Tensor embedding;           // [V, D]
  LoraPair embedding_lora;        // a [r, V], b [D, r]; undefined without an adapter
  at::Tensor position_embedding;  // [P, D], or undefined
  Norm embedding_norm;            // [D]; what it is called in files may begin like a layer
  Norm final_norm;                // [D]
  Linear output;                  // lm_head; shares `embedding` when tied

 private:
  at::Tensor look_up(const at::Tensor& ids) const;
  at::Tensor embed(const at::Tensor& ids, const at::Tensor& positions) const;
  std::vector<LayerContext> layer_contexts(const at::Tensor& positions,
                                           const Attention& attention) const;
  ModelConfig config_;
  c10::ScalarType dtype_;
  c10::Device device_;
  std::vector<DecoderLayer> layers_;
  std::vector<RotaryEmbedding> ropes_;
  at::Tensor alibi_slopes_;  // [H], or undefined
  ActivationMemory activation_memory_ = ActivationMemory::kKeep;
};

// Throws gradus::Error when a projection is quantised: such a model computes, but its weights can
// be neither trained nor taken apart. `action` is what was asked for: "trained".
void require_dense(const Transformer& model, const std::string& action);

}  // namespace gradus
