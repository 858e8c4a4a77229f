// SPDX-License-Identifier: Apache-2.0
#include "model/families/family.h"

namespace gradus {

Json class_defaults(const std::string& model_type) {
  static const Json kDefaults = {
      {"cohere", {{"max_position_embeddings", 8192}}},
      {"cohere2", {{"max_position_embeddings", 8192}, {"sliding_window", 4096}}},
      {"deepseek_v3", {{"max_position_embeddings", 4096}, {"routed_scaling_factor", 2.5}}},
      {"ernie4_5",
       {{"head_dim", 128}, {"max_position_embeddings", 131072}, {"num_key_value_heads", 2}}},
      {"exaone4", {{"num_key_value_heads", 32}, {"sliding_window", 4096}}},
      {"gemma", {{"max_position_embeddings", 8192}}},
      {"gemma2", {{"max_position_embeddings", 8192}, {"sliding_window", 4096}}},
      {"gemma3_text", {{"max_position_embeddings", 131072}, {"sliding_window", 4096}}},
      {"glm", {{"max_position_embeddings", 131072}, {"num_key_value_heads", 2}}},
      {"glm4", {{"max_position_embeddings", 131072}, {"num_key_value_heads", 2}}},
      {"glm4_moe",
       {{"max_position_embeddings", 131072},
        {"moe_intermediate_size", 1408},
        {"n_group", 1},
        {"n_routed_experts", 128},
        {"n_shared_experts", 1},
        {"num_experts_per_tok", 8},
        {"num_key_value_heads", 8},
        {"topk_group", 1}}},
      {"mistral",
       {{"max_position_embeddings", 131072}, {"num_key_value_heads", 8}, {"sliding_window", 4096}}},
      {"mixtral",
       {{"max_position_embeddings", 131072}, {"num_key_value_heads", 8}, {"rope_theta", 1e6}}},
      {"olmoe",
       {{"max_position_embeddings", 4096}, {"num_experts", 64}, {"num_experts_per_tok", 8}}},
      {"phi3", {{"max_position_embeddings", 4096}, {"original_max_position_embeddings", 4096}}},
      {"qwen2", {{"max_position_embeddings", 32768}, {"num_key_value_heads", 32}}},
      {"qwen2_moe", {{"max_position_embeddings", 32768}, {"num_key_value_heads", 16}}},
      {"qwen3",
       {{"head_dim", 128}, {"max_position_embeddings", 32768}, {"num_key_value_heads", 32}}},
      {"qwen3_moe", {{"max_position_embeddings", 32768}, {"num_key_value_heads", 4}}},
      {"seed_oss",
       {{"head_dim", 128}, {"max_position_embeddings", 524288}, {"num_key_value_heads", 8}}},
      {"smollm3",
       {{"max_position_embeddings", 32768},
        {"num_key_value_heads", 4},
        {"tie_word_embeddings", true}}},
      {"stablelm", {{"max_position_embeddings", 4096}}},
      {"starcoder2", {{"max_position_embeddings", 4096}, {"num_key_value_heads", 2}}},
  };
  return kDefaults.value(model_type, Json::object());
}

}  // namespace gradus
