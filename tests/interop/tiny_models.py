# SPDX-License-Identifier: Apache-2.0
"""Small random models of each family, made by transformers from a fixed seed."""

import plain_models
import torch
import transformers

COMMON = dict(
    vocab_size=320,
    hidden_size=64,
    intermediate_size=112,
    num_hidden_layers=3,
    num_attention_heads=4,
    num_key_value_heads=2,
    max_position_embeddings=256,
    rms_norm_eps=1e-5,
    bos_token_id=1,
    eos_token_id=2,
)
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
LINEAR_ROPE = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}

YARN_ROPE = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0, "original_max_position_embeddings": 16}
DYNAMIC_ROPE = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 4.0}
PHI3_ROPE = {
    "rope_type": "longrope",
    "rope_theta": 10000.0,
    "partial_rotary_factor": 0.75,
    "short_factor": [1.0, 1.1, 1.3, 1.6, 1.9, 2.5],
    "long_factor": [1.0, 2.0, 3.0, 5.0, 7.0, 8.0],
}
GEMMA3_ROPE = {
    "full_attention": {"rope_type": "linear", "factor": 4.0, "rope_theta": 1000000.0},
    "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
}

# What families with other keys have in place of COMMON.
SIZES = dict(vocab_size=320, hidden_size=64, num_hidden_layers=3, num_attention_heads=4, bos_token_id=1, eos_token_id=2)
NEOX = dict(**SIZES, intermediate_size=112, max_position_embeddings=256)
FALCON = dict(**SIZES, num_key_value_heads=None, max_position_embeddings=256)
PARTIAL = {"rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.5}
GPT2 = dict(vocab_size=320, n_embd=64, n_layer=3, n_head=4, n_positions=256, bos_token_id=1, eos_token_id=2)
MPT = dict(vocab_size=320, d_model=48, n_heads=3, n_layers=3, max_seq_len=256, bos_token_id=1, eos_token_id=2)
RWKV = dict(vocab_size=320, hidden_size=64, num_hidden_layers=3, context_length=256, bos_token_id=1, eos_token_id=2)
GRANITE = dict(embedding_multiplier=3.0, residual_multiplier=0.4, attention_multiplier=0.2, logits_scaling=2.0)

EXPERTS = dict(num_experts=5, num_experts_per_tok=2, moe_intermediate_size=48)

DEEPSEEK = dict(
    num_key_value_heads=4,
    kv_lora_rank=32,
    qk_nope_head_dim=16,
    qk_rope_head_dim=8,
    v_head_dim=16,
    n_routed_experts=4,
    n_shared_experts=2,
    num_experts_per_tok=2,
    moe_intermediate_size=48,
    first_k_dense_replace=1,
)
GLM4_MOE = dict(
    n_routed_experts=4,
    n_shared_experts=2,
    num_experts_per_tok=2,
    moe_intermediate_size=48,
    first_k_dense_replace=1,
    attention_bias=True,
    num_mtp_layers=0,
)
DEEPSEEK_ROPE = {**YARN_ROPE, "mscale": 0.7, "mscale_all_dim": 0.9}

# name -> (config class, what differs from COMMON, or from nothing where an entry has three parts)
MODELS = {
    "llama": (transformers.LlamaConfig, {}),
    "llama_tied": (transformers.LlamaConfig, {"tie_word_embeddings": True}),
    "llama_biases": (transformers.LlamaConfig, {"attention_bias": True, "mlp_bias": True}),
    "llama_wide_heads": (transformers.LlamaConfig, {"head_dim": 32}),
    "llama3_rope": (transformers.LlamaConfig, {"rope_parameters": LLAMA3_ROPE}),
    "llama_linear_rope": (transformers.LlamaConfig, {"rope_parameters": LINEAR_ROPE}),
    "mistral": (transformers.MistralConfig, {"sliding_window": None}),
    "mistral_window": (transformers.MistralConfig, {"sliding_window": 8}),
    "qwen2": (transformers.Qwen2Config, {"tie_word_embeddings": True}),
    "qwen2_window": (
        transformers.Qwen2Config,
        {"use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    ),
    "qwen3": (transformers.Qwen3Config, {"head_dim": 32}),
    "mixtral": (transformers.MixtralConfig, {"num_local_experts": 4, "sliding_window": 8}),
    "qwen2_moe": (
        transformers.Qwen2MoeConfig,
        {**EXPERTS, "shared_expert_intermediate_size": 80, "decoder_sparse_step": 2},
    ),
    "qwen3_moe": (transformers.Qwen3MoeConfig, {**EXPERTS, "norm_topk_prob": True, "mlp_only_layers": [1]}),
    "deepseek_v2": (transformers.DeepseekV2Config, {**DEEPSEEK, "q_lora_rank": None}),
    "deepseek_v2_groups": (
        transformers.DeepseekV2Config,
        {
            **DEEPSEEK,
            "q_lora_rank": 24,
            "attention_bias": True,
            "topk_method": "group_limited_greedy",
            "n_group": 2,
            "topk_group": 1,
            "routed_scaling_factor": 2.0,
            "rope_parameters": DEEPSEEK_ROPE,
        },
    ),
    "deepseek_v3": (
        transformers.DeepseekV3Config,
        {
            **DEEPSEEK,
            "q_lora_rank": 24,
            "n_routed_experts": 8,
            "n_group": 4,
            "topk_group": 2,
            "num_mtp_layers": 0,
            "rope_parameters": DEEPSEEK_ROPE,
        },
    ),
    "llama_yarn_rope": (transformers.LlamaConfig, {"rope_parameters": YARN_ROPE}),
    "llama_dynamic_rope": (transformers.LlamaConfig, {"rope_parameters": DYNAMIC_ROPE, "max_position_embeddings": 36}),
    "granite": (transformers.GraniteConfig, {**GRANITE, "attention_bias": True}),
    "granitemoe": (transformers.GraniteMoeConfig, {**GRANITE, "num_local_experts": 5}),
    "smollm3": (transformers.SmolLM3Config, {"no_rope_layer_interval": 2, "pad_token_id": 0}),
    "smollm3_window": (
        transformers.SmolLM3Config,
        {"no_rope_layers": [1, 0, 1], "use_sliding_window": True, "sliding_window": 8, "pad_token_id": 0},
    ),
    "olmo2": (transformers.Olmo2Config, {}),
    "phi3": (transformers.Phi3Config, {"sliding_window": 8, "pad_token_id": 0}),
    "phi3_longrope": (
        transformers.Phi3Config,
        {"rope_parameters": PHI3_ROPE, "original_max_position_embeddings": 64, "pad_token_id": 0},
    ),
    "phi3_beyond": (
        transformers.Phi3Config,
        {"rope_parameters": PHI3_ROPE, "original_max_position_embeddings": 8, "pad_token_id": 0},
    ),
    "gemma": (transformers.GemmaConfig, {"head_dim": 32}),
    "gemma2": (transformers.Gemma2Config, {"head_dim": 32, "sliding_window": 8, "query_pre_attn_scalar": 20}),
    "gemma3_text": (
        transformers.Gemma3TextConfig,
        {"head_dim": 32, "sliding_window": 8, "sliding_window_pattern": 3, "rope_parameters": GEMMA3_ROPE},
    ),
    "glm": (transformers.GlmConfig, {"head_dim": 16, "pad_token_id": 0}),
    "glm4": (transformers.Glm4Config, {"head_dim": 32, "pad_token_id": 0}),
    "starcoder2": (transformers.Starcoder2Config, {"sliding_window": 8}),
    "stablelm": (transformers.StableLmConfig, {"use_qkv_bias": True}),
    "stablelm_qk_norm": (transformers.StableLmConfig, {"qk_layernorm": True}),
    "stablelm_parallel": (transformers.StableLmConfig, {"use_parallel_residual": True}),
    "phi": (transformers.PhiConfig, {"num_key_value_heads": 4}),
    "phi_qk_norm": (transformers.PhiConfig, {"qk_layernorm": True}),
    "gpt2": (transformers.GPT2Config, {}, GPT2),
    "gpt_neox": (transformers.GPTNeoXConfig, {}, NEOX),
    "gpt_neox_sequential": (
        transformers.GPTNeoXConfig,
        {"use_parallel_residual": False, "attention_bias": False, "rope_parameters": PARTIAL},
        NEOX,
    ),
    "falcon_7b": (transformers.FalconConfig, {}, FALCON),
    "falcon_40b": (transformers.FalconConfig, {"new_decoder_architecture": True, "num_kv_heads": 2}, FALCON),
    "falcon_11b": (
        transformers.FalconConfig,
        {"new_decoder_architecture": True, "num_kv_heads": 2, "num_ln_in_parallel_attn": 1},
        FALCON,
    ),
    "falcon_rw": (
        transformers.FalconConfig,
        {"multi_query": False, "parallel_attn": False, "alibi": True, "bias": True},
        FALCON,
    ),
    "rwkv": (transformers.RwkvConfig, {"rescale_every": 0}, RWKV),
    "rwkv_wide": (transformers.RwkvConfig, {"attention_hidden_size": 80, "intermediate_size": 112}, RWKV),
    "cohere": (transformers.CohereConfig, {"logit_scale": 0.4}),
    "cohere_qk_norm": (transformers.CohereConfig, {"use_qk_norm": True, "attention_bias": True, "logit_scale": 0.4}),
    "cohere2": (transformers.Cohere2Config, {"sliding_window": 8, "num_hidden_layers": 5, "logit_scale": 0.4}),
    "olmo": (transformers.OlmoConfig, {"clip_qkv": 1.5}),
    "olmoe": (transformers.OlmoeConfig, {"num_experts": 5, "num_experts_per_tok": 2}),
    "seed_oss": (transformers.SeedOssConfig, {"head_dim": 32}),
    "ernie4_5": (transformers.Ernie4_5Config, {"head_dim": 32, "use_bias": True}),
    "exaone4": (
        transformers.Exaone4Config,
        {"sliding_window": None, "layer_types": ["full_attention"] * 3, "rope_parameters": LLAMA3_ROPE},
    ),
    "exaone4_window": (transformers.Exaone4Config, {"sliding_window": 8, "sliding_window_pattern": 3}),
    "glm4_moe": (transformers.Glm4MoeConfig, GLM4_MOE),
    "glm4_moe_qk_norm": (
        transformers.Glm4MoeConfig,
        {**GLM4_MOE, "use_qk_norm": True, "head_dim": 32, "n_group": 2, "routed_scaling_factor": 2.5},
    ),
    "mpt": (transformers.MptConfig, {"attn_config": {"clip_qkv": 2.0}}, MPT),
}


def make(name, folder, seed=0, **more):
    """Saves the model to `folder` as fp32 safetensors and returns it; `more` is for its config."""
    if name in plain_models.MODELS:
        model = plain_models.PlainModel(name, seed, **more)
        model.save_pretrained(folder)
        return model
    config_class, changes, *sizes = MODELS[name]
    config = config_class(**{**(sizes[0] if sizes else COMMON), **changes, **more})
    # Falcon's eager attention of this version adds ALiBi twice; its other one does as its authors did.
    config._attn_implementation = "sdpa" if name == "falcon_rw" else "eager"
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # larger than the usual 0.02, so that errors show
            if parameter.dim() == 2 and 0 < parameter.std() < 1e-3:  # RWKV's embeddings, then normed
                parameter.copy_(torch.randn_like(parameter))
            elif parameter.dim() > 1 and parameter.std() > 0:
                parameter.mul_(4)
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
        for name, buffer in model.named_buffers():
            if name.endswith("e_score_correction_bias"):
                buffer.copy_(0.3 * torch.randn_like(buffer))
    model.save_pretrained(folder)
    # In evaluation this class keeps states that it changes in place, which autograd refuses.
    return model.train() if config.model_type == "rwkv" else model


ALL = sorted([*MODELS, *plain_models.MODELS])
