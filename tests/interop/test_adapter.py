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
    "patterns_rslora": ("qwen2", dict(target_modules=[*QV, "up_proj"], use_rslora=True, **PATTERNS)),
    "one_module": ("llama", dict(target_modules=["model.layers.1.mlp.down_proj", "self_attn.k_proj"])),
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
    "tokens_tied": ("llama_tied", dict(target_modules=QV, trainable_token_indices=[7, 8])),
    "tokens_of_both": ("llama", dict(target_modules=QV, trainable_token_indices={"embed_tokens": [5, 1], "lm_head": [2]})),
    "dora_embedding": ("llama", dict(target_modules=["q_proj", "embed_tokens"], use_dora=True)),
    # Other families: fused, transposed and renamed projections, parallel blocks, scaled embeddings.
    "gpt2_dora": ("gpt2", dict(target_modules=["attn.c_proj", "c_attn"], fan_in_fan_out=True, use_dora=True)),
    "gpt2_all_linear": ("gpt2", dict(target_modules="all-linear", fan_in_fan_out=True, lora_bias=True)),
    "gpt_neox": ("gpt_neox", dict(target_modules=["query_key_value", "dense_h_to_4h"], bias="lora_only")),
    "falcon_40b": ("falcon_40b", dict(target_modules=r".*\.(query_key_value|dense_4h_to_h)")),
    "phi3": ("phi3", dict(target_modules=["qkv_proj", "gate_up_proj"], layers_to_transform=[0, 2])),
    "phi": ("phi", dict(target_modules=["q_proj", "dense", "fc2", "lm_head"], lora_bias=True)),
    "mpt": ("mpt", dict(target_modules=["Wqkv", "out_proj", "down_proj"], exclude_modules=["blocks.1.attn.Wqkv"])),
    "gemma2": ("gemma2", dict(target_modules="all-linear", use_rslora=True)),
    "gemma3": ("gemma3_text", dict(target_modules=["k_proj", "embed_tokens"], use_dora=True)),
    "starcoder2": ("starcoder2", dict(target_modules=["c_fc", "c_proj", "q_proj"], use_dora=True)),
    "mixtral_experts": ("mixtral", dict(target_modules=["q_proj"], target_parameters=["mlp.experts.gate_up_proj", "mlp.experts.down_proj"])),
    "granitemoe_experts": ("granitemoe", dict(target_modules=["q_proj"], target_parameters=["experts.gate_up_proj", "block_sparse_moe.experts.down_proj"])),
    "mixtral_down": ("mixtral", dict(target_modules=[], target_parameters=["experts.down_proj"], use_rslora=True)),
    "qwen3_moe_experts": ("qwen3_moe", dict(target_modules=QV, target_parameters=["experts.gate_up_proj"], rank_pattern={"experts.gate_up_proj": 3})),
    "qwen2_moe_names": ("qwen2_moe", dict(target_modules=["o_proj", "gate_proj", "up_proj", "down_proj"])),
}
# peft merges into the weight that embedding and output share, which changes both.
PEFT_MERGES_OTHERWISE = {"embedding_tied", "head_tied", "gemma3"}


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
    adapted.merge_and_unload().save_pretrained(tmp_path / "theirs")
    theirs = safetensors.torch.load_file(tmp_path / "theirs" / "model.safetensors")
    assert len(ours) >= 20 and theirs.keys() <= ours.keys()
    for tensor, value in theirs.items():
        torch.testing.assert_close(ours[tensor], value, rtol=1e-5, atol=1e-6, msg=lambda m, n=tensor: f"{n}: {m}")


# Families that transformers does not have: what their adapters compute is the base with W + s B A.
PLAIN = {"chatglm2": ["query_key_value", "dense_h_to_4h"], "internlm2": ["wqkv", "w2"], "baichuan_7b": ["W_pack"]}


@pytest.mark.parametrize("name", sorted(set(PLAIN) & set(tiny_models.ALL)))
def test_adapters_of_published_code_change_the_weights_that_they_name(gradus, tmp_path, name):
    base = tiny_models.make(name, tmp_path / "base")
    generator = torch.Generator().manual_seed(3)
    tensors = {}
    with torch.no_grad():
        for key, weight in base.weights.items():
            module = key.removesuffix(".weight")
            if module.rpartition(".")[2] not in PLAIN[name]:
                continue
            a = 0.1 * torch.randn(4, weight.shape[1], generator=generator)
            b = 0.1 * torch.randn(weight.shape[0], 4, generator=generator)
            weight.add_(1.5 * b @ a)
            tensors |= {f"base_model.model.{module}.lora_A.weight": a, f"base_model.model.{module}.lora_B.weight": b}
    assert len(tensors) == 6 * len(PLAIN[name])
    (tmp_path / "adapter").mkdir()
    safetensors.torch.save_file(tensors, tmp_path / "adapter" / "adapter_model.safetensors")
    config = {"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": 4, "lora_alpha": 6, "target_modules": PLAIN[name]}
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config))
    merge(gradus, tmp_path, tmp_path / "adapter", "--base", tmp_path / "base", "--out", tmp_path / "merged")
    ids = random_ids(base.config.vocab_size)
    actual = forward(gradus, tmp_path / "merged", ids.tolist(), tmp_path)
    torch.testing.assert_close(actual, logits(base, ids), rtol=1e-4, atol=2e-4)


