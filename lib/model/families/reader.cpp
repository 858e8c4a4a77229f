// SPDX-License-Identifier: Apache-2.0
#include "model/families/reader.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/error.h"

namespace gradus {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 24;  // bounds every number that sizes an allocation
constexpr int64_t kMaxLayers = 4096;            // the deepest models have some hundred

// Keys that change the mathematics of some family, and the value besides null that changes nothing.
struct MathematicalKey {
  const char* key;
  Json neutral;
};

const std::vector<MathematicalKey>& mathematical_keys() {
  static const std::vector<MathematicalKey> keys{
      {"add_cross_attention", false},
      {"alibi", false},
      {"apply_residual_connection_post_layernorm", false},
      {"attention_bias", false},
      {"attention_chunk_size", nullptr},
      {"attention_multiplier", nullptr},
      {"attn_logit_softcapping", nullptr},
      {"attn_temperature_tuning", false},
      {"causal", true},
      {"clip_qkv", nullptr},
      {"dim_model_base", nullptr},
      {"embd_scale", nullptr},
      {"embedding_multiplier", 1.0},
      {"embedding_scale", nullptr},
      {"final_logit_softcapping", nullptr},
      {"first_k_dense_replace", 0},
      {"head_dim", nullptr},
      {"is_causal", true},
      {"is_encoder_decoder", false},
      {"key_multiplier", 1.0},
      {"kv_lora_rank", nullptr},
      {"layer_types", nullptr},
      {"lm_head_multiplier", 1.0},
      {"logit_scale", 1.0},
      {"logits_scaling", 1.0},
      {"logits_soft_cap", nullptr},
      {"mlp_bias", false},
      {"mlp_only_layers", nullptr},
      {"moe_layer_freq", 1},
      {"multi_query", false},
      {"mup_attn_multiplier", 1.0},
      {"mup_embedding_multiplier", 1.0},
      {"mup_width_multiplier", 1.0},
      {"n_routed_experts", 0},
      {"no_bias", true},
      {"no_rope_layer_interval", nullptr},
      {"no_rope_layers", nullptr},
      {"normalize_embeddings", false},
      {"num_experts", 0},
      {"num_key_value_heads", nullptr},
      {"num_local_experts", 0},
      {"output_multiplier", 1.0},
      {"parallel_attn", false},
      {"partial_rotary_factor", 1.0},
      {"q_lora_rank", nullptr},
      {"qk_layernorm", false},
      {"query_pre_attn_scalar", nullptr},
      {"residual_multiplier", 1.0},
      {"rope_interleaved", false},
      {"rope_local_base_freq", nullptr},
      {"rope_parameters", nullptr},
      {"rope_ratio", 1.0},
      {"rope_scaling", nullptr},
      {"rotary_pct", 1.0},
      {"routed_scaling_factor", 1.0},
      {"sandwich_norm", false},
      {"scale_attn_by_inverse_layer_idx", false},
      {"scale_depth", 1.0},
      {"scale_emb", 1.0},
      {"scoring_func", "softmax"},
      {"sliding_window_pattern", nullptr},
      {"softmax_scale", nullptr},
      {"topk_method", "greedy"},
      {"use_alibi", false},
      {"use_bidirectional_attention", false},
      {"use_mup", false},
      {"use_parallel_residual", false},
      {"use_qk_norm", false},
      {"use_qkv_bias", false},
      {"use_rope", true},
      {"use_sliding_window", false},
  };
  return keys;
}

constexpr std::array<std::pair<const char*, Activation>, 11> kActivations{{
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
    {"gelu", Activation::kGelu},
    {"gelu_python", Activation::kGelu},
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_fast", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"gelu_tanh", Activation::kGeluTanh},
    {"gelu_accurate", Activation::kGeluTanh},
    {"relu", Activation::kRelu},
    {"relu2", Activation::kReluSquared},
}};

}  // namespace

bool ConfigReader::has(const std::string& key) const {
  seen_.insert(key);
  return holder(key).contains(key) && !holder(key).at(key).is_null();
}

int64_t ConfigReader::bounded(const std::string& key, int64_t most) const {
  seen_.insert(key);
  const auto value = json_get<int64_t>(holder(key), key, where_);
  if (value >= 1 && value <= most) return value;
  throw Error({.what = "key '" + key + "' is out of range",
               .where = where_,
               .expected = cat("1 to ", most),
               .found = holder(key).at(key).dump()});
}

int64_t ConfigReader::size(const std::string& key) const { return bounded(key, kMaxSize); }

int64_t ConfigReader::layers(const std::string& key) const { return bounded(key, kMaxLayers); }

int64_t ConfigReader::size(const std::string& key, int64_t fallback) const {
  return has(key) ? size(key) : fallback;
}

double ConfigReader::number(const std::string& key, double fallback) const {
  seen_.insert(key);
  return json_get<double>(holder(key), key, fallback, where_);
}

