// SPDX-License-Identifier: Apache-2.0
// A model is data: the numbers of a Hugging Face config.json, under their names there. Families
// differ by these numbers and enums only; nothing is inferred from which tensors exist.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json.h"

namespace gradus {

enum class RopeType { kDefault, kLinear, kLlama3 };

struct RopeConfig {
  RopeType type = RopeType::kDefault;
  double theta = 10000.0;
  double factor = 1.0;
  double low_freq_factor = 1.0;                  // kLlama3
  double high_freq_factor = 4.0;                 // kLlama3
  int64_t original_max_position_embeddings = 0;  // kLlama3
};

struct ModelConfig {
  std::string model_type;           // "llama", "mistral", "qwen2", "qwen3"
  int64_t hidden_size = 0;          // D
  int64_t intermediate_size = 0;    // F
  int64_t num_hidden_layers = 0;    // L
  int64_t num_attention_heads = 0;  // H
  int64_t num_key_value_heads = 0;  // Hkv
  int64_t head_dim = 0;             // Dh
  int64_t vocab_size = 0;           // V
  int64_t max_position_embeddings = 0;
  double rms_norm_eps = 1e-6;
  RopeConfig rope;
  bool tie_word_embeddings = false;
  bool qkv_bias = false;  // of q, k and v
  bool o_bias = false;    // of the attention output
  bool mlp_bias = false;
  bool qk_norm = false;               // RMS norm of each q and k head (qwen3)
  std::vector<int64_t> layer_window;  // per layer: sliding window, 0 for full attention
  std::vector<int64_t> eos_token_ids;
  std::optional<int64_t> bos_token_id;

  Json source;  // the config.json it was read from; written back with the changed numbers
};

// The families that can be loaded, for messages and the generated table.
const std::vector<std::string>& supported_model_types();

// Throws gradus::Error naming the key for anything missing, contradictory or not supported.
ModelConfig model_config_from_json(const Json& document, const std::string& where);
ModelConfig read_model_config(const fs::path& model_folder);
// The config.json that Hugging Face readers load, `dtype` ("bfloat16") included.
Json model_config_to_json(const ModelConfig& config, const std::string& dtype);

// Trainable numbers in total, and those that take part in each token's matrix products (the input
// embedding is a look-up; the output projection counts even when tied).
int64_t parameter_count(const ModelConfig& config);
int64_t matmul_parameter_count(const ModelConfig& config);

}  // namespace gradus
