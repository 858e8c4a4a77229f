// SPDX-License-Identifier: Apache-2.0
#include "model/gguf/architecture.h"

#include <algorithm>

#include "base/error.h"
#include "model/gguf/complete.h"
#include "model/gguf/key_rows.h"

namespace gradus {
namespace {

using namespace gguf_rows;

constexpr GgufRename kNoHeadDim[] = {{"head_dim", nullptr}};
constexpr GgufRename kOlmoNames[] = {{"layer_norm_eps", nullptr}};
constexpr GgufRename kGpt2Names[] = {{"num_hidden_layers", "n_layer"},
                                     {"max_position_embeddings", "n_positions"},
                                     {"hidden_size", "n_embd"},
                                     {"intermediate_size", "n_inner"},
                                     {"num_attention_heads", "n_head"},
                                     {"num_key_value_heads", nullptr},
                                     {"rope_theta", nullptr},
                                     {"layer_norm_eps", "layer_norm_epsilon"},
                                     {"head_dim", nullptr}};
constexpr GgufRename kNeoxNames[] = {
    {"num_key_value_heads", nullptr}, {"rope_theta", "rotary_emb_base"}, {"head_dim", nullptr}};
constexpr GgufRename kFalconNames[] = {{"intermediate_size", "ffn_hidden_size"},
                                       {"num_key_value_heads", nullptr},
                                       {"layer_norm_eps", "layer_norm_epsilon"},
                                       {"head_dim", nullptr}};
constexpr GgufRename kMptNames[] = {{"num_hidden_layers", "n_layers"},
                                    {"max_position_embeddings", "max_seq_len"},
                                    {"hidden_size", "d_model"},
                                    {"intermediate_size", nullptr},
                                    {"num_attention_heads", "n_heads"},
                                    {"num_key_value_heads", nullptr},
                                    {"rope_theta", nullptr},
                                    {"layer_norm_eps", "layer_norm_epsilon"},
                                    {"head_dim", nullptr}};
constexpr GgufRename kStarcoderNames[] = {{"layer_norm_eps", "norm_epsilon"},
                                          {"head_dim", nullptr}};
constexpr GgufRename kChatglmNames[] = {{"num_hidden_layers", "num_layers"},
                                        {"max_position_embeddings", "seq_length"},
                                        {"intermediate_size", "ffn_hidden_size"},
                                        {"num_key_value_heads", "multi_query_group_num"},
                                        {"rms_norm_eps", "layernorm_epsilon"},
                                        {"rope_theta", nullptr},
                                        {"head_dim", "kv_channels"}};
constexpr GgufRename kQwenNames[] = {{"max_position_embeddings", "seq_length"},
                                     {"num_key_value_heads", nullptr},
                                     {"rms_norm_eps", "layer_norm_epsilon"},
                                     {"rope_theta", "rotary_emb_base"},
                                     {"head_dim", "kv_channels"}};

constexpr const char* kSilu = R"({"hidden_act": "silu"})";
constexpr const char* kSiluNoPad = R"({"hidden_act": "silu", "pad_token_id": null})";
constexpr const char* kQwen = R"({"hidden_act": "silu", "use_sliding_window": false})";
constexpr const char* kSmolLm3 =
    R"({"hidden_act": "silu", "no_rope_layer_interval": 4, "pad_token_id": null,
        "use_sliding_window": false})";
constexpr const char* kSiluNoBias = R"({"hidden_act": "silu", "attention_bias": false})";
constexpr const char* kSeedOss =
    R"({"hidden_act": "silu", "attention_out_bias": false, "mlp_bias": false})";
constexpr const char* kErnie = R"({"hidden_act": "silu", "use_bias": false})";
constexpr const char* kOlmoe =
    R"({"hidden_act": "silu", "attention_bias": false, "norm_topk_prob": false})";
// llama.cpp normalises the experts' weights in one of the two, and does not in the other.
constexpr const char* kQwen2Moe =
    R"({"hidden_act": "silu", "use_sliding_window": false, "norm_topk_prob": false,
        "decoder_sparse_step": 1, "mlp_only_layers": [], "qkv_bias": true})";
constexpr const char* kQwen3Moe =
    R"({"hidden_act": "silu", "use_sliding_window": false, "norm_topk_prob": true,
        "decoder_sparse_step": 1, "mlp_only_layers": []})";
