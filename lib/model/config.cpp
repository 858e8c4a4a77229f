// SPDX-License-Identifier: Apache-2.0
#include "model/config.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/families/family.h"
#include "model/formats/folder_kind.h"

namespace gradus {
namespace {

const Family& family_of(const std::string& model_type, const std::string& where) {
  std::string list;
  for (const Family& family : families()) {
    if (model_type == family.model_type) return family;
    list += cat(list.empty() ? "" : ", ", family.model_type);
  }
  throw Error({.what = "model_type is not supported",
               .where = where,
               .expected = "one of " + list,
               .found = printable(model_type)});
}

void check_heads(const ModelConfig& config, const std::string& where) {
  if (config.num_attention_heads % config.num_key_value_heads != 0) {
    throw Error({.what = "num_attention_heads is not a multiple of num_key_value_heads",
                 .where = where,
                 .found = cat(config.num_attention_heads, " and ", config.num_key_value_heads)});
  }
  if (config.moe.experts_per_token > config.moe.experts || config.moe.experts > 4096) {
    throw Error({.what = "the number of experts is not usable",
                 .where = where,
                 .expected = "at most 4096, and a token goes through at most all",
                 .found = cat(config.moe.experts_per_token, " of ", config.moe.experts)});
  }
}

void check_number(double value, const std::string& what, const std::string& where) {
  if (std::isfinite(value) && value >= 0) return;
  throw Error({.what = what + " is not usable",
               .where = where,
               .expected = "numbers that are not negative",
               .found = cat(value)});
}

void check_numbers(const ModelConfig& config, const std::string& where) {
  for (const double value :
       {config.attention_scale, config.attention_softcap, config.embedding_scale, config.norm_eps,
        config.clip_qkv, config.residual_scale, config.logits_scale, config.logits_softcap,
        config.moe.scale, config.alibi.scale, config.alibi.bias_max})
    check_number(value, "a scale, cap or epsilon", where);
  for (const RopeConfig& rope : config.ropes) {
    for (const double value : {rope.theta, rope.factor, rope.low_freq_factor, rope.high_freq_factor,
                               rope.beta_fast, rope.beta_slow, rope.attention_factor})
      check_number(value, "a number of the rotary embedding", where);
    for (const auto* factors : {&rope.short_factor, &rope.long_factor})
      for (const double value : *factors)
        check_number(value, "a factor of the rotary embedding", where);
  }
}

// Number is int64_t, or double where the product may not fit.
template <class Number>
Number latent_parameters(const ModelConfig& c) {
  const auto D = static_cast<Number>(c.hidden_size), H = static_cast<Number>(c.num_attention_heads),
             Dh = static_cast<Number>(c.head_dim), v_dim = static_cast<Number>(c.latent.v_dim);
  const auto q_rank = static_cast<Number>(c.latent.q_rank),
             kv_rank = static_cast<Number>(c.latent.kv_rank);
  const Number queries = c.latent.q_rank > 0 ? q_rank * (D + H * Dh) : D * H * Dh;
  return queries + D * (kv_rank + static_cast<Number>(c.latent.rope_dim)) +
         kv_rank * H * (static_cast<Number>(c.latent.nope_dim) + v_dim) + H * v_dim * D;
}

template <class Number>
Number attention_parameters(const ModelConfig& c) {
  if (c.latent.kv_rank > 0) return latent_parameters<Number>(c);
  const auto heads = static_cast<Number>(2 * c.num_attention_heads + 2 * c.num_key_value_heads);
  return static_cast<Number>(c.hidden_size) * static_cast<Number>(c.head_dim) * heads;
}

// The matrices of one layer's feed-forward part, `experts` of them where the layer has any.
template <class Number>
Number mlp_parameters(const ModelConfig& c, bool sparse, int64_t experts) {
  const auto D = static_cast<Number>(c.hidden_size);
  if (!sparse) return (c.gated ? 3 : 2) * D * static_cast<Number>(c.intermediate_size);
  const auto shared = static_cast<Number>(c.moe.shared_intermediate_size);
  return 3 * D * static_cast<Number>(c.moe.intermediate_size) * static_cast<Number>(experts) +
         D * static_cast<Number>(c.moe.experts) + 3 * D * shared +
         (shared > 0 && !c.names.shared_gate.empty() ? D : 0);
}

// The matrices of all layers of a recurrent model; RWKV-7's first layer has one projection less.
template <class Number>
Number recurrent_parameters(const ModelConfig& c) {
  const auto D = static_cast<Number>(c.hidden_size), F = static_cast<Number>(c.intermediate_size);
  const auto L = static_cast<Number>(c.num_hidden_layers);
  if (c.recurrent.kind == RecurrentKind::kRwkv4)
    return L * D * (4 * static_cast<Number>(c.head_dim) + 2 * F + D);
  const RecurrentConfig& r = c.recurrent;
  const auto ranks = static_cast<Number>(r.decay_rank + r.rate_rank + r.gate_rank);
  return L * D * (4 * D + 2 * F + 2 * ranks) + (L - 1) * 2 * D * static_cast<Number>(r.value_rank);
}

// The matrices of all layers.
template <class Number>
Number layers_matmul_parameters(const ModelConfig& c, int64_t experts) {
  if (c.recurrent.kind != RecurrentKind::kNone) return recurrent_parameters<Number>(c);
  const auto sparse = static_cast<Number>(std::count(c.layer_moe.begin(), c.layer_moe.end(), 1));
  const auto L = static_cast<Number>(c.num_hidden_layers);
  return L * attention_parameters<Number>(c) + sparse * mlp_parameters<Number>(c, true, experts) +
         (L - sparse) * mlp_parameters<Number>(c, false, 0);
}

// Every count below fits an integer when the matrices together have at most this many numbers.
void check_total(const ModelConfig& c, const std::string& where) {
  constexpr double kMost = 1e15;
  const auto D = static_cast<double>(c.hidden_size), V = static_cast<double>(c.vocab_size);
  const auto P = static_cast<double>(c.max_position_embeddings);
  const double total = layers_matmul_parameters<double>(c, c.moe.experts) + (2 * V + P) * D;
  if (total <= kMost) return;
  throw Error({.what = "the sizes describe a model that is too large",
               .where = where,
               .expected = cat("at most ", kMost, " parameters"),
               .found = cat(total)});
}

// Of a norm of the residual stream.
int64_t norm_parameters(const ModelConfig& c) {
  return c.norm == NormKind::kPlainLayer ? 0 : c.hidden_size * (c.norm_bias ? 2 : 1);
}

int64_t qk_norm_parameters(const ModelConfig& c) {
  const int64_t bias = c.qk_norm_bias ? 2 : 1,
                heads = c.num_attention_heads + c.num_key_value_heads;
  switch (c.qk_norm) {
    case QkNorm::kNone:
      return 0;
    case QkNorm::kSharedHead:
      return 2 * c.head_dim * bias;
    case QkNorm::kEachHead:
    case QkNorm::kFull:
      return heads * c.head_dim * bias;
  }
  return 0;
}

int64_t layer_vector_parameters(const ModelConfig& c) {
  int64_t count = qk_norm_parameters(c) + c.latent.q_rank + c.latent.kv_rank;
  const TensorNames& n = c.names;
  for (const auto* name :
       {&n.attention_norm, &n.attention_post_norm, &n.mlp_norm, &n.mlp_post_norm})
    count += name->empty() ? 0 : norm_parameters(c);
  if (c.qkv_bias && c.latent.kv_rank > 0)
    count += c.latent.q_rank + c.latent.kv_rank + c.latent.rope_dim;
  else if (c.qkv_bias)
    count += c.head_dim * (c.num_attention_heads + 2 * c.num_key_value_heads);
  if (c.o_bias) count += c.hidden_size;
  if (c.mlp_bias) count += (c.gated ? 2 : 1) * c.intermediate_size + c.hidden_size;
  return count;
}

// The vectors of all layers of a recurrent model, without the norms around its blocks.
int64_t recurrent_vector_parameters(const ModelConfig& c) {
  const int64_t D = c.hidden_size, L = c.num_hidden_layers;
  switch (c.recurrent.kind) {
    case RecurrentKind::kNone:
      return 0;
    case RecurrentKind::kRwkv4:
      return L * (5 * D + 2 * c.head_dim);
    case RecurrentKind::kRwkv7:
      return L * 14 * D + (L - 1) * D;
  }
  return 0;
}

}  // namespace

ModelConfig model_config_from_json(const Json& json, const std::string& where) {
  if (!json.is_object()) throw Error(ErrorParts{.what = "is not an object", .where = where});
  ModelConfig config;
  config.source = json;
  config.model_type = json_get<std::string>(json, "model_type", where);
  const Family& family = family_of(config.model_type, where);
  const ConfigReader reader(json, where, class_defaults(config.model_type));
  family.read(reader, config);
  config.tie_word_embeddings = reader.flag("tie_word_embeddings", config.tie_word_embeddings);
  if (config.attention_scale == 0)
    config.attention_scale = 1 / std::sqrt(static_cast<double>(config.head_dim));
  config.eos_token_ids = reader.integers("eos_token_id");
  const auto bos = reader.integers("bos_token_id");
  if (!bos.empty()) config.bos_token_id = bos.front();
  check_heads(config, where);
  check_numbers(config, where);
  check_total(config, where);
  reader.refuse_unknown_mathematics();
  return config;
}

ModelConfig read_model_config(const fs::path& model_folder) {
  require_model_folder(model_folder);
  const fs::path path = model_folder / "config.json";
  return model_config_from_json(read_json(path), path.string());
}

Json model_config_to_json(const ModelConfig& config, const std::string& dtype) {
  Json json = config.source;
  json[config.keys.num_hidden_layers] = config.num_hidden_layers;
  json[config.keys.vocab_size] = config.vocab_size;
  json["tie_word_embeddings"] = config.tie_word_embeddings;
  json["dtype"] = dtype;
  json.erase("torch_dtype");
  // Always with a window: the rules that give it count layers, which a student has fewer of.
  if (config.has_window || (json.contains("layer_types") && json.at("layer_types").is_array())) {
    Json types = Json::array();
    for (const int64_t window : config.layer_window)
      types.push_back(window > 0 ? "sliding_attention" : "full_attention");
    json["layer_types"] = types;
  }
  if (!config.keys.no_rope_layers.empty()) {
    Json rotates = Json::array();
    for (const int64_t rope : config.layer_rope) rotates.push_back(rope >= 0 ? 1 : 0);
    json[config.keys.no_rope_layers] = rotates;
  }
  if (!config.keys.mlp_only_layers.empty()) {
    Json dense = Json::array();
    for (size_t i = 0; i < config.layer_moe.size(); ++i) {
      if (config.layer_moe[i] == 0) dense.push_back(i);
    }
    json[config.keys.mlp_only_layers] = dense;
    json["decoder_sparse_step"] = 1;
  }
  if (!config.keys.dense_layers.empty())
    json[config.keys.dense_layers] =
        std::count(config.layer_moe.begin(), config.layer_moe.end(), 0);
  return json;
}

int64_t parameter_count(const ModelConfig& c) {
  int64_t outside = c.vocab_size * c.hidden_size * (c.tie_word_embeddings ? 1 : 2);
  outside += norm_parameters(c);
  if (c.output_bias) outside += c.vocab_size;
  if (!c.names.embedding_norm.empty()) outside += norm_parameters(c);
  if (c.positions == Positions::kLearned) outside += c.max_position_embeddings * c.hidden_size;
  if (!c.names.router_bias.empty())
    outside += c.moe.experts * std::count(c.layer_moe.begin(), c.layer_moe.end(), 1);
  return layers_matmul_parameters<int64_t>(c, c.moe.experts) +
         c.num_hidden_layers * layer_vector_parameters(c) + recurrent_vector_parameters(c) +
         outside;
}

int64_t matmul_parameter_count(const ModelConfig& c) {
  return layers_matmul_parameters<int64_t>(c, c.moe.experts_per_token) +
         c.vocab_size * c.hidden_size;
}

}  // namespace gradus
