// SPDX-License-Identifier: Apache-2.0
#include "model/gguf/complete.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace gradus {
namespace {

int64_t head_dim_of(const GgufSource& source) {
  const GgufKeys& keys = source.keys();
  return keys.size(
      "attention.key_length",
      std::max<int64_t>(1, keys.size("embedding_length") / keys.size("attention.head_count")));
}

// Which layers have a window, where every `period`-th has none.
void alternate_windows(const GgufSource& source, int64_t period, Json& config) {
  const int64_t layers = source.keys().size("block_count");
  Json types = Json::array();
  for (int64_t i = 0; i < layers; ++i)
    types.push_back((i + 1) % period == 0 ? "full_attention" : "sliding_attention");
  if (config.at("sliding_window").is_null()) {
    config.erase("sliding_window");
  } else {
    config["layer_types"] = std::move(types);
  }
}

// llama.cpp scales the scores by the head's width, but by D / H in the model of `layers` layers.
void set_query_scale(const GgufSource& source, int64_t layers, Json& config) {
  const GgufKeys& keys = source.keys();
  const bool largest = keys.size("block_count") == layers;
  config["query_pre_attn_scalar"] =
      largest ? keys.size("embedding_length") / keys.size("attention.head_count")
              : head_dim_of(source);
}

}  // namespace

void complete_attention_bias(const GgufSource& source, Json& config) {
  config["attention_bias"] = source.has_tensor("blk.0.attn_q.bias");
}

void complete_biases(const GgufSource& source, Json& config) {
  complete_attention_bias(source, config);
  config["mlp_bias"] = source.has_tensor("blk.0.ffn_gate.bias");
}

void complete_partial_rotary(const GgufSource& source, Json& config) {
  const int64_t width = head_dim_of(source);
  const double share = static_cast<double>(source.keys().size("rope.dimension_count", width)) /
                       static_cast<double>(width);
  const auto type = config.at("model_type").get<std::string>();
  const bool percent = type == "gpt_neox" || type == "qwen";
  config[percent ? "rotary_pct" : "partial_rotary_factor"] = share;
}

void complete_glm(const GgufSource& source, Json& config) {
  complete_attention_bias(source, config);
  complete_partial_rotary(source, config);
}

void complete_chatglm(const GgufSource& source, Json& config) {
  config["padded_vocab_size"] = config.at("vocab_size");
  config["add_qkv_bias"] = source.has_tensor("blk.0.attn_qkv.bias");
  const GgufKeys& keys = source.keys();
  if (keys.has("rope.freq_base")) config["rope_ratio"] = keys.number("rope.freq_base") / 10000.0;
}

// llama.cpp knows the 7B models by their 32 layers, and by 40 the 13B ones, which have ALiBi and
// say so by the name of a size.
void complete_baichuan(const GgufSource& source, Json& config) {
  const int64_t layers = source.keys().size("block_count");
  if (layers != 32 && layers != 40)
    source.keys().refuse("block_count", "is not supported for this architecture", "32 or 40");
  if (layers == 32) return;
  config["model_max_length"] = config.at("max_position_embeddings");
  config.erase("max_position_embeddings");
  config.erase("rope_theta");
}

void complete_gemma2(const GgufSource& source, Json& config) {
  set_query_scale(source, 46, config);
  alternate_windows(source, 2, config);
}

void complete_gemma3(const GgufSource& source, Json& config) {
  set_query_scale(source, 62, config);
  config["sliding_window_pattern"] = 6;
  config["rope_local_base_freq"] = 10000.0;
  alternate_windows(source, 6, config);
}

void complete_phi3(const GgufSource& source, Json& config) {
  complete_partial_rotary(source, config);
  config["original_max_position_embeddings"] = source.keys().size(
      "rope.scaling.original_context_length", source.keys().size("context_length"));
}

// 7B and its kind have one key/value head; the others group their heads, under one norm or two.
void complete_falcon(const GgufSource& source, Json& config) {
  const int64_t kv_heads = source.keys().size("attention.head_count_kv", 1);
  const bool two_norms = source.has_tensor("blk.0.attn_norm_2.weight");
  const bool grouped = two_norms || kv_heads > 1;
  config["new_decoder_architecture"] = grouped;
  config["multi_query"] = true;
  if (!grouped) return;
  config["num_kv_heads"] = kv_heads;
  config["num_ln_in_parallel_attn"] = two_norms ? 2 : 1;
}