constexpr const char* kGemma =
    R"({"hidden_act": "gelu_pytorch_tanh", "hidden_activation": "gelu_pytorch_tanh",
        "attention_bias": false})";
constexpr const char* kChatglm =
    R"({"add_bias_linear": false, "apply_residual_connection_post_layernorm": false,
        "multi_query_attention": true, "original_rope": true, "post_layer_norm": true,
        "rmsnorm": true})";
constexpr const char* kInternlm2 = R"({"hidden_act": "silu", "bias": false})";
constexpr const char* kFirstQwen = R"({"no_bias": true, "scale_attn_weights": true})";
constexpr const char* kGpt2 =
    R"({"activation_function": "gelu_new", "scale_attn_weights": true,
        "scale_attn_by_inverse_layer_idx": false})";
constexpr const char* kNeox = R"({"hidden_act": "gelu", "attention_bias": true})";
constexpr const char* kFalcon =
    R"({"activation": "gelu", "alibi": false, "bias": false, "parallel_attn": true})";
constexpr const char* kMpt = R"({"no_bias": true, "norm_type": "low_precision_layernorm"})";
constexpr const char* kPhi = R"({"hidden_act": "gelu_new", "qk_layernorm": false})";
constexpr const char* kRwkv7 =
    R"({"hidden_act": "sqrelu", "norm_first": true, "norm_bias": true, "attn": null,
        "attn_mode": "chunk", "fuse_norm": false})";
constexpr const char* kStarcoder2 = R"({"hidden_act": "gelu_pytorch_tanh", "use_bias": true})";

bool has_experts(const GgufSource& source) {
  return source.keys().has("expert_count") && source.keys().number("expert_count") > 0;
}
bool has_window(const GgufSource& source) { return source.keys().has("attention.sliding_window"); }
bool has_split_qkv(const GgufSource& source) { return source.has_tensor("blk.0.attn_q.weight"); }

constexpr auto kPermuted = QkRows::kInterleaved;
constexpr auto kAsIs = QkRows::kAsIs;
constexpr auto kSplit = GgufQkv::kSplit;
constexpr auto kFused = GgufQkv::kFused;

