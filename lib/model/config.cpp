// SPDX-License-Identifier: Apache-2.0
#include "model/config.h"

#include <algorithm>

#include "base/error.h"
#include "model/formats/folder_kind.h"

namespace gradus {
namespace {

constexpr int64_t kMaxSize = int64_t{1} << 24;  // bounds every number that sizes an allocation

int64_t size_of(const Json& json, const std::string& key, const std::string& where,
                int64_t fallback = 0) {
  const auto value = fallback > 0 ? json_get<int64_t>(json, key, fallback, where)
                                  : json_get<int64_t>(json, key, where);
  if (value < 1 || value > kMaxSize) {
    throw Error({.what = "key '" + key + "' is out of range",
                 .where = where,
                 .expected = cat("1 to ", kMaxSize),
                 .found = cat(value)});
  }
  return value;
}

void refuse(bool condition, const std::string& key, const Json& json, const std::string& where) {
  if (!condition) return;
  throw Error({.what = "key '" + key + "' has a value that this version cannot compute",
               .where = where,
               .found = json.contains(key) ? printable(json.at(key).dump(), 60) : "nothing"});
}

// rope_parameters (transformers 5) or rope_theta + rope_scaling (before).
RopeConfig read_rope(const Json& json, const std::string& where) {
  RopeConfig rope;
  const bool joined = json.contains("rope_parameters") && json.at("rope_parameters").is_object();
  const char* key = joined ? "rope_parameters" : "rope_scaling";
  rope.theta = json_get<double>(json, "rope_theta", 10000.0, where);
  if (!json.contains(key) || json.at(key).is_null()) return rope;
  const Json& part = json.at(key);
  const std::string place = where + ": " + key;
  if (!part.is_object()) json_wrong_type(part, key, "an object", where);
  rope.theta = json_get<double>(part, "rope_theta", rope.theta, place);
  const auto type = json_get<std::string>(
      part, "rope_type", json_get<std::string>(part, "type", "default", place), place);
  if (type == "default") return rope;
  rope.factor = json_get<double>(part, "factor", place);
  if (type == "linear") {
    rope.type = RopeType::kLinear;
    return rope;
  }
  if (type != "llama3") {
    throw Error({.what = "rope type is not supported",
                 .where = place,
                 .expected = "default, linear or llama3",
                 .found = printable(type)});
  }
  rope.type = RopeType::kLlama3;
  rope.low_freq_factor = json_get<double>(part, "low_freq_factor", place);
  rope.high_freq_factor = json_get<double>(part, "high_freq_factor", place);
  rope.original_max_position_embeddings = size_of(part, "original_max_position_embeddings", place);
  return rope;
}

std::vector<int64_t> token_ids(const Json& json, const std::string& key, const std::string& where) {
  if (!json.contains(key) || json.at(key).is_null()) return {};
  const Json& value = json.at(key);
  std::vector<int64_t> ids;
  for (const Json& item : value.is_array() ? value : Json::array({value})) {
    if (!item.is_number_integer())
      json_wrong_type(value, key, "an integer or a list of integers", where);
    ids.push_back(item.get<int64_t>());
  }
  return ids;
}

// What a family adds to the common transformer.
void apply_family(ModelConfig& config, const Json& json, const std::string& where) {
  const std::string& type = config.model_type;
  if (type == "llama" || type == "qwen3") {
    config.qkv_bias = config.o_bias = json_get<bool>(json, "attention_bias", false, where);
  }
  if (type == "llama") config.mlp_bias = json_get<bool>(json, "mlp_bias", false, where);
  if (type == "qwen2") config.qkv_bias = true;
  if (type == "qwen3") config.qk_norm = true;
}

void read_windows(ModelConfig& config, const Json& json, const std::string& where) {
  config.layer_window.assign(static_cast<size_t>(config.num_hidden_layers), 0);
  if (config.model_type == "llama") return;
  const bool has_window = json.contains("sliding_window") && !json.at("sliding_window").is_null();
  const bool used =
      config.model_type == "mistral" || json_get<bool>(json, "use_sliding_window", false, where);
  if (!has_window || !used) return;
  const int64_t window = size_of(json, "sliding_window", where);
  const int64_t first =
      config.model_type == "mistral" ? 0 : json_get<int64_t>(json, "max_window_layers", 28, where);
  for (int64_t layer = std::max<int64_t>(first, 0); layer < config.num_hidden_layers; ++layer) {
    config.layer_window[static_cast<size_t>(layer)] = window;
  }
  if (!json.contains("layer_types") || !json.at("layer_types").is_array()) return;
  const Json& types = json.at("layer_types");
  refuse(static_cast<int64_t>(types.size()) != config.num_hidden_layers, "layer_types", json,
         where);
  for (size_t layer = 0; layer < types.size(); ++layer) {
    refuse(types[layer] != "full_attention" && types[layer] != "sliding_attention", "layer_types",
           json, where);
    config.layer_window[layer] = types[layer] == "sliding_attention" ? window : 0;
  }
}

void check_heads(const ModelConfig& config, const std::string& where) {
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    throw Error({.what = "num_attention_heads is not a multiple of num_key_value_heads",
                 .where = where,
                 .found = cat(config.num_attention_heads, " and ", config.num_key_value_heads)});
  }
  if (config.head_dim % 2 != 0) {
    throw Error({.what = "head_dim must be even for rotary embeddings",
                 .where = where,
                 .found = cat(config.head_dim)});
  }
}

// Number is int64_t, or double where the product may not fit.
template <class Number>
Number layer_matmul_parameters(const ModelConfig& c) {
  const auto D = static_cast<Number>(c.hidden_size);
  const auto heads = static_cast<Number>(2 * c.num_attention_heads + 2 * c.num_key_value_heads);
  return D * static_cast<Number>(c.head_dim) * heads +
         3 * D * static_cast<Number>(c.intermediate_size);
}

// Every count below fits an integer when the matrices together have at most this many numbers.
void check_total(const ModelConfig& c, const std::string& where) {
  constexpr double kMost = 1e15;
  const auto D = static_cast<double>(c.hidden_size), V = static_cast<double>(c.vocab_size);
  const double total =
      static_cast<double>(c.num_hidden_layers) * layer_matmul_parameters<double>(c) + 2 * V * D;
  if (total <= kMost) return;
  throw Error({.what = "the sizes describe a model that is too large",
               .where = where,
               .expected = cat("at most ", kMost, " parameters"),
               .found = cat(total)});
}

}  // namespace

