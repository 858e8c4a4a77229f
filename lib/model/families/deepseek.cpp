// SPDX-License-Identifier: Apache-2.0
// DeepSeek-V2 and V3: latent attention; experts of which some are shared by every token, chosen by
// groups. GLM-4.5 has these experts under plain attention. Sources: the modelling files that these
// models are published with, and transformers.
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "model/families/family.h"

namespace gradus {
namespace {

void read_latent_attention(const ConfigReader& reader, ModelConfig& config, bool interleaved) {
  LatentConfig& latent = config.latent;
  latent.kv_rank = reader.size("kv_lora_rank");
  if (reader.has("q_lora_rank")) latent.q_rank = reader.size("q_lora_rank");
  latent.nope_dim = reader.size("qk_nope_head_dim");
  latent.rope_dim = reader.size("qk_rope_head_dim");
  latent.v_dim = reader.size("v_head_dim");
  reader.accept({"head_dim"});  // files give the rotated width, or nothing
  config.head_dim = latent.rope_dim;
  use_one_rope(config, read_rope(reader, config, {.interleaved = interleaved}));
  config.head_dim = latent.nope_dim + latent.rope_dim;
  reader.refuse_if(config.num_key_value_heads != config.num_attention_heads, "num_key_value_heads",
                   "as many as num_attention_heads");
  reader.refuse_if(latent.v_dim > config.head_dim, "v_head_dim", cat("at most ", config.head_dim));
  config.qkv_bias = config.o_bias = reader.flag("attention_bias", false);
  reader.refuse_if(config.qkv_bias && latent.q_rank == 0, "attention_bias",
                   "false without q_lora_rank");
  config.names.qkv = {latent.q_rank > 0 ? "self_attn.q_a_proj" : "self_attn.q_proj",
                      "self_attn.kv_a_proj_with_mqa"};
  config.names.q_norm = "self_attn.q_a_layernorm";
  config.names.k_norm = "self_attn.kv_a_layernorm";
}

// A rotary scaling scales the scores too, by the square of its magnitude.
double score_scale(const ConfigReader& reader, const ModelConfig& config) {
  const double plain = 1 / std::sqrt(static_cast<double>(config.head_dim));
  const RopeConfig& rope = config.ropes[0];
  if (rope.type == RopeType::kDefault) return plain;
  const char* key = reader.has("rope_parameters") ? "rope_parameters" : "rope_scaling";
  const double weight = reader.inside(key).number("mscale_all_dim", 0);
  if (weight == 0 || rope.factor <= 1) return plain;
  const double magnitude = 0.1 * weight * std::log(rope.factor) + 1;
  return plain * magnitude * magnitude;
}

void read_groups(const ConfigReader& reader, MoeConfig& moe) {
  moe.groups = reader.size("n_group");
  moe.groups_per_token = reader.size("topk_group");
  const bool fits = moe.experts % moe.groups == 0 && moe.groups_per_token <= moe.groups &&
                    moe.groups_per_token * (moe.experts / moe.groups) >= moe.experts_per_token &&
                    moe.experts / moe.groups >= moe.group_best;
  reader.refuse_if(!fits, "n_group",
                   "a divisor of n_routed_experts, with num_experts_per_tok in topk_group groups");
}

// Experts in all layers but the first.
void read_experts(const ConfigReader& reader, ModelConfig& config, int64_t dense_layers) {
  config.moe = {.experts = reader.size("n_routed_experts"),
                .experts_per_token = reader.size("num_experts_per_tok"),
                .intermediate_size = reader.size("moe_intermediate_size"),
                .scale = reader.number("routed_scaling_factor", 1.0),
                .router_in_float = true};
  config.moe.shared_intermediate_size =
      config.moe.intermediate_size * reader.size("n_shared_experts");
  reader.refuse_if(reader.size("moe_layer_freq", 1) != 1, "moe_layer_freq", "1");
  reader.accept({"first_k_dense_replace"});
  const auto first =
      json_get<int64_t>(reader.json(), "first_k_dense_replace", dense_layers, reader.where());
  reader.refuse_if(first < 0, "first_k_dense_replace", "a number of layers");
  for (int64_t i = 0; i < config.num_hidden_layers; ++i)
    config.layer_moe.push_back(i >= first ? 1 : 0);
  config.names.shared_gate_up = {"mlp.shared_experts.gate_proj", "mlp.shared_experts.up_proj"};
  config.names.shared_down = "mlp.shared_experts.down_proj";
  config.names.shared_gate = "";
  config.keys.dense_layers = "first_k_dense_replace";
}

void expect_text(const ConfigReader& reader, const char* key, const char* value) {
  reader.refuse_if(reader.text(key, value) != value, key, value);
}

// Experts chosen by sigmoids with a correction, without one by a loss; layers behind the last that
// predict tokens further ahead, which are no part of the model itself.
void read_corrected_experts(const ConfigReader& reader, ModelConfig& config, int64_t ahead) {
  config.moe.normalised = reader.flag("norm_topk_prob", true);
  config.moe.score = RouterScore::kSigmoid;
  config.moe.group_best = 2;
  expect_text(reader, "scoring_func", "sigmoid");
  expect_text(reader, "topk_method", "noaux_tc");
  read_groups(reader, config.moe);
  config.names.router_bias = "mlp.gate.e_score_correction_bias";
  ahead = json_get<int64_t>(reader.json(), "num_nextn_predict_layers", ahead, reader.where());
  reader.refuse_if(ahead < 0 || ahead > 64, "num_nextn_predict_layers", "0 to 64");
  for (int64_t i = 0; i < ahead; ++i)
    config.names.ignored_prefixes.push_back(config.names.layer(config.num_hidden_layers + i));
  if (ahead > 0) config.source["num_nextn_predict_layers"] = 0;
}

void read_common(const ConfigReader& reader, ModelConfig& config) {
  read_usual_sizes(reader, config, "rms_norm_eps", 1e-6);
  config.activation = reader.activation("hidden_act", "silu");
  reader.expect_flag("mlp_bias", false, false);
}

}  // namespace

void read_deepseek_v2(const ConfigReader& reader, ModelConfig& config) {
  read_common(reader, config);
  read_latent_attention(reader, config, true);
  config.attention_scale = score_scale(reader, config);
  read_experts(reader, config, 0);
  // The authors' code and transformers differ where it is true; no published model has it.
  reader.expect_flag("norm_topk_prob", false, false);
  config.moe.normalised = false;
  expect_text(reader, "scoring_func", "softmax");
  const std::string method = reader.text("topk_method", "greedy");
  reader.refuse_if(method != "greedy" && method != "group_limited_greedy", "topk_method",
                   "greedy or group_limited_greedy");
  if (method != "greedy") read_groups(reader, config.moe);
}

void read_deepseek_v3(const ConfigReader& reader, ModelConfig& config) {
  read_common(reader, config);
  read_latent_attention(reader, config, reader.flag("rope_interleave", true));
  config.attention_scale = score_scale(reader, config);
  read_experts(reader, config, 3);
  read_corrected_experts(reader, config, 0);
}

void read_glm4_moe(const ConfigReader& reader, ModelConfig& config) {
  read_common(reader, config);
  config.norm_eps = reader.number("rms_norm_eps", 1e-5);
  config.head_dim = reader.size("head_dim", config.head_dim);
  config.qkv_bias = reader.flag("attention_bias", false);
  if (reader.flag("use_qk_norm", false)) config.qk_norm = QkNorm::kSharedHead;
  use_one_rope(config, read_rope(reader, config, {.share = RotatedShare::kAny, .partial = 0.5}));
  read_experts(reader, config, 1);
  read_corrected_experts(reader, config, 1);
}

}  // namespace gradus
