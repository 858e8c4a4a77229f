// SPDX-License-Identifier: Apache-2.0
#include "store/inspect/kv_cache.h"

#include <algorithm>
#include <array>

namespace gradus {
namespace {

// A config number under the first of its names that is there; 0 without one.
int64_t first_number(const Json& config, std::initializer_list<const char*> names) {
  for (const char* name : names) {
    if (config.contains(name) && config.at(name).is_number_integer())
      return config.at(name).get<int64_t>();
  }
  return 0;
}

// GGUF metadata under the names of config.json.
Json config_of(const ModelContents& contents) {
  if (contents.kind != ContentsKind::kGguf) return contents.config;
  const Json& metadata = contents.metadata;
  const auto architecture = metadata.value("general.architecture", Json(""));
  if (!architecture.is_string()) return Json::object();
  const std::string prefix = architecture.get<std::string>() + ".";
  Json config = {{"model_type", architecture}};
  static constexpr std::array<std::pair<const char*, const char*>, 7> kKeys = {
      {{"block_count", "num_hidden_layers"},
       {"attention.head_count", "num_attention_heads"},
       {"attention.head_count_kv", "num_key_value_heads"},
       {"attention.key_length", "head_dim"},
       {"attention.sliding_window", "sliding_window"},
       {"context_length", "max_position_embeddings"},
       {"embedding_length", "hidden_size"}}};
  for (const auto& [key, name] : kKeys) {
    if (metadata.contains(prefix + key)) config[name] = metadata.at(prefix + key);
  }
  return config;
}

// Bytes of one token in one layer; 0 when the configuration does not say.
int64_t token_bytes(const Json& config) {
  const int64_t heads = first_number(config, {"num_attention_heads", "n_head", "n_heads"});
  const int64_t hidden = first_number(config, {"hidden_size", "n_embd", "d_model"});
  if (heads <= 0) return 0;
  // Multi-head latent attention keeps one compressed vector and the rotary part of one key.
  if (const int64_t latent = first_number(config, {"kv_lora_rank"}); latent > 0)
    return 2 * (latent + first_number(config, {"qk_rope_head_dim"}));
  int64_t kv_heads =
      first_number(config, {"num_key_value_heads", "num_kv_heads", "multi_query_group_num"});
  if (kv_heads == 0) kv_heads = heads;
  int64_t head_dim = first_number(config, {"head_dim", "kv_channels"});
  if (head_dim == 0) head_dim = hidden / heads;
  return 2 * 2 * kv_heads * head_dim;
}

// How many layers keep a window only. Newer files list the layers; before, it went by the family.
int64_t window_layers(const Json& config, int64_t layers) {
  const Json types = config.value("layer_types", Json());
  if (types.is_array()) return std::count(types.begin(), types.end(), Json("sliding_attention"));
  const Json type = config.value("model_type", Json(""));
  const std::string family = type.is_string() ? type.get<std::string>() : "";
  const bool asked = config.value("use_sliding_window", Json(false)) == Json(true);
  if (family.starts_with("gemma2")) return (layers + 1) / 2;
  if (family.starts_with("gemma3")) {
    const int64_t every = first_number(config, {"sliding_window_pattern"});
    return layers - layers / (every > 0 ? every : 6);
  }
  if (family.starts_with("qwen"))
    return asked ? std::max<int64_t>(layers - first_number(config, {"max_window_layers"}), 0) : 0;
  return asked || !config.contains("use_sliding_window") ? layers : 0;
}

struct CacheShape {
  int64_t token_bytes = 0;  // in one layer
  int64_t layers = 0;
  int64_t window_layers = 0, window = 0;
  int64_t context = 0;
};

CacheShape shape_of(const ModelConfig& config) {
  if (config.recurrent.kind != RecurrentKind::kNone) return {};
  const LatentConfig& latent = config.latent;
  const auto& windows = config.layer_window;
  const auto full = std::count(windows.begin(), windows.end(), 0);
  return {.token_bytes = latent.kv_rank > 0 ? 2 * (latent.kv_rank + latent.rope_dim)
                                            : 2 * 2 * config.num_key_value_heads * config.head_dim,
          .layers = config.num_hidden_layers,
          .window_layers = static_cast<int64_t>(windows.size()) - full,
          .window = windows.empty() ? 0 : *std::max_element(windows.begin(), windows.end()),
          .context = config.max_position_embeddings};
}

// From the usual keys, of GGUF files and of families that the model's code does not know.
CacheShape guessed_shape(const Json& config) {
  CacheShape shape{
      .token_bytes = token_bytes(config),
      .layers = first_number(config, {"num_hidden_layers", "n_layer", "num_layers", "n_layers"}),
      .window = first_number(config, {"sliding_window"}),
      .context = first_number(
          config, {"max_position_embeddings", "n_positions", "seq_length", "max_seq_len"})};
  if (shape.window > 0)
    shape.window_layers = std::min(window_layers(config, shape.layers), shape.layers);
  return shape;
}

}  // namespace

Json kv_cache_size(const ModelContents& contents) {
  const auto known = model_config_of(contents);
  const Json config = known ? Json() : config_of(contents);
  if (!known && (!config.is_object() || contents.kind == ContentsKind::kAdapter)) return nullptr;
  const CacheShape shape = known ? shape_of(*known) : guessed_shape(config);
  if (shape.layers <= 0 || shape.token_bytes <= 0) return nullptr;
  const int64_t windows = shape.window_layers, context = shape.context;
  Json size = {{"bytes_per_1000_tokens", 1000 * shape.layers * shape.token_bytes},
               {"context", nullptr},
               {"bytes_at_context", nullptr},
               {"layers", shape.layers},
               {"window_layers", windows},
               {"window", windows > 0 ? Json(shape.window) : Json(nullptr)}};
  if (context <= 0) return size;
  size["context"] = context;
  size["bytes_at_context"] = shape.token_bytes * ((shape.layers - windows) * context +
                                                  windows * std::min(shape.window, context));
  return size;
}

}  // namespace gradus
