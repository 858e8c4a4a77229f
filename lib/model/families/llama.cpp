// SPDX-License-Identifier: Apache-2.0
// Llama and the families that keep its block: pre-norm, rotary positions, gated SiLU.
#include <algorithm>

#include "base/error.h"
#include "base/json.h"
#include "model/families/family.h"

namespace gradus {
namespace {

// Experts in every decoder_sparse_step-th layer that mlp_only_layers does not name.
void read_qwen_experts(const ConfigReader& reader, ModelConfig& config) {
  config.moe = {
      .experts = reader.size(reader.has("num_experts") ? "num_experts" : "num_local_experts"),
      .experts_per_token = reader.size("num_experts_per_tok"),
      .intermediate_size = reader.size("moe_intermediate_size"),
      .normalised = reader.flag("norm_topk_prob", false)};
  const int64_t step = reader.size("decoder_sparse_step", 1);
  const std::vector<int64_t> dense = reader.integers("mlp_only_layers");
  for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
    const bool named = std::find(dense.begin(), dense.end(), i) != dense.end();
    config.layer_moe.push_back(!named && (i + 1) % step == 0 ? 1 : 0);
  }
  config.keys.mlp_only_layers = "mlp_only_layers";
}

}  // namespace

void read_like_llama(const ConfigReader& reader, ModelConfig& config, const RopeDefaults& rope) {
  read_usual_sizes(reader, config, "rms_norm_eps", 1e-6);
  config.head_dim = reader.size("head_dim", config.head_dim);
  config.activation = reader.activation("hidden_act", "silu");
  use_one_rope(config, read_rope(reader, config, rope));
}

void read_attention_bias(const ConfigReader& reader, ModelConfig& config) {
  config.qkv_bias = config.o_bias = reader.flag("attention_bias", false);
}

void read_llama(const ConfigReader& reader, ModelConfig& config) {
  read_like_llama(reader, config);
  read_attention_bias(reader, config);
  config.mlp_bias = reader.flag("mlp_bias", false);
}

void read_mistral(const ConfigReader& reader, ModelConfig& config) {
  read_like_llama(reader, config);
  read_windows(reader, config, 0);
}

void read_qwen2(const ConfigReader& reader, ModelConfig& config) {
  read_like_llama(reader, config);
  config.qkv_bias = true;
  reader.accept({"layer_types", "max_window_layers"});
  const auto first =  // 0 is a layer too
      json_get<int64_t>(reader.json(), "max_window_layers", 28, reader.where());
  if (reader.flag("use_sliding_window", false))
    read_windows(reader, config, std::max<int64_t>(first, 0));
}

void read_qwen3(const ConfigReader& reader, ModelConfig& config) {
  read_qwen2(reader, config);
  read_attention_bias(reader, config);
  config.qk_norm = QkNorm::kSharedHead;
}

void read_mixtral(const ConfigReader& reader, ModelConfig& config) {
  read_mistral(reader, config);
  config.norm_eps = reader.number("rms_norm_eps", 1e-5);
  config.moe = {.experts = reader.size("num_local_experts", 8),
                .experts_per_token = reader.size("num_experts_per_tok", 2),
                .intermediate_size = config.intermediate_size};
  config.layer_moe.assign(static_cast<size_t>(config.num_hidden_layers), 1);
  config.names.router = "block_sparse_moe.gate";
  config.names.experts = "block_sparse_moe.experts.";
  config.names.expert_gate_up = {"w1", "w3"};
  config.names.expert_down = "w2";
}

void read_qwen2_moe(const ConfigReader& reader, ModelConfig& config) {
  read_like_llama(reader, config);
  config.qkv_bias = reader.flag("qkv_bias", true);
  // Which layers have windows is told in two ways by two versions; no published model has any.
  reader.expect_flag("use_sliding_window", false, false);
  reader.accept({"layer_types"});
  read_qwen_experts(reader, config);
  config.moe.shared_intermediate_size = reader.size("shared_expert_intermediate_size", 5632);
}

void read_qwen3_moe(const ConfigReader& reader, ModelConfig& config) {
  read_like_llama(reader, config);
  read_attention_bias(reader, config);
  config.qk_norm = QkNorm::kSharedHead;
  reader.accept({"layer_types"});
  if (reader.flag("use_sliding_window", false)) read_windows(reader, config, 0);
  read_qwen_experts(reader, config);
}

