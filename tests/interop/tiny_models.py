# SPDX-License-Identifier: Apache-2.0
"""Small random models of each family, made by transformers from a fixed seed."""

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

# name -> (config class, what differs from COMMON)
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
}


def make(name, folder, seed=0):
    """Saves the model to `folder` as fp32 safetensors and returns it."""
    config_class, changes = MODELS[name]
    config = config_class(**{**COMMON, **changes})
    config._attn_implementation = "eager"
    torch.manual_seed(seed)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for parameter in model.parameters():  # larger than the usual 0.02, so that errors show
            if parameter.dim() > 1:
                parameter.mul_(4)
            else:
                parameter.add_(0.1 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model