def rename_tensors(folder, change):
    path = folder / "adapter_model.safetensors"
    tensors = safetensors.torch.load_file(path)
    safetensors.torch.save_file({change(name): value for name, value in tensors.items()}, path)


def test_wrappers_before_a_modules_name_are_left_out(gradus, tmp_path):
    tiny_models.make("llama", tmp_path / "base")
    make_adapter(tmp_path, tmp_path / "base", "adapter", target_modules=QV)
    arguments = [tmp_path / "adapter", "--base", tmp_path / "base", "--out"]
    merge(gradus, tmp_path, *arguments, tmp_path / "plain")
    rename_tensors(tmp_path / "adapter", lambda n: n.replace("base_model.model.", "base_model.model.base_model.model._orig_mod."))
    merge(gradus, tmp_path, *arguments, tmp_path / "wrapped")
    plain, wrapped = (safetensors.torch.load_file(tmp_path / n / "model.safetensors") for n in ("plain", "wrapped"))
    assert all(torch.equal(plain[n], wrapped[n]) for n in plain)


def test_experts_named_one_by_one_compute_what_peft_makes_of_them(gradus, tmp_path):
    """What PEFT wrote with transformers 4, and what we write: PEFT stacks them when it loads them."""
    train(gradus, tmp_path, "mixtral", dict(targets=["q_proj", "w1", "w2", "w3"], rank=4), steps=8)
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    ids = random_ids(base.config.vocab_size)
    plain = logits(base, ids)
    adapted = logits(peft.PeftModel.from_pretrained(base, tmp_path / "run" / "adapter"), ids)
    assert (adapted - plain).abs().max() > 0.1
    actual = forward(gradus, tmp_path / "run" / "model", ids.tolist(), tmp_path)
    torch.testing.assert_close(actual, adapted, rtol=1e-4, atol=5e-4)


REFUSED = {
    "positions": ("gpt2", dict(target_modules=["c_attn", "wpe"], fan_in_fan_out=True), "wpe is not the embedding"),
    "router": ("mixtral", dict(target_modules=["q_proj"], target_parameters=["mlp.gate.weight"]), "an adapter of a router is not supported: target_parameters names mlp.gate.weight"),
    "router_by_its_end": ("qwen3_moe", dict(target_modules=["q_proj"], target_parameters=["gate.weight"]), "an adapter of a router is not supported"),
    "one_weight": ("llama", dict(target_modules=["q_proj"], target_parameters=["v_proj.weight"]), "an adapter of this weight is not supported"),
    "no_bias": ("llama", dict(target_modules=QV, lora_bias=True), "lora_bias needs a projection that has a bias"),
}


@pytest.mark.parametrize("name", sorted(REFUSED))
def test_what_cannot_be_merged_is_refused_by_name(gradus, tmp_path, name):
    model_name, config, words = REFUSED[name]
    tiny_models.make(model_name, tmp_path / "base")
    make_adapter(tmp_path, tmp_path / "base", "adapter", **config)
    result = gradus("model", "merge", tmp_path / "adapter", "--base", tmp_path / "base", "--out", tmp_path / "merged")
    assert result.returncode == 1 and words in result.stderr.splitlines()[-1], result.stderr
    assert ("another base" in result.stderr) == (name == "positions")
    assert not (tmp_path / "merged").exists()


def test_the_base_that_an_adapter_names_is_taken_when_it_is_here(gradus, tmp_path):
    tiny_models.make("llama", tmp_path / "base")
    make_adapter(tmp_path, tmp_path / "base", "adapter", target_modules=QV)
    merge(gradus, tmp_path, tmp_path / "adapter", "--out", tmp_path / "named")
    merge(gradus, tmp_path, tmp_path / "adapter", "--base", tmp_path / "base", "--out", tmp_path / "given")
    named, given = (safetensors.torch.load_file(tmp_path / n / "model.safetensors") for n in ("named", "given"))
    assert all(torch.equal(named[n], given[n]) for n in given)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    for said, words in [
        (str(tmp_path / "gone"), "give it with --base"),
        ("acme/none", "gradus model fetch hf://acme/none"),
        ("", "does not name its base"),
    ]:
        (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config | {"base_model_name_or_path": said}))
        result = gradus("model", "merge", tmp_path / "adapter", "--out", tmp_path / "x")
        assert result.returncode == 1 and words in result.stderr and result.stderr.count("\n") == 1, result.stderr


