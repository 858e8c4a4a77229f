// SPDX-License-Identifier: Apache-2.0
#include <array>

#include "model/families/family.h"

namespace gradus {

std::span<const Family> families() {
  static constexpr const char* kTransformers = "transformers";
  static constexpr const char* kEquations = "the published equations in PyTorch";
  static const std::array kFamilies{
      Family{"baichuan", "Baichuan 1 and 2, 7B and 13B", read_baichuan, kEquations},
      Family{"chatglm", "ChatGLM2, ChatGLM3, GLM-4 9B", read_chatglm, kEquations},
      Family{"cohere", "Command R and R+, Aya 23 and Expanse", read_cohere, kTransformers},
      Family{"cohere2", "Command R7B, Command A", read_cohere2, kTransformers},
      Family{"deepseek_v2", "DeepSeek-V2 and V2-Lite, DeepSeek-Coder-V2", read_deepseek_v2,
             kTransformers},
      Family{"deepseek_v3", "DeepSeek-V3 and R1, Moonlight (not in fp8)", read_deepseek_v3,
             kTransformers},
      Family{"ernie4_5", "ERNIE 4.5 0.3B", read_ernie4_5, kTransformers},
      Family{"exaone4", "EXAONE 4.0", read_exaone4, kTransformers},
      Family{"falcon", "Falcon 1B, 7B, 11B, 40B, 180B", read_falcon, kTransformers},
      Family{"gemma", "Gemma, CodeGemma", read_gemma, kTransformers},
      Family{"gemma2", "Gemma 2", read_gemma2, kTransformers},
      Family{"gemma3_text", "Gemma 3 text models", read_gemma3_text, kTransformers},
      Family{"glm", "GLM-4 9B (transformers' classes), GLM-Edge", read_glm, kTransformers},
      Family{"glm4", "GLM-4-0414", read_glm4, kTransformers},
      Family{"glm4_moe", "GLM-4.5 and 4.6 mixtures of experts", read_glm4_moe, kTransformers},
      Family{"gpt2", "GPT-2", read_gpt2, kTransformers},
      Family{"gpt_neox", "GPT-NeoX, Pythia, RedPajama, Dolly", read_gpt_neox, kTransformers},
      Family{"granite", "Granite 3", read_granite, kTransformers},
      Family{"granitemoe", "Granite 3 mixtures of experts, PowerMoE", read_granitemoe,
             kTransformers},
      Family{"internlm2", "InternLM2, InternLM2.5", read_internlm2, kEquations},
      Family{"llama", "Llama 1 to 3.3, Yi, Vicuna, SmolLM 1 and 2, DeepSeek LLM", read_llama,
             kTransformers},
      Family{"mistral", "Mistral, Zephyr", read_mistral, kTransformers},
      Family{"mixtral", "Mixtral 8x7B and 8x22B", read_mixtral, kTransformers},
      Family{"mpt", "MPT 7B and 30B", read_mpt, kTransformers},
      Family{"olmo", "OLMo 1", read_olmo, kTransformers},
      Family{"olmo2", "OLMo 2", read_olmo2, kTransformers},
      Family{"olmoe", "OLMoE", read_olmoe, kTransformers},
      Family{"phi", "Phi 1, 1.5 and 2", read_phi, kTransformers},
      Family{"phi3", "Phi 3, 3.5 and 4", read_phi3, kTransformers},
      Family{"qwen", "Qwen (1)", read_qwen, kEquations},
      Family{"qwen2", "Qwen1.5, Qwen2, Qwen2.5", read_qwen2, kTransformers},
      Family{"qwen2_moe", "Qwen1.5 and Qwen2 mixtures of experts", read_qwen2_moe, kTransformers},
      Family{"qwen3", "Qwen3", read_qwen3, kTransformers},
      Family{"qwen3_moe", "Qwen3 mixtures of experts", read_qwen3_moe, kTransformers},
      Family{"rwkv", "RWKV-4 World and Pile", read_rwkv, kTransformers},
      Family{"rwkv7", "RWKV-7 World (Goose)", read_rwkv7, kEquations},
      Family{"seed_oss", "Seed-OSS 36B", read_seed_oss, kTransformers},
      Family{"smollm3", "SmolLM3", read_smollm3, kTransformers},
      Family{"stablelm", "StableLM 3B, StableLM 2", read_stablelm, kTransformers},
      Family{"starcoder2", "StarCoder2", read_starcoder2, kTransformers},
  };
  return kFamilies;
}

}  // namespace gradus
