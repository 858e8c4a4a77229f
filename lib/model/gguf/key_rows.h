// SPDX-License-Identifier: Apache-2.0
// The keys of GGUF architectures, for the table in architecture.cpp.
#pragma once

#include <algorithm>

#include "model/gguf/architecture.h"

namespace gradus::gguf_rows {

using Row = GgufKeyRow;
using Config = ModelConfig;

inline double number(int64_t value) { return static_cast<double>(value); }

// The one window of all layers that have one; 0 for none.
inline double window_of(const Config& config) {
  const auto found = std::max_element(config.layer_window.begin(), config.layer_window.end());
  return found == config.layer_window.end() ? 0 : number(*found);
}

inline bool has_layer_norms(const Config& config) {
  return config.norm == NormKind::kLayer || config.norm == NormKind::kPlainLayer;
}

inline bool rotates(const Config& config) { return config.positions == Positions::kRope; }

inline constexpr Row kUsualKeys[] = {
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
inline constexpr Row kRecurrentKeys[] = {
    kUsualKeys[0],
    kUsualKeys[1],
    kUsualKeys[2],
    kUsualKeys[3],
    {"attention.head_count", nullptr, Row::kSize, [](const Config&) { return 0.0; }},
    {"attention.layer_norm_epsilon", "norm_eps", Row::kNumber,
     [](const Config& c) { return c.norm_eps; }},
    {"vocab_size", nullptr, Row::kSize, [](const Config& c) { return number(c.vocab_size); }},
};

inline constexpr Row kWindowKeys[] = {
    {"attention.sliding_window", "sliding_window", Row::kOptionalSize, window_of},
};
inline constexpr Row kMixtralKeys[] = {
    {"expert_count", "num_local_experts", Row::kSize,
     [](const Config& c) { return number(c.moe.experts); }},
    {"expert_used_count", "num_experts_per_tok", Row::kSize,
     [](const Config& c) { return number(c.moe.experts_per_token); }},
    {"attention.sliding_window", "sliding_window", Row::kOptionalSize, window_of},
};
inline constexpr Row kQwenMoeKeys[] = {
    {"expert_count", "num_experts", Row::kSize,
     [](const Config& c) { return number(c.moe.experts); }},
    {"expert_used_count", "num_experts_per_tok", Row::kSize,
     [](const Config& c) { return number(c.moe.experts_per_token); }},
    {"expert_feed_forward_length", "moe_intermediate_size", Row::kSize,
     [](const Config& c) { return number(c.moe.intermediate_size); }},
    {"expert_shared_feed_forward_length", "shared_expert_intermediate_size", Row::kOptionalSize,
     [](const Config& c) { return number(c.moe.shared_intermediate_size); }},
};
inline constexpr Row kGemma2Keys[] = {
    {"attention.sliding_window", "sliding_window", Row::kOptionalSize, window_of},
    {"attn_logit_softcapping", "attn_logit_softcapping", Row::kNumber,
     [](const Config& c) { return c.attention_softcap; }},
    {"final_logit_softcapping", "final_logit_softcapping", Row::kNumber,
     [](const Config& c) { return c.logits_softcap; }},
};
inline constexpr Row kGemma3Keys[] = {
    {"attention.sliding_window", "sliding_window", Row::kOptionalSize, window_of},
    {"final_logit_softcapping", "final_logit_softcapping", Row::kOptionalNumber,
     [](const Config& c) { return c.logits_softcap; }},
};
inline constexpr Row kGraniteKeys[] = {
    {"attention.scale", "attention_multiplier", Row::kNumber,
     [](const Config& c) { return c.attention_scale; }},
    {"embedding_scale", "embedding_multiplier", Row::kNumber,
     [](const Config& c) { return c.embedding_scale; }},
    {"residual_scale", "residual_multiplier", Row::kNumber,
     [](const Config& c) { return c.residual_scale; }},
    {"logit_scale", "logits_scaling", Row::kNumber,
     [](const Config& c) { return 1 / c.logits_scale; }},
};
inline constexpr Row kCohere2Keys[] = {
    {"logit_scale", "logit_scale", Row::kNumber, [](const Config& c) { return c.logits_scale; }},
    {"attention.sliding_window", "sliding_window", Row::kSize, window_of},
};
inline constexpr Row kOlmoKeys[] = {
    {"attention.clamp_kqv", "clip_qkv", Row::kOptionalNumber,
     [](const Config& c) { return c.clip_qkv; }},
};
inline constexpr Row kGraniteMoeKeys[] = {kGraniteKeys[0], kGraniteKeys[1], kGraniteKeys[2],
                                          kGraniteKeys[3], kMixtralKeys[0], kMixtralKeys[1]};
inline constexpr Row kParallelKeys[] = {
    {"use_parallel_residual", "use_parallel_residual", Row::kFlag,
     [](const Config& c) { return c.residual == Residual::kParallel ? 1.0 : 0.0; }},
};
inline constexpr Row kMptKeys[] = {
    {"attention.clamp_kqv", nullptr, Row::kOptionalNumber,
     [](const Config& c) { return c.clip_qkv; }},
    {"attention.max_alibi_bias", nullptr, Row::kNumber,
     [](const Config& c) { return c.alibi.bias_max; }},
};
inline constexpr Row kRwkv7Keys[] = {
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

}  // namespace gradus::gguf_rows
