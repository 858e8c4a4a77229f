// SPDX-License-Identifier: Apache-2.0
// The table of families: what each model_type means in numbers, enums and names.
#pragma once

#include <span>

#include "model/families/reader.h"

namespace gradus {

struct Family {
  const char* model_type;
  const char* models;  // examples that people know
  // Fills everything but model_type, source and the token ids.
  void (*read)(const ConfigReader& reader, ModelConfig& config);
  const char* reference;  // what the tests compare with
};

std::span<const Family> families();
// What transformers' configuration class assumes of keys that a file leaves out, where that is not
// what the family's function assumes.
Json class_defaults(const std::string& model_type);

// What llama's relatives share; heads may be wider than D / H.
void read_like_llama(const ConfigReader& reader, ModelConfig& config,
                     const RopeDefaults& rope = {});
// attention_bias: of queries, keys, values and the output.
void read_attention_bias(const ConfigReader& reader, ModelConfig& config);

// One function per model_type or group; in the files named after the group.
void read_llama(const ConfigReader& reader, ModelConfig& config);
void read_mistral(const ConfigReader& reader, ModelConfig& config);
void read_qwen2(const ConfigReader& reader, ModelConfig& config);
void read_qwen3(const ConfigReader& reader, ModelConfig& config);
void read_mixtral(const ConfigReader& reader, ModelConfig& config);
void read_qwen2_moe(const ConfigReader& reader, ModelConfig& config);
void read_qwen3_moe(const ConfigReader& reader, ModelConfig& config);
void read_deepseek_v2(const ConfigReader& reader, ModelConfig& config);
void read_deepseek_v3(const ConfigReader& reader, ModelConfig& config);
void read_glm4_moe(const ConfigReader& reader, ModelConfig& config);
void read_granite(const ConfigReader& reader, ModelConfig& config);
void read_granitemoe(const ConfigReader& reader, ModelConfig& config);
void read_smollm3(const ConfigReader& reader, ModelConfig& config);
void read_olmo(const ConfigReader& reader, ModelConfig& config);
void read_olmo2(const ConfigReader& reader, ModelConfig& config);
void read_olmoe(const ConfigReader& reader, ModelConfig& config);
void read_exaone4(const ConfigReader& reader, ModelConfig& config);
void read_cohere(const ConfigReader& reader, ModelConfig& config);
void read_cohere2(const ConfigReader& reader, ModelConfig& config);
void read_seed_oss(const ConfigReader& reader, ModelConfig& config);
void read_ernie4_5(const ConfigReader& reader, ModelConfig& config);
void read_phi3(const ConfigReader& reader, ModelConfig& config);
void read_gemma(const ConfigReader& reader, ModelConfig& config);
void read_gemma2(const ConfigReader& reader, ModelConfig& config);
void read_gemma3_text(const ConfigReader& reader, ModelConfig& config);
void read_glm(const ConfigReader& reader, ModelConfig& config);
void read_glm4(const ConfigReader& reader, ModelConfig& config);
void read_chatglm(const ConfigReader& reader, ModelConfig& config);
void read_internlm2(const ConfigReader& reader, ModelConfig& config);
void read_baichuan(const ConfigReader& reader, ModelConfig& config);
void read_qwen(const ConfigReader& reader, ModelConfig& config);
void read_gpt2(const ConfigReader& reader, ModelConfig& config);
void read_gpt_neox(const ConfigReader& reader, ModelConfig& config);
void read_falcon(const ConfigReader& reader, ModelConfig& config);
void read_mpt(const ConfigReader& reader, ModelConfig& config);
void read_phi(const ConfigReader& reader, ModelConfig& config);
void read_stablelm(const ConfigReader& reader, ModelConfig& config);
void read_starcoder2(const ConfigReader& reader, ModelConfig& config);
void read_rwkv(const ConfigReader& reader, ModelConfig& config);
void read_rwkv7(const ConfigReader& reader, ModelConfig& config);

}  // namespace gradus
