// SPDX-License-Identifier: Apache-2.0
#include "model/gguf/architecture.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/gguf/complete.h"

namespace gradus {
namespace {

using Row = GgufKeyRow;
using Config = ModelConfig;

double number(int64_t value) { return static_cast<double>(value); }

// The one window of all layers that have one; 0 for none.
double window_of(const Config& config) {
  const auto found = std::max_element(config.layer_window.begin(), config.layer_window.end());
  return found == config.layer_window.end() ? 0 : number(*found);
}

bool has_layer_norms(const Config& config) {
  return config.norm == NormKind::kLayer || config.norm == NormKind::kPlainLayer;
}

bool rotates(const Config& config) { return config.positions == Positions::kRope; }

constexpr Row kUsualKeys[] = {
    {"block_count", "num_hidden_layers", Row::kSize,
     [](const Config& c) { return number(c.num_hidden_layers); }},
    {"context_length", "max_position_embeddings", Row::kSize,
     [](const Config& c) { return number(c.max_position_embeddings); }},
    {"embedding_length", "hidden_size", Row::kSize,
     [](const Config& c) { return number(c.hidden_size); }},
    {"feed_forward_length", "intermediate_size", Row::kSize,
     [](const Config& c) {
       return number(c.model_type == "qwen" ? 2 * c.intermediate_size : c.intermediate_size);
     }},
    {"attention.head_count", "num_attention_heads", Row::kSize,
     [](const Config& c) { return number(c.num_attention_heads); }},
    {"attention.head_count_kv", "num_key_value_heads", Row::kSize,
     [](const Config& c) { return number(c.num_key_value_heads); }},
    {"rope.freq_base", "rope_theta", Row::kOptionalNumber,
     [](const Config& c) { return rotates(c) ? c.ropes.front().theta : 0.0; }},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", Row::kOptionalNumber,
     [](const Config& c) { return has_layer_norms(c) ? 0.0 : c.norm_eps; }},
    {"attention.layer_norm_epsilon", "layer_norm_eps", Row::kOptionalNumber,
     [](const Config& c) { return has_layer_norms(c) ? c.norm_eps : 0.0; }},
    {"attention.key_length", "head_dim", Row::kSize,
     [](const Config& c) { return number(c.head_dim); }},
    {"attention.value_length", nullptr, Row::kSize,
     [](const Config& c) { return number(c.head_dim); }},
    {"rope.dimension_count", nullptr, Row::kOptionalSize,
     [](const Config& c) { return rotates(c) ? number(c.ropes.front().dim) : 0.0; }},
    {"vocab_size", nullptr, Row::kSize, [](const Config& c) { return number(c.vocab_size); }},
};

// llama.cpp wants a number of heads, 0, of models that have none.
constexpr Row kRecurrentKeys[] = {
    kUsualKeys[0],
    kUsualKeys[1],
    kUsualKeys[2],
    kUsualKeys[3],
    {"attention.head_count", nullptr, Row::kSize, [](const Config&) { return 0.0; }},
    {"attention.layer_norm_epsilon", "norm_eps", Row::kNumber,
     [](const Config& c) { return c.norm_eps; }},
    {"vocab_size", nullptr, Row::kSize, [](const Config& c) { return number(c.vocab_size); }},
};

constexpr Row kWindowKeys[] = {
    {"attention.sliding_window", "sliding_window", Row::kOptionalSize, window_of},
};
constexpr Row kMixtralKeys[] = {
    {"expert_count", "num_local_experts", Row::kSize,
     [](const Config& c) { return number(c.moe.experts); }},
    {"expert_used_count", "num_experts_per_tok", Row::kSize,
     [](const Config& c) { return number(c.moe.experts_per_token); }},
    {"attention.sliding_window", "sliding_window", Row::kOptionalSize, window_of},
};
constexpr Row kQwenMoeKeys[] = {
    {"expert_count", "num_experts", Row::kSize,
     [](const Config& c) { return number(c.moe.experts); }},
    {"expert_used_count", "num_experts_per_tok", Row::kSize,
     [](const Config& c) { return number(c.moe.experts_per_token); }},
    {"expert_feed_forward_length", "moe_intermediate_size", Row::kSize,
     [](const Config& c) { return number(c.moe.intermediate_size); }},
    {"expert_shared_feed_forward_length", "shared_expert_intermediate_size", Row::kOptionalSize,
     [](const Config& c) { return number(c.moe.shared_intermediate_size); }},
};
constexpr Row kGemma2Keys[] = {
    {"attention.sliding_window", "sliding_window", Row::kOptionalSize, window_of},
    {"attn_logit_softcapping", "attn_logit_softcapping", Row::kNumber,
     [](const Config& c) { return c.attention_softcap; }},
    {"final_logit_softcapping", "final_logit_softcapping", Row::kNumber,
     [](const Config& c) { return c.logits_softcap; }},
};
constexpr Row kGemma3Keys[] = {
    {"attention.sliding_window", "sliding_window", Row::kOptionalSize, window_of},
    {"final_logit_softcapping", "final_logit_softcapping", Row::kOptionalNumber,
     [](const Config& c) { return c.logits_softcap; }},
};
constexpr Row kGraniteKeys[] = {
    {"attention.scale", "attention_multiplier", Row::kNumber,
     [](const Config& c) { return c.attention_scale; }},
    {"embedding_scale", "embedding_multiplier", Row::kNumber,
     [](const Config& c) { return c.embedding_scale; }},
    {"residual_scale", "residual_multiplier", Row::kNumber,
     [](const Config& c) { return c.residual_scale; }},
    {"logit_scale", "logits_scaling", Row::kNumber,
     [](const Config& c) { return 1 / c.logits_scale; }},
};
constexpr Row kCohere2Keys[] = {
    {"logit_scale", "logit_scale", Row::kNumber, [](const Config& c) { return c.logits_scale; }},
    {"attention.sliding_window", "sliding_window", Row::kSize, window_of},
};
constexpr Row kOlmoKeys[] = {
    {"attention.clamp_kqv", "clip_qkv", Row::kOptionalNumber,
     [](const Config& c) { return c.clip_qkv; }},
};
constexpr Row kParallelKeys[] = {
    {"use_parallel_residual", "use_parallel_residual", Row::kFlag,
     [](const Config& c) { return c.residual == Residual::kParallel ? 1.0 : 0.0; }},
};
constexpr Row kMptKeys[] = {
    {"attention.clamp_kqv", nullptr, Row::kOptionalNumber,
     [](const Config& c) { return c.clip_qkv; }},
    {"attention.max_alibi_bias", nullptr, Row::kNumber,
     [](const Config& c) { return c.alibi.bias_max; }},
};
constexpr Row kRwkv7Keys[] = {
    {"wkv.head_size", "head_dim", Row::kSize, [](const Config& c) { return number(c.head_dim); }},
    {"attention.decay_lora_rank", "decay_low_rank_dim", Row::kSize,
     [](const Config& c) { return number(c.recurrent.decay_rank); }},
    {"attention.iclr_lora_rank", "a_low_rank_dim", Row::kSize,
     [](const Config& c) { return number(c.recurrent.rate_rank); }},
    {"attention.value_residual_mix_lora_rank", "v_low_rank_dim", Row::kSize,
     [](const Config& c) { return number(c.recurrent.value_rank); }},
    {"attention.gate_lora_rank", "gate_low_rank_dim", Row::kSize,
     [](const Config& c) { return number(c.recurrent.gate_rank); }},
};

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
constexpr const char* kOlmo2 = R"({"hidden_act": "silu", "attention_bias": false})";
constexpr const char* kCohere = R"({"hidden_act": "silu", "attention_bias": false})";
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
    {"qwen2", "qwen2", "Qwen2ForCausalLM", kQwen},
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
    {"qwen2moe", "qwen2_moe", "Qwen2MoeForCausalLM", kQwen2Moe, kAsIs, kSplit, {}, kQwenMoeKeys},
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
    {"olmo2", "olmo2", "Olmo2ForCausalLM", kOlmo2},
    {"internlm2", "internlm2", "InternLM2ForCausalLM", kInternlm2, kPermuted, kSplit, kNoHeadDim},
    {"baichuan",
     "baichuan",
     "BaichuanForCausalLM",
     kSilu,
     kPermuted,
     kSplit,
     kNoHeadDim,
     {},
     nullptr,
     complete_baichuan},
    {"gemma", "gemma", "GemmaForCausalLM", kGemma},
    {"gemma2",
     "gemma2",
     "Gemma2ForCausalLM",
     kGemma,
     kAsIs,
     kSplit,
     {},
     kGemma2Keys,
     nullptr,
     complete_gemma2,
     true},
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
    {"phi2",
     "phi",
     "PhiForCausalLM",
     kPhi,
     kAsIs,
     kSplit,
     kNoHeadDim,
     {},
     nullptr,
     complete_partial_rotary},
    {"chatglm",
     "glm",
     "GlmForCausalLM",
     kSiluNoPad,
     kAsIs,
     kSplit,
     {},
     {},
     has_split_qkv,
     complete_glm},
    {"chatglm",
     "chatglm",
     "ChatGLMForConditionalGeneration",
     kChatglm,
     kAsIs,
     kFused,
     kChatglmNames,
     {},
     nullptr,
     complete_chatglm},
    {"glm4", "glm4", "Glm4ForCausalLM", kSiluNoPad, kAsIs, kSplit, {}, {}, nullptr, complete_glm},
    {"qwen",
     "qwen",
     "QWenLMHeadModel",
     kFirstQwen,
     kAsIs,
     kFused,
     kQwenNames,
     {},
     nullptr,
     complete_partial_rotary},
    {"gpt2", "gpt2", "GPT2LMHeadModel", kGpt2, kAsIs, kFused, kGpt2Names},
    {"gptneox", "gpt_neox", "GPTNeoXForCausalLM", kNeox, kAsIs, kFused, kNeoxNames, kParallelKeys,
     nullptr, complete_partial_rotary},
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
    {"stablelm", "stablelm", "StableLmForCausalLM", kSilu, kAsIs, kSplit, kNoHeadDim, kParallelKeys,
     nullptr, complete_stablelm},
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
     .constants = kCohere,
     .keys = std::span(kCohere2Keys).first<1>(),
     .complete = complete_cohere,
     .output = GgufOutput::kTied},
    {.name = "cohere2",
     .model_type = "cohere2",
     .model_class = "Cohere2ForCausalLM",
     .constants = kCohere,
     .keys = kCohere2Keys,
     .complete = complete_cohere2,
     .windows = true,
     .output = GgufOutput::kTied},
    {.name = "olmo",
     .model_type = "olmo",
     .model_class = "OlmoForCausalLM",
     .constants = kCohere,
     .qk_rows = kPermuted,
     .renames = kOlmoNames,
     .keys = kOlmoKeys},
    {.name = "olmoe",
     .model_type = "olmoe",
     .model_class = "OlmoeForCausalLM",
     .constants = kOlmoe,
     .keys = std::span(kQwenMoeKeys).first<2>(),
     .complete = complete_olmoe},
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
     .windows = true},
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
