// SPDX-License-Identifier: Apache-2.0
// A small config.json of each family, for tests of what must hold whatever the family.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "support/tiny_model.h"

namespace gradus {

inline Json changed(Json json, const Json& changes) {
  if (!changes.is_null()) json.update(changes);
  return json;
}

inline Json usual_config(const std::string& type, const Json& changes) {
  return changed({{"model_type", type},
                  {"hidden_size", 32},
                  {"intermediate_size", 48},
                  {"num_hidden_layers", 3},
                  {"num_attention_heads", 4},
                  {"num_key_value_heads", 2},
                  {"vocab_size", 160},
                  {"max_position_embeddings", 64}},
                 changes);
}

inline std::vector<Json> family_configs() {
  const Json window{{"sliding_window", 6}};
  const Json yarn{{"rope_type", "yarn"}, {"factor", 4.0}, {"original_max_position_embeddings", 16}};
  const Json longrope{{"rope_type", "longrope"},
                      {"short_factor", {1.0, 1.5, 2.0}},
                      {"long_factor", {1.5, 3.0, 4.0}}};
  const Json mha{{"num_key_value_heads", 4}};
  const Json falcon = usual_config("falcon", {{"num_key_value_heads", nullptr}});
  const Json deepseek = usual_config("deepseek_v2", {{"num_key_value_heads", 4},
                                                     {"kv_lora_rank", 16},
                                                     {"qk_nope_head_dim", 10},
                                                     {"qk_rope_head_dim", 6},
                                                     {"v_head_dim", 12},
                                                     {"n_routed_experts", 4},
                                                     {"n_shared_experts", 2},
                                                     {"num_experts_per_tok", 2},
                                                     {"moe_intermediate_size", 24},
                                                     {"first_k_dense_replace", 1}});
  std::vector<Json> list{
      usual_config("llama", {{"rope_scaling", yarn}}),
      usual_config("mistral", window),
      usual_config("qwen2", {{"rope_scaling", {{"type", "dynamic"}, {"factor", 2.0}}}}),
      usual_config("qwen3", {{"head_dim", 16}}),
      usual_config("mixtral", {{"num_local_experts", 4}, {"rope_theta", 10000.0}}),
      usual_config("qwen2_moe", {{"num_experts", 5},
                                 {"num_experts_per_tok", 2},
                                 {"moe_intermediate_size", 24},
                                 {"shared_expert_intermediate_size", 40}}),
      usual_config("qwen3_moe", {{"num_experts", 4},
                                 {"num_experts_per_tok", 3},
                                 {"norm_topk_prob", true},
                                 {"moe_intermediate_size", 24},
                                 {"mlp_only_layers", {1}}}),
      deepseek,
      changed(deepseek, {{"q_lora_rank", 16},
                         {"topk_method", "group_limited_greedy"},
                         {"n_group", 2},
                         {"topk_group", 1},
                         {"routed_scaling_factor", 2.0}}),
      changed(deepseek, {{"model_type", "deepseek_v3"}, {"n_group", 2}, {"topk_group", 1}}),
      usual_config("granite", {{"embedding_multiplier", 3.0},
                               {"residual_multiplier", 0.4},
                               {"attention_multiplier", 0.2},
                               {"logits_scaling", 2.0}}),
      usual_config("smollm3", {{"no_rope_layer_interval", 2}}),
      usual_config("olmo2", {}),
      usual_config("phi3", {{"sliding_window", 9},
                            {"partial_rotary_factor", 0.75},
                            {"original_max_position_embeddings", 128},
                            {"rope_scaling", longrope}}),
      usual_config("gemma", {{"head_dim", 16}}),
      usual_config("gemma2", {{"head_dim", 16}, {"sliding_window", 5}}),
      usual_config("gemma3_text",
                   {{"head_dim", 16}, {"sliding_window", 5}, {"sliding_window_pattern", 3}}),
      usual_config("glm", {{"head_dim", 8}}),
      usual_config("glm4", {{"head_dim", 16}}),
      usual_config("internlm2", {{"bias", true}}),
      usual_config("baichuan", changed(mha, {{"z_loss_weight", 0}})),
      usual_config("qwen", {{"num_key_value_heads", nullptr}}),
      usual_config(
          "stablelm",
          {{"qk_layernorm", true}, {"use_qkv_bias", true}, {"partial_rotary_factor", 0.5}}),
      usual_config("stablelm", {{"use_parallel_residual", true}}),
      usual_config("starcoder2", window),
      usual_config("phi", {{"num_key_value_heads", 4}, {"qk_layernorm", true}}),
      usual_config("gpt_neox", {{"num_key_value_heads", nullptr}}),
      usual_config("gpt_neox",
                   {{"num_key_value_heads", nullptr}, {"use_parallel_residual", false}}),
      falcon,
      changed(falcon, {{"new_decoder_architecture", true}, {"num_kv_heads", 2}}),
      changed(falcon,
              {{"multi_query", false}, {"parallel_attn", false}, {"alibi", true}, {"bias", true}}),
      Json{{"model_type", "gpt2"},
           {"n_embd", 32},
           {"n_head", 4},
           {"n_layer", 3},
           {"n_positions", 64},
           {"vocab_size", 160}},
      Json{{"model_type", "mpt"},
           {"d_model", 24},
           {"n_heads", 3},
           {"n_layers", 3},
           {"max_seq_len", 64},
           {"vocab_size", 160},
           {"attn_config", {{"alibi", true}, {"clip_qkv", 1.5}}}},
      Json{{"model_type", "chatglm"},
           {"hidden_size", 32},
           {"ffn_hidden_size", 48},
           {"num_layers", 3},
           {"num_attention_heads", 4},
           {"kv_channels", 8},
           {"multi_query_attention", true},
           {"multi_query_group_num", 2},
           {"add_qkv_bias", true},
           {"padded_vocab_size", 160},
           {"seq_length", 64}}};
  const Json experts{{"num_experts", 4}, {"num_experts_per_tok", 2}};
  for (const Json& json :
       {usual_config("cohere", {{"use_qk_norm", true}}),
        usual_config("cohere2", {{"sliding_window", 5}, {"num_hidden_layers", 4}}),
        usual_config("olmo", {{"clip_qkv", 0.5}}), usual_config("olmoe", experts),
        usual_config("granitemoe", {{"num_local_experts", 4}, {"attention_multiplier", 0.3}}),
        usual_config("seed_oss", {{"head_dim", 8}}),
        usual_config("ernie4_5", {{"head_dim", 16}, {"use_bias", true}}),
        usual_config("exaone4", {{"sliding_window", 5}, {"sliding_window_pattern", 2}}),
        usual_config("glm4_moe", {{"n_routed_experts", 4},
                                  {"num_experts_per_tok", 2},
                                  {"moe_intermediate_size", 24},
                                  {"use_qk_norm", true}})})
    list.push_back(json);
  list.push_back({{"model_type", "rwkv"},
                  {"hidden_size", 32},
                  {"attention_hidden_size", 48},
                  {"num_hidden_layers", 3},
                  {"context_length", 256},
                  {"vocab_size", 160}});
  for (const int head_dim : {8, 16}) {  // 16 has kernels
    list.push_back({{"model_type", "rwkv7"},
                    {"hidden_size", 32},
                    {"head_dim", head_dim},
                    {"num_hidden_layers", 3},
                    {"decay_low_rank_dim", 8},
                    {"a_low_rank_dim", 8},
                    {"v_low_rank_dim", 16},
                    {"gate_low_rank_dim", 24},
                    {"vocab_size", 160}});
  }
  Json alibi = usual_config("baichuan", {{"num_key_value_heads", 4}, {"model_max_length", 64}});
  alibi.erase("max_position_embeddings");
  list.push_back(alibi);
  return list;
}

// A model of a recurrent type by its last configuration above, of another by tiny_config().
inline Transformer small_model(const std::string& type) {
  if (!type.starts_with("rwkv")) return tiny_model(at::kFloat, type);
  Json found;
  for (const Json& json : family_configs()) {
    if (json.at("model_type") == type) found = json;
  }
  return model_by_formula(model_config_from_json(found, "small"));
}

}  // namespace gradus