// Of rows with one name the first that applies. llama.cpp has no name of its own for mistral and
// mixtral.
constexpr GgufArchitecture kArchitectures[] = {
    {"llama",
     "mixtral",
     "MixtralForCausalLM",
     kSilu,
     kPermuted,
     kSplit,
     {},
     kMixtralKeys,
     has_experts},
    {"llama",
     "mistral",
     "MistralForCausalLM",
     kSilu,
     kPermuted,
     kSplit,
     {},
     kWindowKeys,
     has_window},
    {"llama",
     "llama",
     "LlamaForCausalLM",
     kSilu,
     kPermuted,
     kSplit,
     {},
     {},
     nullptr,
     complete_biases},
    {"mistral", "mistral", "MistralForCausalLM", kSilu, kPermuted, kSplit, {}, kWindowKeys},
    {.name = "qwen2",
     .model_type = "qwen2",
     .model_class = "Qwen2ForCausalLM",
     .constants = kQwen,
     .heads = GgufHeads::kShareWidth},
    {"qwen3",
     "qwen3",
     "Qwen3ForCausalLM",
     kQwen,
     kAsIs,
     kSplit,
     {},
     {},
     nullptr,
     complete_attention_bias},
    {.name = "qwen2moe",
     .model_type = "qwen2_moe",
     .model_class = "Qwen2MoeForCausalLM",
     .constants = kQwen2Moe,
     .keys = kQwenMoeKeys,
     .output = GgufOutput::kOwn,
     .heads = GgufHeads::kShareWidth},
    {"qwen3moe",
     "qwen3_moe",
     "Qwen3MoeForCausalLM",
     kQwen3Moe,
     kAsIs,
     kSplit,
     {},
     std::span(kQwenMoeKeys).first<3>(),
     nullptr,
     complete_attention_bias},
    {"granite",
     "granite",
     "GraniteForCausalLM",
     kSilu,
     kPermuted,
     kSplit,
     {},
     kGraniteKeys,
     nullptr,
     complete_biases},
    {"smollm3",
     "smollm3",
     "SmolLM3ForCausalLM",
     kSmolLm3,
     kPermuted,
     kSplit,
     {},
     {},
     nullptr,
     complete_biases},
    {.name = "olmo2",
     .model_type = "olmo2",
     .model_class = "Olmo2ForCausalLM",
     .constants = kSiluNoBias,
     .output = GgufOutput::kOwn,
     .heads = GgufHeads::kShareWidth},
    {.name = "internlm2",
     .model_type = "internlm2",
     .model_class = "InternLM2ForCausalLM",
     .constants = kInternlm2,
     .qk_rows = kPermuted,
     .renames = kNoHeadDim,
     .output = GgufOutput::kOwn},
    {.name = "baichuan",
     .model_type = "baichuan",
     .model_class = "BaichuanForCausalLM",
     .constants = kSilu,
     .qk_rows = kPermuted,
     .renames = kNoHeadDim,
     .complete = complete_baichuan,
     .output = GgufOutput::kOwn},
    {.name = "gemma",
     .model_type = "gemma",
     .model_class = "GemmaForCausalLM",
     .constants = kGemma,
     .output = GgufOutput::kTied},
    {.name = "gemma2",
     .model_type = "gemma2",
     .model_class = "Gemma2ForCausalLM",
     .constants = kGemma,
     .keys = kGemma2Keys,
     .complete = complete_gemma2,
     .windows = true,
     .output = GgufOutput::kTied},
    {"gemma3",
     "gemma3_text",
     "Gemma3ForCausalLM",
     kGemma,
     kAsIs,
     kSplit,
     {},
     kGemma3Keys,
     nullptr,
     complete_gemma3,
     true},
    {"phi3", "phi3", "Phi3ForCausalLM", kSiluNoPad, kAsIs, kFused, kNoHeadDim, kWindowKeys, nullptr,
     complete_phi3},
    {.name = "phi2",
     .model_type = "phi",
     .model_class = "PhiForCausalLM",
     .constants = kPhi,
     .renames = kNoHeadDim,
     .complete = complete_partial_rotary,
     .output = GgufOutput::kOwn},
    {.name = "chatglm",
     .model_type = "glm",
     .model_class = "GlmForCausalLM",
     .constants = kSiluNoPad,
     .applies = has_split_qkv,
     .complete = complete_glm,
     .heads = GgufHeads::kShareWidth},
    {.name = "chatglm",
     .model_type = "chatglm",
     .model_class = "ChatGLMForConditionalGeneration",
     .constants = kChatglm,
     .qkv = kFused,
     .renames = kChatglmNames,
     .complete = complete_chatglm,
     .heads = GgufHeads::kShareWidth},
    {"glm4", "glm4", "Glm4ForCausalLM", kSiluNoPad, kAsIs, kSplit, {}, {}, nullptr, complete_glm},
    {.name = "qwen",
     .model_type = "qwen",
     .model_class = "QWenLMHeadModel",
     .constants = kFirstQwen,
     .qkv = kFused,
     .renames = kQwenNames,
     .complete = complete_partial_rotary,
     .output = GgufOutput::kOwn,
     .heads = GgufHeads::kShareWidth},
    {"gpt2", "gpt2", "GPT2LMHeadModel", kGpt2, kAsIs, kFused, kGpt2Names},
    {.name = "gptneox",
     .model_type = "gpt_neox",
     .model_class = "GPTNeoXForCausalLM",
     .constants = kNeox,
     .qkv = kFused,
     .renames = kNeoxNames,
     .keys = kParallelKeys,
     .complete = complete_partial_rotary,
     .output = GgufOutput::kOwn},
    {"falcon",
     "falcon",
     "FalconForCausalLM",
     kFalcon,
     kAsIs,
     kFused,
     kFalconNames,
     {},
     nullptr,
     complete_falcon},
    {"mpt", "mpt", "MptForCausalLM", kMpt, kAsIs, kFused, kMptNames, kMptKeys, nullptr,
     complete_mpt},
    {.name = "stablelm",
     .model_type = "stablelm",
     .model_class = "StableLmForCausalLM",
     .constants = kSilu,
     .renames = kNoHeadDim,
     .keys = kParallelKeys,
     .complete = complete_stablelm,
     .output = GgufOutput::kOwn},
    {"starcoder2", "starcoder2", "Starcoder2ForCausalLM", kStarcoder2, kAsIs, kSplit,
     kStarcoderNames, kWindowKeys},
    {.name = "rwkv7",
     .model_type = "rwkv7",
     .model_class = "RWKV7ForCausalLM",
     .constants = kRwkv7,
     .keys = kRwkv7Keys,
     .complete = complete_rwkv7,
     .layers = GgufLayers::kRwkv7,
     .output = GgufOutput::kOwn},
    {.name = "command-r",
     .model_type = "cohere",
     .model_class = "CohereForCausalLM",
     .constants = kSiluNoBias,
     .keys = std::span(kCohere2Keys).first<1>(),
     .complete = complete_cohere,
     .output = GgufOutput::kTied},
    {.name = "cohere2",
     .model_type = "cohere2",
     .model_class = "Cohere2ForCausalLM",
     .constants = kSiluNoBias,
     .keys = kCohere2Keys,
     .complete = complete_cohere2,
     .windows = true,
     .output = GgufOutput::kTied},
    {.name = "olmo",
     .model_type = "olmo",
     .model_class = "OlmoForCausalLM",
     .constants = kSiluNoBias,
     .qk_rows = kPermuted,
     .renames = kOlmoNames,
     .keys = kOlmoKeys,
     .heads = GgufHeads::kShareWidth},
    {.name = "olmoe",
     .model_type = "olmoe",
     .model_class = "OlmoeForCausalLM",
     .constants = kOlmoe,
     .keys = std::span(kQwenMoeKeys).first<2>(),
     .complete = complete_olmoe,
     .output = GgufOutput::kOwn},
    {.name = "granitemoe",
     .model_type = "granitemoe",
     .model_class = "GraniteMoeForCausalLM",
     .constants = kSiluNoBias,
     .qk_rows = kPermuted,
     .keys = kGraniteMoeKeys},
    {.name = "seed_oss",
     .model_type = "seed_oss",
     .model_class = "SeedOssForCausalLM",
     .constants = kSeedOss,
     .complete = complete_attention_bias},
    {.name = "ernie4_5",
     .model_type = "ernie4_5",
     .model_class = "Ernie4_5ForCausalLM",
     .constants = kErnie},
    {.name = "exaone4",
     .model_type = "exaone4",
     .model_class = "Exaone4ForCausalLM",
     .constants = kSilu,
     .keys = kWindowKeys,
     .complete = complete_exaone4,
     .windows = true,
     .heads = GgufHeads::kShareWidth},
};

