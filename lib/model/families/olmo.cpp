// SPDX-License-Identifier: Apache-2.0
// The OLMo line, and EXAONE 4, whose layers are those of OLMo 2.
#include "model/families/family.h"

namespace gradus {
namespace {

// Norms behind the blocks and none before them.
void use_norms_behind(ModelConfig& config) {
  config.names.attention_norm = config.names.mlp_norm = "";
  config.names.attention_post_norm = "post_attention_layernorm";
  config.names.mlp_post_norm = "post_feedforward_layernorm";
}

}  // namespace

void read_olmo(const ConfigReader& reader, ModelConfig& config) {
  read_like_llama(reader, config);
  config.norm = NormKind::kPlainLayer;
  config.norm_eps = 1e-5;
  read_attention_bias(reader, config);
  config.clip_qkv = reader.number("clip_qkv", 0.0);
}

void read_olmo2(const ConfigReader& reader, ModelConfig& config) {
  read_like_llama(reader, config);
  config.norm_eps = reader.number("rms_norm_eps", 1e-5);
  read_attention_bias(reader, config);
  config.qk_norm = QkNorm::kFull;
  use_norms_behind(config);
}

void read_olmoe(const ConfigReader& reader, ModelConfig& config) {
  read_like_llama(reader, config);
  config.norm_eps = reader.number("rms_norm_eps", 1e-5);
  read_attention_bias(reader, config);
  config.qk_norm = QkNorm::kFull;
  // It would bound the normed queries and keys; no published model has it.
  reader.refuse_if(reader.has("clip_qkv"), "clip_qkv", "null");
  config.moe = {.experts = reader.size("num_experts"),
                .experts_per_token = reader.size("num_experts_per_tok"),
                .intermediate_size = config.intermediate_size,
                .normalised = reader.flag("norm_topk_prob", false)};
  config.layer_moe.assign(static_cast<size_t>(config.num_hidden_layers), 1);
}

// Where some layers have windows, only these rotate.
void read_exaone4(const ConfigReader& reader, ModelConfig& config) {
  read_like_llama(reader, config);
  config.norm_eps = reader.number("rms_norm_eps", 1e-5);
  config.qk_norm = QkNorm::kSharedHead;
  use_norms_behind(config);
  reader.accept({"layer_types", "sliding_window_pattern"});
  if (!reader.has("sliding_window")) return;
  const bool listed = reader.has("layer_types");  // beside a pattern that may be text, "LLLG"
  read_alternating_windows(reader, config, listed ? 1 : reader.size("sliding_window_pattern", 4));
  for (size_t i = 0; i < config.layer_window.size(); ++i) {
    if (config.layer_window[i] == 0) config.layer_rope[i] = -1;
  }
}

}  // namespace gradus