void complete_mpt(const GgufSource& source, Json& config) {
  const GgufKeys& keys = source.keys();
  const int64_t width = keys.size("embedding_length"), inner = keys.size("feed_forward_length");
  if (inner % width != 0)
    keys.refuse("feed_forward_length", "is not a multiple of embedding_length");
  config["expansion_ratio"] = inner / width;
  const bool clips = keys.has("attention.clamp_kqv") && keys.number("attention.clamp_kqv") != 0;
  config["attn_config"] = {
      {"attn_type", "multihead_attention"},
      {"alibi", true},
      {"alibi_bias_max", std::llround(keys.number("attention.max_alibi_bias"))},
      {"clip_qkv", clips ? Json(keys.number("attention.clamp_kqv")) : Json()},
      {"prefix_lm", false},
      {"qk_ln", false},
      {"softmax_scale", nullptr}};
}

void complete_stablelm(const GgufSource& source, Json& config) {
  complete_partial_rotary(source, config);
  config["use_qkv_bias"] = source.has_tensor("blk.0.attn_q.bias");
  config["qk_layernorm"] = source.has_tensor("blk.0.attn_q_norm.weight");
  config["use_parallel_residual"] = !source.has_tensor("blk.0.ffn_norm.weight");
}

// llama.cpp knows Command R+ by its 64 layers; it is the one that normalises queries and keys.
void complete_cohere(const GgufSource& source, Json& config) {
  const bool normalises = source.keys().size("block_count") >= 64;
  if (normalises != source.has_tensor("blk.0.attn_q_norm.weight"))
    source.keys().refuse("block_count",
                         "does not fit the norm of queries and keys, which llama.cpp has from 64 "
                         "layers on and never below",
                         normalises ? "at most 63" : "at least 64");
  config["use_qk_norm"] = normalises;
}

void complete_cohere2(const GgufSource& source, Json& config) {
  alternate_windows(source, 4, config);
}

// llama.cpp normalises all queries together and as many keys.
void complete_olmoe(const GgufSource& source, Json& config) {
  const GgufKeys& keys = source.keys();
  if (config.at("num_key_value_heads") != config.at("num_attention_heads"))
    keys.refuse("attention.head_count_kv", "is not supported for this architecture",
                cat(keys.size("attention.head_count")));
}

// llama.cpp has windows in the model of 64 layers alone.
void complete_exaone4(const GgufSource& source, Json& config) {
  const GgufKeys& keys = source.keys();
  if (keys.size("block_count") == 64) {
    if (config.at("sliding_window").is_null()) config["sliding_window"] = 4096;
    alternate_windows(source, 4, config);
  } else if (config.at("sliding_window").is_null()) {
    config["layer_types"] =
        std::vector<std::string>(static_cast<size_t>(keys.size("block_count")), "full_attention");
  } else {
    keys.refuse("attention.sliding_window", "needs 64 layers in llama.cpp");
  }
}

// llama.cpp normalises what a head gives with an epsilon of its own, whatever the other norms have;
// the models' code takes theirs times the head's width.
void complete_rwkv7(const GgufSource& source, Json& config) {
  constexpr double kHeadEpsilon = 64e-5;
  const GgufKeys& keys = source.keys();
  const int64_t head = keys.size("wkv.head_size"), width = keys.size("embedding_length");
  const double usual = kHeadEpsilon / static_cast<double>(head);
  if (!(std::abs(keys.number("attention.layer_norm_epsilon") - usual) <= 1e-6 * usual))
    keys.refuse("attention.layer_norm_epsilon", "does not fit wkv.head_size in llama.cpp",
                cat(kHeadEpsilon, " / ", head));
  config["num_heads"] = std::max<int64_t>(1, width / head);
  config["hidden_ratio"] =
      static_cast<double>(keys.size("feed_forward_length")) / static_cast<double>(width);
  config["value_dim"] = std::vector<int64_t>(static_cast<size_t>(keys.size("block_count")), width);
}

}  // namespace gradus
