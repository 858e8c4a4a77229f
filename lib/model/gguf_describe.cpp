// SPDX-License-Identifier: Apache-2.0
#include "model/gguf_describe.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numbers>

#include "base/error.h"

namespace gradus {
namespace {

struct Family {
  const char* model_type;
  const char* architecture;
  QkRows qk_rows;
};

// llama.cpp has no architecture for mistral: it is a llama.
constexpr Family kFamilies[] = {{"llama", "llama", QkRows::kInterleaved},
                                {"mistral", "llama", QkRows::kInterleaved},
                                {"qwen2", "qwen2", QkRows::kAsIs},
                                {"qwen3", "qwen3", QkRows::kAsIs}};

const Family* find_family(const std::string& model_type) {
  const auto found =
      std::find_if(std::begin(kFamilies), std::end(kFamilies),
                   [&](const Family& family) { return model_type == family.model_type; });
  return found == std::end(kFamilies) ? nullptr : found;
}

// The one window of all layers, 0 for none; -1 when layers differ.
int64_t common_window(const ModelConfig& config) {
  const auto& windows = config.layer_window;
  if (windows.empty()) return 0;
  const bool equal = std::all_of(windows.begin(), windows.end(),
                                 [&](int64_t window) { return window == windows.front(); });
  return equal ? windows.front() : -1;
}

void refuse(bool condition, const std::string& what, const ModelConfig& config,
            const std::string& where) {
  if (!condition) return;
  throw Error({.what = cat("llama.cpp's ", config.model_type, " has no ", what), .where = where});
}

uint32_t number(int64_t value) { return static_cast<uint32_t>(value); }

}  // namespace

GgufModel gguf_model_of(const ModelConfig& c, const std::string& where) {
  const Family* family = find_family(c.model_type);
  if (!family) {
    throw Error({.what = "models of this family cannot be written as GGUF",
                 .where = where,
                 .expected = "llama, mistral, qwen2 or qwen3",
                 .found = printable(c.model_type)});
  }
  const bool llama = c.model_type == "llama", mistral = c.model_type == "mistral";
  const int64_t window = common_window(c);
  refuse(window != 0 && !(mistral && window > 0), "sliding windows", c, where);
  const RopeConfig& rope = c.ropes.front();
  const bool llama3 = rope.type == RopeType::kLlama3;
  refuse(llama3 && !llama && !mistral, "'llama3' rope scaling", c, where);
  refuse(!llama3 && rope.type != RopeType::kDefault && rope.type != RopeType::kLinear,
         "rope scaling of that kind", c, where);
  refuse(rope.dim != c.head_dim, "partial rotary embedding", c, where);
  refuse(!llama && (c.o_bias || c.mlp_bias), "bias of that kind", c, where);
  GgufModel model;
  model.model_type = family->model_type;
  model.qk_rows = family->qk_rows;
  model.extras = {.qkv_bias = c.qkv_bias,
                  .output_bias = c.o_bias,
                  .mlp_bias = c.mlp_bias,
                  .qk_norm = c.qk_norm != QkNorm::kNone};
  model.hidden_size = c.hidden_size;
  model.intermediate_size = c.intermediate_size;
  model.num_hidden_layers = c.num_hidden_layers;
  model.num_attention_heads = c.num_attention_heads;
  model.num_key_value_heads = c.num_key_value_heads;
  model.head_dim = c.head_dim;
  model.vocab_size = c.vocab_size;
  model.tie_word_embeddings = c.tie_word_embeddings;
  return model;
}

std::string gguf_architecture(const ModelConfig& config) {
  return find_family(config.model_type)->architecture;
}

GgufMetadata gguf_architecture_keys(const ModelConfig& c) {
  const std::string prefix = gguf_architecture(c) + ".";
  GgufMetadata keys;
  const auto add = [&](const char* key, GgufValue value) {
    keys.emplace_back(prefix + key, std::move(value));
  };
  add("block_count", number(c.num_hidden_layers));
  add("context_length", number(c.max_position_embeddings));
  add("embedding_length", number(c.hidden_size));
  add("feed_forward_length", number(c.intermediate_size));
  add("attention.head_count", number(c.num_attention_heads));
  add("attention.head_count_kv", number(c.num_key_value_heads));
  const RopeConfig& rope = c.ropes.front();
  if (rope.type == RopeType::kLinear) {
    add("rope.scaling.type", std::string("linear"));
    add("rope.scaling.factor", static_cast<float>(rope.factor));
  }
  add("rope.freq_base", static_cast<float>(rope.theta));
  add("attention.layer_norm_rms_epsilon", static_cast<float>(c.norm_eps));
  add("attention.key_length", number(c.head_dim));
  add("attention.value_length", number(c.head_dim));
  if (common_window(c) > 0) add("attention.sliding_window", number(common_window(c)));
  add("vocab_size", number(c.vocab_size));
  add("rope.dimension_count", number(c.head_dim));
  return keys;
}

std::vector<float> gguf_rope_divisors(const ModelConfig& config) {
  const RopeConfig& rope = config.ropes.front();
  if (rope.type != RopeType::kLlama3) return {};
  const auto original = static_cast<double>(rope.original_max_position_embeddings);
  std::vector<float> divisors;
  for (int64_t i = 0; i < config.head_dim; i += 2) {
    const double exponent = static_cast<double>(i) / static_cast<double>(config.head_dim);
    const double wavelength = 2 * std::numbers::pi * std::pow(rope.theta, exponent);
    const double smooth = (original / wavelength - rope.low_freq_factor) /
                          (rope.high_freq_factor - rope.low_freq_factor);
    double divisor = 1 / ((1 - smooth) / rope.factor + smooth);
    if (wavelength < original / rope.high_freq_factor) divisor = 1;
    if (wavelength > original / rope.low_freq_factor) divisor = rope.factor;
    divisors.push_back(static_cast<float>(divisor));
  }
  return divisors;
}

std::string gguf_size_label(int64_t parameters) {
  struct Unit {
    double size;
    char letter;
  };
  static constexpr Unit kUnits[] = {{1e12, 'T'}, {1e9, 'B'}, {1e6, 'M'}, {1e3, 'K'}};
  const auto count = static_cast<double>(parameters);
  Unit unit = kUnits[3];
  for (const Unit& candidate : kUnits) {
    if (count > candidate.size) {
      unit = candidate;
      break;
    }
  }
  const double scaled = count / unit.size;
  char text[32];
  const int digits = std::round(scaled) >= 10 ? 0 : std::round(scaled) >= 1 ? 1 : 2;
  std::snprintf(text, sizeof text, "%.*f%c", digits, scaled, unit.letter);
  return text;
}

}  // namespace gradus