const std::vector<std::string>& supported_model_types() {
  static const std::vector<std::string> types{"llama", "mistral", "qwen2", "qwen3"};
  return types;
}

ModelConfig model_config_from_json(const Json& json, const std::string& where) {
  ModelConfig config;
  config.source = json;
  config.model_type = json_get<std::string>(json, "model_type", where);
  const auto& types = supported_model_types();
  if (std::find(types.begin(), types.end(), config.model_type) == types.end()) {
    std::string list;
    for (const std::string& type : types) list += (list.empty() ? "" : ", ") + type;
    throw Error({.what = "model_type is not supported",
                 .where = where,
                 .expected = "one of " + list,
                 .found = printable(config.model_type)});
  }
  config.hidden_size = size_of(json, "hidden_size", where);
  config.intermediate_size = size_of(json, "intermediate_size", where);
  config.num_hidden_layers = size_of(json, "num_hidden_layers", where);
  config.num_attention_heads = size_of(json, "num_attention_heads", where);
  config.num_key_value_heads =
      size_of(json, "num_key_value_heads", where, config.num_attention_heads);
  config.head_dim = size_of(json, "head_dim", where,
                            std::max<int64_t>(1, config.hidden_size / config.num_attention_heads));
  config.vocab_size = size_of(json, "vocab_size", where);
  check_total(config, where);
  config.max_position_embeddings = size_of(json, "max_position_embeddings", where, 2048);
  config.rms_norm_eps = json_get<double>(json, "rms_norm_eps", 1e-6, where);
  config.tie_word_embeddings = json_get<bool>(json, "tie_word_embeddings", false, where);
  config.eos_token_ids = token_ids(json, "eos_token_id", where);
  const auto bos = token_ids(json, "bos_token_id", where);
  if (!bos.empty()) config.bos_token_id = bos.front();
  const auto activation = json_get<std::string>(json, "hidden_act", "silu", where);
  refuse(activation != "silu" && activation != "swish", "hidden_act", json, where);
  refuse(json_get<double>(json, "partial_rotary_factor", 1.0, where) != 1.0,
         "partial_rotary_factor", json, where);
  config.rope = read_rope(json, where);
  apply_family(config, json, where);
  read_windows(config, json, where);
  check_heads(config, where);
  return config;
}

ModelConfig read_model_config(const fs::path& model_folder) {
  require_model_folder(model_folder);
  const fs::path path = model_folder / "config.json";
  return model_config_from_json(read_json(path), path.string());
}

Json model_config_to_json(const ModelConfig& config, const std::string& dtype) {
  Json json = config.source;
  json["num_hidden_layers"] = config.num_hidden_layers;
  json["vocab_size"] = config.vocab_size;
  json["tie_word_embeddings"] = config.tie_word_embeddings;
  json["dtype"] = dtype;
  json.erase("torch_dtype");
  // Always with windows: the rules that give them count layers, which a student has fewer of.
  const bool windows = std::any_of(config.layer_window.begin(), config.layer_window.end(),
                                   [](int64_t window) { return window > 0; });
  if (windows || (json.contains("layer_types") && json.at("layer_types").is_array())) {
    Json types = Json::array();
    for (const int64_t window : config.layer_window)
      types.push_back(window > 0 ? "sliding_attention" : "full_attention");
    json["layer_types"] = types;
  }
  return json;
}

int64_t parameter_count(const ModelConfig& c) {
  int64_t layer = layer_matmul_parameters<int64_t>(c) + 2 * c.hidden_size;
  if (c.qkv_bias) layer += c.head_dim * (c.num_attention_heads + 2 * c.num_key_value_heads);
  if (c.o_bias) layer += c.hidden_size;
  if (c.mlp_bias) layer += 2 * c.intermediate_size + c.hidden_size;
  if (c.qk_norm) layer += 2 * c.head_dim;
  const int64_t embeddings = c.vocab_size * c.hidden_size * (c.tie_word_embeddings ? 1 : 2);
  return c.num_hidden_layers * layer + embeddings + c.hidden_size;
}

int64_t matmul_parameter_count(const ModelConfig& c) {
  return c.num_hidden_layers * layer_matmul_parameters<int64_t>(c) + c.vocab_size * c.hidden_size;
}

}  // namespace gradus