void read_granite(const ConfigReader& reader, ModelConfig& config) {
  read_llama(reader, config);
  config.embedding_scale = reader.number("embedding_multiplier", 1.0);
  config.residual_scale = reader.number("residual_multiplier", 1.0);
  config.attention_scale = reader.number("attention_multiplier", 1.0);
  const double divisor = reader.number("logits_scaling", 1.0);
  reader.refuse_if(!(divisor > 0), "logits_scaling", "a number above 0");
  config.logits_scale = 1 / divisor;
}

// Files hold the experts of a layer in two tensors.
void read_granitemoe(const ConfigReader& reader, ModelConfig& config) {
  read_granite(reader, config);
  config.moe = {.experts = reader.size("num_local_experts", 8),
                .experts_per_token = reader.size("num_experts_per_tok", 2),
                .intermediate_size = config.intermediate_size};
  config.layer_moe.assign(static_cast<size_t>(config.num_hidden_layers), 1);
  TensorNames& names = config.names;
  names.router = "block_sparse_moe.router.layer";
  names.experts = "block_sparse_moe.experts.";
  names.expert_gate_up = {"input_linear"};
  names.expert_down = "output_linear";
  const int64_t D = config.hidden_size, F = config.intermediate_size;
  for (const auto& [leaf, shape] :
       {std::pair{"input_linear", std::vector{2 * F, D}}, {"output_linear", std::vector{D, F}}}) {
    const std::string end = cat(leaf, ".weight");
    StackedNames stacked{
        .whole = ".block_sparse_moe." + end, .parts = {}, .shape = shape, .written = true};
    for (int64_t e = 0; e < std::min<int64_t>(config.moe.experts, 4096); ++e)
      stacked.parts.push_back(cat(".", names.experts, e, ".", end));
    names.stacked.push_back(std::move(stacked));
  }
}

void read_smollm3(const ConfigReader& reader, ModelConfig& config) {
  read_like_llama(reader, config, {.theta = 2000000.0});
  read_attention_bias(reader, config);
  config.mlp_bias = reader.flag("mlp_bias", false);
  const int64_t interval = reader.size("no_rope_layer_interval", 4);
  const std::vector<int64_t> listed = reader.integers("no_rope_layers");
  const auto layers = static_cast<size_t>(config.num_hidden_layers);
  reader.refuse_if(!listed.empty() && listed.size() < layers, "no_rope_layers",
                   cat("at least ", layers, " entries"));
  for (size_t i = 0; i < layers; ++i) {
    const bool rotates =
        listed.empty() ? (static_cast<int64_t>(i) + 1) % interval != 0 : listed[i] != 0;
    if (!rotates) config.layer_rope[i] = -1;
  }
  config.keys.no_rope_layers = "no_rope_layers";
  reader.accept({"layer_types"});
  if (!reader.flag("use_sliding_window", false)) return;
  read_windows(reader, config, 0);
  if (reader.has("layer_types")) return;
  for (size_t i = 0; i < layers; ++i) {
    if (config.layer_rope[i] >= 0) config.layer_window[i] = 0;
  }
}

void read_seed_oss(const ConfigReader& reader, ModelConfig& config) {
  read_like_llama(reader, config);
  config.qkv_bias = reader.flag("attention_bias", true);
  config.o_bias = reader.flag("attention_out_bias", false);
  config.mlp_bias = reader.flag("mlp_bias", false);
}

void read_ernie4_5(const ConfigReader& reader, ModelConfig& config) {
  read_like_llama(reader, config, {.theta = 500000.0, .interleaved = true});
  config.norm_eps = reader.number("rms_norm_eps", 1e-5);
  config.qkv_bias = config.o_bias = config.mlp_bias = reader.flag("use_bias", false);
  config.tie_word_embeddings = true;
}

void read_phi3(const ConfigReader& reader, ModelConfig& config) {
  read_like_llama(reader, config, {.share = RotatedShare::kAny});
  config.norm_eps = reader.number("rms_norm_eps", 1e-5);
  config.names.qkv = {"self_attn.qkv_proj"};
  config.names.gate_up = {"mlp.gate_up_proj"};
  read_windows(reader, config, 0);
}

}  // namespace gradus