def lineage(folder):
    return json.loads((folder / "lineage.json").read_text())


# name -> (model, what the recipe's lora section says)
TRAINED = {
    "dora": ("llama", dict(rank=4, alpha=6, use_dora=True, use_rslora=True, targets=["q_proj", "down_proj"])),
    "patterns": ("llama", dict(targets=["all-linear"], rank_pattern={"q_proj": 2}, alpha_pattern={"layers.1.*": 3.5})),
    "saved": ("llama", dict(targets=["v_proj"], modules_to_save=["lm_head", "embed_tokens", "model.norm"])),
    "saved_tied": ("llama_tied", dict(targets=["v_proj"], modules_to_save=["lm_head"])),
    "bias": ("llama_biases", dict(targets=["q_proj", "down_proj"], lora_bias=True)),
    "gpt2": ("gpt2", dict(targets=["c_attn", "mlp.c_proj"], use_dora=True)),
    "gpt_neox": ("gpt_neox", dict(targets=["query_key_value", "dense"])),
    "falcon": ("falcon_40b", dict(targets=["all-linear"])),
}


def train(gradus, tmp_path, model, lora, steps):
    train_models.make(tmp_path / "base", model)
    path = train_models.write_run(
        tmp_path,
        train_models.write_texts(tmp_path / "train.jsonl"),
        batch={"tokens_per_step": 300, "steps": steps},
        optimizer={"lr": 1e-2},
        method="lora",
        lora=lora,
    )
    result = gradus("pretrain-continue", path)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("name", sorted(TRAINED))
def test_adapters_that_we_trained_compute_the_same_in_peft(gradus, tmp_path, name):
    train(gradus, tmp_path, *TRAINED[name], steps=12)
    losses = train_models.losses(tmp_path / "run")
    assert losses[-1] < 0.9 * losses[0]
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    ids = random_ids(base.config.vocab_size)
    plain = logits(base, ids)
    adapted = logits(peft.PeftModel.from_pretrained(base, tmp_path / "run" / "adapter"), ids)
    assert (adapted - plain).abs().max() > 0.1
    torch.testing.assert_close(forward(gradus, tmp_path / "run" / "model", ids.tolist(), tmp_path), adapted, rtol=1e-4, atol=5e-4)
    merge(gradus, tmp_path, tmp_path / "run" / "adapter", "--base", tmp_path / "base", "--out", tmp_path / "merged")
    trained = safetensors.torch.load_file(tmp_path / "run" / "model" / "model.safetensors")
    merged = safetensors.torch.load_file(tmp_path / "merged" / "model.safetensors")
    assert trained.keys() == merged.keys()
    for tensor, value in trained.items():
        torch.testing.assert_close(merged[tensor], value, rtol=1e-6, atol=1e-7)


def test_an_adapter_goes_only_onto_the_base_that_its_lineage_names(gradus, tmp_path):
    train(gradus, tmp_path, "llama", {"targets": ["q_proj"]}, steps=2)
    tiny_models.make("llama", tmp_path / "other", seed=9)
    adapter = tmp_path / "run" / "adapter"
    right = merge(gradus, tmp_path, "--adapter", adapter, "--base", tmp_path / "base", "--out", tmp_path / "right")
    assert "warning" not in right.stderr.lower() and "no lineage" not in right.stderr
    digest = lineage(adapter)["parents"][0]["digest"]
    assert [(p["role"], p["digest"]) for p in lineage(tmp_path / "right")["parents"]][0] == ("base", digest)
    arguments = ["model", "merge", adapter, "--base", tmp_path / "other", "--out", tmp_path / "wrong"]
    wrong = gradus(*arguments)
    assert wrong.returncode == 1 and "trained on another base" in wrong.stderr and digest in wrong.stderr
    assert wrong.stderr.count("\n") == 1 and not (tmp_path / "wrong").exists()
    asked = gradus(*arguments, "--allow-other-base")
    assert asked.returncode == 0 and "as asked" in asked.stderr


def test_an_adapter_without_lineage_is_compared_by_the_name_of_its_base(gradus, tmp_path):
    tiny_models.make("llama", tmp_path / "base")
    tiny_models.make("llama", tmp_path / "other", seed=9)
    make_adapter(tmp_path, tmp_path / "base", "adapter", target_modules=QV)
    first = merge(gradus, tmp_path, tmp_path / "adapter", "--base", tmp_path / "base", "--out", tmp_path / "first")
    assert "has no lineage" in first.stderr and "names its base" not in first.stderr
    other = merge(gradus, tmp_path, tmp_path / "adapter", "--base", tmp_path / "other", "--out", tmp_path / "second")
    assert "names its base" in other.stderr


