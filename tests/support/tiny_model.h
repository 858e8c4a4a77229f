// SPDX-License-Identifier: Apache-2.0
// A small model whose weights come from a formula, so that tests need no weight files.
#pragma once

#include <ATen/core/grad_mode.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "base/rng.h"
#include "model/transformer.h"

namespace gradus {

inline ModelConfig tiny_config(const std::string& type = "llama") {
  const Json json{
      {"model_type", type},     {"hidden_size", 64},        {"intermediate_size", 96},
      {"num_hidden_layers", 3}, {"num_attention_heads", 4}, {"num_key_value_heads", 2},
      {"head_dim", 16},         {"vocab_size", 160},        {"max_position_embeddings", 256},
      {"rms_norm_eps", 1e-5},   {"eos_token_id", 2},        {"bos_token_id", 1}};
  return model_config_from_json(json, "tiny");
}

// The same with a rotary embedding that changes beyond `length` tokens.
inline ModelConfig length_config(const std::string& rope_type, int64_t length) {
  const Json short_factor{1.0, 1.1, 1.2, 1.3, 1.5, 1.7, 2.0, 2.5},
      long_factor{1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0};
  Json json = tiny_config().source;
  json["original_max_position_embeddings"] = length;
  json["rope_scaling"] = {{"rope_type", rope_type},
                          {"factor", 4.0},
                          {"short_factor", short_factor},
                          {"long_factor", long_factor}};
  if (rope_type == "dynamic") json["max_position_embeddings"] = length;
  return model_config_from_json(json, "tiny");
}

// Matrices of about 2/sqrt(K), norms near 1: outputs are O(1) and far from ties.
inline Transformer model_by_formula(const ModelConfig& config, c10::ScalarType dtype = at::kFloat) {
  const at::NoGradGuard no_gradients;
  Transformer model(config, dtype, at::kCPU);
  uint64_t stream = 0;
  for (const NamedTensor& named : model.named_tensors()) {
    at::Tensor values = at::empty(named.tensor.sizes(), at::kFloat);
    const bool matrix = values.dim() == 2;
    const double scale = matrix ? 3.5 / std::sqrt(static_cast<double>(values.size(1))) : 0.2;
    auto* out = values.data_ptr<float>();
    for (int64_t i = 0; i < values.numel(); ++i) {
      const double uniform = 2 * random_uniform(17, stream, static_cast<uint64_t>(i)) - 1;
      out[i] = static_cast<float>(scale * uniform + (matrix ? 0 : 1));
    }
    at::Tensor(named.tensor).copy_(values);
    ++stream;
  }
  return model;
}

inline Transformer tiny_model(c10::ScalarType dtype = at::kFloat,
                              const std::string& type = "llama") {
  return model_by_formula(tiny_config(type), dtype);
}

}  // namespace gradus