bool ConfigReader::flag(const std::string& key, bool fallback) const {
  seen_.insert(key);
  return json_get<bool>(holder(key), key, fallback, where_);
}

std::string ConfigReader::text(const std::string& key, const std::string& fallback) const {
  seen_.insert(key);
  return json_get<std::string>(holder(key), key, fallback, where_);
}

const Json& ConfigReader::at(const std::string& key) const {
  seen_.insert(key);
  return holder(key).at(key);
}

Activation ConfigReader::activation(const std::string& key, const std::string& fallback) const {
  const std::string name = text(key, fallback);
  for (const auto& [known, value] : kActivations) {
    if (name == known) return value;
  }
  std::string list;
  for (const auto& [known, value] : kActivations) list += cat(list.empty() ? "" : ", ", known);
  refuse(key, list);
}

std::vector<int64_t> ConfigReader::integers(const std::string& key) const {
  if (!has(key)) return {};
  const Json& value = at(key);
  std::vector<int64_t> list;
  for (const Json& item : value.is_array() ? value : Json::array({value})) {
    if (!item.is_number_integer())
      json_wrong_type(value, key, "an integer or a list of integers", where_);
    list.push_back(item.get<int64_t>());
  }
  return list;
}

void ConfigReader::refuse(const std::string& key, const std::string& expected) const {
  throw Error({.what = "key '" + key + "' has a value that this version cannot compute",
               .where = where_,
               .expected = expected,
               .found = json_.contains(key) ? printable(json_.at(key).dump(), 60) : "nothing"});
}

void ConfigReader::refuse_if(bool condition, const std::string& key,
                             const std::string& expected) const {
  seen_.insert(key);
  if (condition) refuse(key, expected);
}

void ConfigReader::expect_flag(const std::string& key, bool value, bool fallback) const {
  refuse_if(flag(key, fallback) != value, key, value ? "true" : "false");
}

void ConfigReader::accept(const std::vector<std::string>& keys) const {
  seen_.insert(keys.begin(), keys.end());
}

void ConfigReader::refuse_unknown_mathematics() const {
  for (const MathematicalKey& entry : mathematical_keys()) {
    if (!json_.contains(entry.key) || seen_.contains(entry.key)) continue;
    const Json& value = json_.at(entry.key);
    if (!value.is_null() && value != entry.neutral) refuse(entry.key);
  }
}

ConfigReader ConfigReader::inside(const std::string& key) const {
  seen_.insert(key);
  if (!json_.at(key).is_object()) json_wrong_type(json_.at(key), key, "an object", where_);
  return {json_.at(key), where_ + ": " + key};
}

void read_usual_sizes(const ConfigReader& reader, ModelConfig& config, const char* eps_key,
                      double eps) {
  config.hidden_size = reader.size("hidden_size");
  config.intermediate_size = reader.size("intermediate_size");
  config.num_hidden_layers = reader.layers("num_hidden_layers");
  config.num_attention_heads = reader.size("num_attention_heads");
  config.num_key_value_heads = reader.size("num_key_value_heads", config.num_attention_heads);
  config.head_dim = std::max<int64_t>(1, config.hidden_size / config.num_attention_heads);
  config.vocab_size = reader.size("vocab_size");
  config.max_position_embeddings = reader.size("max_position_embeddings", 2048);
  config.norm_eps = reader.number(eps_key, eps);
  config.layer_window.assign(static_cast<size_t>(config.num_hidden_layers), 0);
}

void read_windows(const ConfigReader& reader, ModelConfig& config, int64_t first) {
  if (!reader.has("sliding_window")) {
    reader.accept({"layer_types"});
    return;
  }
  const int64_t window = reader.size("sliding_window");
  config.has_window = true;
  const auto layers = static_cast<size_t>(config.num_hidden_layers);
  for (size_t i = static_cast<size_t>(std::max<int64_t>(first, 0)); i < layers; ++i)
    config.layer_window[i] = window;
  if (!reader.has("layer_types") || !reader.at("layer_types").is_array()) return;
  const Json& types = reader.at("layer_types");
  reader.refuse_if(types.size() != layers, "layer_types", cat(layers, " entries"));
  for (size_t i = 0; i < layers; ++i) {
    const bool sliding = types[i] == "sliding_attention";
    reader.refuse_if(!sliding && types[i] != "full_attention", "layer_types",
                     "full_attention and sliding_attention");
    config.layer_window[i] = sliding ? window : 0;
  }
}

void read_alternating_windows(const ConfigReader& reader, ModelConfig& config, int64_t pattern) {
  if (!reader.has("sliding_window"))
    return reader.refuse_if(reader.has("layer_types"), "layer_types", "with sliding_window");
  read_windows(reader, config, 0);
  if (reader.has("layer_types")) return;
  for (size_t i = 0; i < config.layer_window.size(); ++i) {
    if ((static_cast<int64_t>(i) + 1) % pattern == 0) config.layer_window[i] = 0;
  }
}

}  // namespace gradus