template <class Name>
std::string names_of(Name name) {
  std::string list;
  std::string_view last;
  for (const GgufArchitecture& row : kArchitectures) {
    if (last != name(row)) list += (list.empty() ? "" : ", ") + std::string(name(row));
    last = name(row);
  }
  return list;
}

}  // namespace

const GgufTensor* GgufSource::find(std::string_view name) const {
  const auto found = std::find_if(image_.tensors.begin(), image_.tensors.end(),
                                  [&](const GgufTensor& tensor) { return tensor.name == name; });
  return found == image_.tensors.end() ? nullptr : &*found;
}

std::span<const GgufArchitecture> gguf_architectures() { return kArchitectures; }

const GgufArchitecture& gguf_architecture_of(const GgufSource& source) {
  for (const GgufArchitecture& row : kArchitectures) {
    if (source.keys().architecture() == row.name && (!row.applies || row.applies(source)))
      return row;
  }
  throw Error({.what = "the architecture cannot be imported",
               .where = source.keys().where(),
               .expected = names_of([](const GgufArchitecture& row) { return row.name; }),
               .found = "'" + printable(source.keys().architecture()) + "'"});
}

const GgufArchitecture& gguf_architecture_of(const ModelConfig& config, const std::string& where) {
  for (const GgufArchitecture& row : kArchitectures) {
    if (config.model_type == row.model_type) return row;
  }
  throw Error({.what = "models of this family cannot be written as GGUF",
               .where = where,
               .expected = names_of([](const GgufArchitecture& row) { return row.model_type; }),
               .found = printable(config.model_type)});
}

std::span<const GgufKeyRow> gguf_usual_keys(GgufLayers layers) {
  if (layers == GgufLayers::kRwkv7) return kRecurrentKeys;
  return kUsualKeys;
}

const char* gguf_field_name(const GgufArchitecture& architecture, const GgufKeyRow& row) {
  if (!row.hf) return nullptr;
  for (const GgufRename& rename : architecture.renames) {
    if (std::string_view(rename.hf) == row.hf) return rename.name;
  }
  return row.hf;
}

}  // namespace gradus
