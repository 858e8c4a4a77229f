// SPDX-License-Identifier: Apache-2.0
// Cohere's Command models: parallel blocks under one layer norm without bias, rotation of adjacent
// numbers, scaled logits; since the second generation windows, outside of which nothing rotates.
#include "model/families/family.h"

namespace gradus {
namespace {

void read_common(const ConfigReader& reader, ModelConfig& config, double theta) {
  read_usual_sizes(reader, config, "layer_norm_eps", 1e-5);
  reader.refuse_if(reader.size("head_dim", config.head_dim) != config.head_dim, "head_dim",
                   "hidden_size / num_attention_heads");
  config.norm = NormKind::kLayer;
  config.residual = Residual::kParallel;
  config.names.mlp_norm = "";
  config.activation = reader.activation("hidden_act", "silu");
  config.logits_scale = reader.number("logit_scale", 0.0625);
  config.tie_word_embeddings = true;
  read_attention_bias(reader, config);
  use_one_rope(config, read_rope(reader, config, {.theta = theta, .interleaved = true}));
}

}  // namespace

void read_cohere(const ConfigReader& reader, ModelConfig& config) {
  read_common(reader, config, 500000.0);
  if (reader.flag("use_qk_norm", false)) config.qk_norm = QkNorm::kEachHead;
}

void read_cohere2(const ConfigReader& reader, ModelConfig& config) {
  read_common(reader, config, 10000.0);
  reader.refuse_if(!reader.has("sliding_window"), "sliding_window", "a number of tokens");
  read_alternating_windows(reader, config, reader.size("sliding_window_pattern", 4));
  for (size_t i = 0; i < config.layer_window.size(); ++i) {
    if (config.layer_window[i] == 0) config.layer_rope[i] = -1;
  }
}

}  // namespace gradus