@pytest.mark.parametrize("stored", ["float32", "bfloat16", "float16"])
def test_merging_rounds_once_and_says_how_much_the_logits_moved(gradus, tmp_path, stored):
    base = tiny_models.make("llama", tmp_path / "base")
    base.to(getattr(torch, stored)).save_pretrained(tmp_path / "base")
    adapted = make_adapter(tmp_path, tmp_path / "base", "adapter", target_modules=QV)
    result = merge(gradus, tmp_path, tmp_path / "adapter", "--base", tmp_path / "base", "--out", tmp_path / "merged", "--json")
    ours = safetensors.torch.load_file(tmp_path / "merged" / "model.safetensors")
    theirs = adapted.merge_and_unload().state_dict()  # fp32 of the same stored values
    for tensor, value in ours.items():
        assert torch.equal(value, theirs[tensor].to(getattr(torch, stored))) or stored == "float32", tensor
        torch.testing.assert_close(value.float(), theirs[tensor], rtol=2.0**-8, atol=1e-6)
    check = lineage(tmp_path / "merged")["training"]
    assert check["dtype"] == stored and check["checked_tokens"] == 32
    assert 0 < check["largest_logit_difference"] < 1e-4 * check["largest_logit"]
    least, most = {"float32": (-1, 1e-12), "float16": (1e-5, 0.02), "bfloat16": (1e-4, 0.2)}[stored]
    assert least < check["rounding_logit_difference"] / check["largest_logit"] < most
    for key in ["largest_logit_difference", "rounding_logit_difference"]:
        assert json.loads(result.stdout)[key] == check[key]
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["dtype"] == stored


@pytest.mark.parametrize("stored", ["bfloat16", "float16"])
def test_rounding_may_turn_a_router_but_not_its_bias(gradus, tmp_path, stored):
    tiny_models.make("deepseek_v3", tmp_path / "base")
    make_adapter(tmp_path, tmp_path / "base", "adapter", target_modules=["o_proj"], r=2)
    merge(gradus, tmp_path, tmp_path / "adapter", "--base", tmp_path / "base", "--dtype", stored, "--out", tmp_path / "merged")
    before, after = (safetensors.torch.load_file(tmp_path / f / "model.safetensors") for f in ["base", "merged"])
    biases = [name for name in before if name.endswith("e_score_correction_bias")]
    assert biases and all(torch.equal(after[name], before[name]) for name in biases)
    check = lineage(tmp_path / "merged")["training"]
    assert check["largest_logit_difference"] < 1e-4 * check["largest_logit"]
    assert check["rounding_logit_difference"] > 0


def test_a_quantised_base_and_wrong_folders_are_refused_with_a_hint(gradus, tmp_path):
    tiny_models.make("llama", tmp_path / "base")
    make_adapter(tmp_path, tmp_path / "base", "adapter", target_modules=QV)
    (tmp_path / "ids.json").write_text("[[1]]")
    ids = ["--ids", tmp_path / "ids.json", "--out", tmp_path / "logits.safetensors"]
    assert gradus("quantize", f"model={tmp_path / 'base'}", f"out={tmp_path / 'int8'}", "scheme=int8").returncode == 0
    for arguments, words in [
        (["merge", tmp_path / "adapter", "--base", tmp_path / "int8", "--out", tmp_path / "x"], "quantised model"),
        (["merge", tmp_path / "base", "--base", tmp_path / "base", "--out", tmp_path / "x"], "is a model, not an adapter"),
        (["merge", tmp_path / "adapter", "--base", tmp_path / "adapter", "--out", tmp_path / "x"], "gradus model merge"),
        (["forward", tmp_path / "adapter", *ids], "is an adapter, not a model"),
        (["forward", tmp_path / "none", *ids], "does not exist"),
    ]:
        result = gradus("model", *arguments)
        assert result.returncode == 1 and words in result.stderr and result.stderr.count("\n") == 1, result.stderr
    (tmp_path / "run").mkdir()
    (tmp_path / "base").rename(tmp_path / "run" / "model")
    result = gradus("model", "forward", tmp_path / "run", *ids)
    assert result.returncode == 1 and f"its model is in {tmp_path / 'run' / 'model'}" in result.stderr
    (tmp_path / "run" / "model").rename(tmp_path / "elsewhere")
    (tmp_path / "adapter").rename(tmp_path / "run" / "adapter")
    result = gradus("model", "forward", tmp_path / "run", *ids)
    assert result.returncode == 1 and f"gradus model merge {tmp_path / 'run' / 'adapter'}" in result.stderr
