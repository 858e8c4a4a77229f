# SPDX-License-Identifier: Apache-2.0
"""Adapters and merging against `peft`: what PEFT writes we read, and what we write it reads."""

import json

import peft
import pytest
import safetensors.torch
import tiny_models
import torch
import train_models
import transformers
from test_model_forward import forward, random_ids

QV = ["q_proj", "v_proj"]
PATTERNS = {
    "rank_pattern": {"^model.layers.0.self_attn.q_proj": 7, r"layers\.[12].*v_proj": 3, "up_proj": 2},
    "alpha_pattern": {"layers.0.self_attn.v_proj": 3, "q_proj": 20.5},
}

# name -> (model, LoraConfig beside r and lora_alpha)
CASES = {
    "plain": ("llama", dict(target_modules=QV)),
    "rslora": ("mistral", dict(target_modules=QV, use_rslora=True)),
    "patterns": ("llama", dict(target_modules=[*QV, "up_proj", "down_proj"], **PATTERNS)),
    "patterns_rslora": ("qwen2", dict(target_modules=[*QV, "up_proj"], use_rslora=True, **PATTERNS)),
    "one_module": ("llama", dict(target_modules=["model.layers.1.mlp.down_proj", "self_attn.k_proj"])),
    "layers": ("llama", dict(target_modules=QV, layers_to_transform=[0, 2])),
    "layer": ("llama", dict(target_modules=QV, layers_to_transform=1, layers_pattern="layers")),
    "layers_whole_name": ("llama", dict(target_modules=["q_proj", "model.layers.2.self_attn.v_proj"], layers_to_transform=[0])),
    "regex": ("llama", dict(target_modules=r".*\.layers\.(0|2)\..*(q_proj|down_proj)")),
    "all_linear": ("qwen3", dict(target_modules="all-linear")),
    "exclude": ("llama", dict(target_modules=["q_proj", "up_proj"], exclude_modules=["layers.0.mlp.up_proj"])),
    "exclude_regex": ("llama", dict(target_modules=["q_proj", "up_proj"], exclude_modules=r".*\.1\..*")),
    "fan_in_fan_out": ("llama", dict(target_modules=QV, fan_in_fan_out=True)),
    "bias_all": ("llama_biases", dict(target_modules=QV, bias="all")),
    "bias_lora_only": ("llama_biases", dict(target_modules=["q_proj", "down_proj"], bias="lora_only")),
    "head": ("llama", dict(target_modules=[*QV, "lm_head"])),
    "embedding": ("llama", dict(target_modules=["q_proj", "embed_tokens"])),
    "embedding_and_head": ("llama", dict(target_modules=["embed_tokens", "lm_head"], use_rslora=True)),
    "embedding_tied": ("llama_tied", dict(target_modules=["q_proj", "embed_tokens"])),
    "head_tied": ("llama_tied", dict(target_modules=["q_proj", "lm_head"])),
    "saved": ("llama", dict(target_modules=QV, modules_to_save=["lm_head", "embed_tokens", "norm"])),
    "saved_norms": ("qwen3", dict(target_modules=QV, modules_to_save=["q_norm", "input_layernorm"])),
    "saved_projection": ("llama", dict(target_modules="all-linear", modules_to_save=["layers.1.mlp", "k_proj"])),
    "saved_head_tied": ("llama_tied", dict(target_modules=QV, modules_to_save=["lm_head"])),
    "saved_embedding_tied": ("llama_tied", dict(target_modules=QV, modules_to_save=["embed_tokens"])),
    "dora": ("llama", dict(target_modules=[*QV, "gate_proj", "down_proj"], use_dora=True)),
    "dora_biases": ("llama_biases", dict(target_modules=QV, use_dora=True, bias="lora_only", use_rslora=True)),
    "dora_patterns": ("qwen2", dict(target_modules=[*QV, "up_proj"], use_dora=True, **PATTERNS)),
    "gaussian": ("llama", dict(target_modules=QV, init_lora_weights="gaussian")),
}
# peft merges into the weight that embedding and output share, which changes both.
PEFT_MERGES_OTHERWISE = {"embedding_tied", "head_tied"}


def make_adapter(folder, base, name, seed=5, **config):
    """Saves an adapter with random weights to `folder`; returns the peft model."""
    model = transformers.AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    adapted = peft.get_peft_model(model, peft.LoraConfig(**{"task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 6, **config}))
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in adapted.parameters():
            if parameter.requires_grad:
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    adapted.eval().save_pretrained(folder / name)
    return adapted


def merge(gradus, tmp_path, *arguments):
    result = gradus("model", "merge", *arguments)
    assert result.returncode == 0, result.stderr
    return result


def logits(model, ids):
    with torch.no_grad():
        return model(ids).logits


@pytest.mark.parametrize("name", sorted(CASES))
def test_adapters_that_peft_wrote_compute_what_they_do_there(gradus, tmp_path, name):
    model_name, config = CASES[name]
    base = tiny_models.make(model_name, tmp_path / "base")
    adapted = make_adapter(tmp_path, tmp_path / "base", "adapter", **config)
    ids = random_ids(base.config.vocab_size)
    expected = logits(adapted, ids)
    assert (expected - logits(base, ids)).abs().max() > 0.1
    merge(gradus, tmp_path, tmp_path / "adapter", "--base", tmp_path / "base", "--out", tmp_path / "merged")
    actual = forward(gradus, tmp_path / "merged", ids.tolist(), tmp_path)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=2e-4)
    if name in PEFT_MERGES_OTHERWISE:
        return
    ours = safetensors.torch.load_file(tmp_path / "merged" / "model.safetensors")
    theirs = adapted.merge_and_unload().state_dict()
    assert len(ours) > 20
    for tensor, value in ours.items():
        torch.testing.assert_close(value, theirs[tensor], rtol=1e-5, atol=1e-6, msg=lambda m, n=tensor: f"{n}: {m}")
