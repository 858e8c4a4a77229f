# SPDX-License-Identifier: Apache-2.0
"""Logits and gradients against transformers, for every family, and logits of the real L0."""

import json

import pytest
import safetensors.torch
import tiny_models
import torch
import train_models
import transformers


def forward(gradus, folder, ids, tmp_path, dtype="float32"):
    ids_file, out = tmp_path / "ids.json", tmp_path / f"logits-{dtype}.safetensors"
    ids_file.write_text(json.dumps(ids))
    result = gradus("model", "forward", folder, "--ids", ids_file, "--dtype", dtype, "--out", out, "--device", "cpu")
    assert result.returncode == 0, result.stderr
    return safetensors.torch.load_file(out)["logits"]


def random_ids(vocabulary, batch=2, length=40):
    generator = torch.Generator().manual_seed(1)
    return torch.randint(0, vocabulary, (batch, length), generator=generator)


@pytest.mark.parametrize("name", tiny_models.ALL)
def test_logits_equal_transformers_in_fp32(gradus, tmp_path, name):
    model = tiny_models.make(name, tmp_path / "model")
    ids = random_ids(model.config.vocab_size)
    with torch.no_grad():
        expected = model(ids).logits
    actual = forward(gradus, tmp_path / "model", ids.tolist(), tmp_path)
    assert expected.abs().mean() > 0.1
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_logits_that_are_no_numbers_are_refused(gradus, tmp_path):
    model = tiny_models.make("llama", tmp_path / "model")
    with torch.no_grad():
        model.lm_head.weight[7] = 3e38
        model.model.norm.weight.fill_(3e38)
    model.save_pretrained(tmp_path / "model")
    (tmp_path / "ids.json").write_text("[[1, 2, 3]]")
    out = tmp_path / "logits.safetensors"
    result = gradus("model", "forward", tmp_path / "model", "--ids", tmp_path / "ids.json", "--dtype", "float32", "--out", out)
    assert result.returncode == 1 and "not finite" in result.stderr and not out.exists()
    assert result.stderr.count("\n") == 1


STEP = 1e4


def gradient(update):
    return update / (1 - update.abs() / STEP)


def one_step(gradus, folder, base, source):
    """A step of gradient descent: the update is STEP · g / (|g| + STEP), see gradient()."""
    path = train_models.write_run(
        folder,
        source,
        data={"context_length": 36, "packing": False},  # 36: the least that a model has
        model=str(base),
        batch={"sequences_per_step": 4, "steps": 1},
        optimizer={"lr": STEP, "eps": STEP, "weight_decay": 0.0, "max_grad_norm": 0.0},
        schedule={"kind": "constant"},
    )
    result = gradus("pretrain-continue", path)
    assert result.returncode == 0, result.stderr
    return train_models.losses(folder / "run")[0]


def loss_and_gradients(model, source):
    """The mean loss of the documents; the gradients are in the model's parameters."""
    texts = [json.loads(line)["text"] for line in source.read_text().splitlines()]
    documents = [[*text.encode(), train_models.END] for text in texts]
    total = sum(len(ids) - 1 for ids in documents)
    loss = 0
    for ids in documents:
        logits = model(torch.tensor([ids[:-1]])).logits[0]
        loss = loss + torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum") / total
    loss.backward()
    return loss.item()


def parameters_of(folder, name):
    if name not in tiny_models.MODELS:
        return safetensors.torch.load_file(folder / "model.safetensors")
    return dict(transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).named_parameters())


@pytest.mark.parametrize("name", tiny_models.ALL)
def test_loss_and_every_gradient_by_name_equal_transformers(gradus, tmp_path, name):
    """The trained folder is read by transformers, so saving is tested too."""
    model = train_models.make(tmp_path / "base", name)
    source = train_models.write_texts(tmp_path / "train.jsonl", count=4, words=4)
    loss = one_step(gradus, tmp_path, tmp_path / "base", source)
    assert loss == pytest.approx(loss_and_gradients(model, source), rel=1e-5)
    after = parameters_of(tmp_path / "run" / "model", name)
    for parameter_name, before in model.named_parameters():
        if before.grad is None:
            continue
        scale = before.grad.abs().max().item()
        error = (gradient(before - after[parameter_name]) - before.grad).abs().max().item()
        assert error <= 1e-4 * scale + 1e-6, f"{parameter_name}: off by {error} of {scale}"


@pytest.mark.parametrize("name", tiny_models.ALL)
def test_bf16_logits_stay_within_the_error_of_bf16(gradus, tmp_path, name):
    model = tiny_models.make(name, tmp_path / "model")
    ids = random_ids(model.config.vocab_size)
    with torch.no_grad():
        exact = model(ids).logits
        theirs = model.to(torch.bfloat16)(ids).logits.float()
    actual = forward(gradus, tmp_path / "model", ids.tolist(), tmp_path, "bfloat16")
    assert (actual - exact).norm() <= 1.2 * (theirs - exact).norm() + 1e-6


DEFAULTS = {  # keys that a file leaves out, below what it calls its rotary parameters too
    "mixtral": ["rope_theta"],
    "deepseek_v3": ["routed_scaling_factor"],
    "phi3_longrope": ["max_position_embeddings", "original_max_position_embeddings"],
    "phi3_beyond": ["original_max_position_embeddings"],
    "smollm3": ["rope_theta"],
    "stablelm": ["rope_theta"],
    "granite": ["embedding_multiplier", "attention_multiplier"],
    "cohere": ["logit_scale"],
    "cohere2": ["logit_scale", "layer_types"],
    "exaone4_window": ["rope_theta"],
    "glm4_moe": ["rope_theta", "partial_rotary_factor", "n_group", "topk_group", "norm_topk_prob"],
    "gemma2": ["query_pre_attn_scalar", "final_logit_softcapping", "sliding_window"],
}


@pytest.mark.parametrize("name", sorted(DEFAULTS))
def test_what_a_file_leaves_out_is_what_transformers_assumes(gradus, tmp_path, name):
    tiny_models.make(name, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    parts = (config, config.get("rope_parameters") or {})
    assert all(any(key in part for part in parts) for key in DEFAULTS[name])
    for part in parts:
        for key in DEFAULTS[name]:
            part.pop(key, None)
    path.write_text(json.dumps(config))
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "model", dtype=torch.float32)
    ids = random_ids(model.config.vocab_size)
    with torch.no_grad():
        expected = model(ids).logits
    assert expected.abs().mean() > 0.01
    torch.testing.assert_close(forward(gradus, tmp_path / "model", ids.tolist(), tmp_path), expected, rtol=1e-4, atol=1e-4)


def test_a_tied_model_with_another_output_projection_in_its_file_is_refused(gradus, tmp_path):
    tiny_models.make("llama_tied", tmp_path / "model")
    file, ids = tmp_path / "model" / "model.safetensors", random_ids(320).tolist()
    tensors = safetensors.torch.load_file(file)
    same = tensors["model.embed_tokens.weight"].clone()
    safetensors.torch.save_file(tensors | {"lm_head.weight": same}, file)
    expected = forward(gradus, tmp_path / "model", ids, tmp_path)
    assert expected.isfinite().all()
    safetensors.torch.save_file(tensors | {"lm_head.weight": same + 0.1}, file)
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    result = gradus("model", "forward", tmp_path / "model", "--ids", tmp_path / "ids.json", "--out", tmp_path / "o.safetensors")
    assert result.returncode == 1 and "lm_head.weight: differs from model.embed_tokens.weight" in result.stderr


def test_names_without_the_prefix_are_read(gradus, tmp_path):
    """The published GPT-2 files leave out "transformer." and hold masks beside the weights."""
    model = tiny_models.make("gpt2", tmp_path / "model")
    file = tmp_path / "model" / "model.safetensors"
    tensors = {name.removeprefix("transformer."): t for name, t in safetensors.torch.load_file(file).items()}
    tensors["h.0.attn.bias"] = torch.ones(1, 1, 256, 256)
    safetensors.torch.save_file(tensors, file)
    ids = random_ids(model.config.vocab_size)
    with torch.no_grad():
        expected = model(ids).logits
    actual = forward(gradus, tmp_path / "model", ids.tolist(), tmp_path)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("llama", {"model_type": "unheard_of"}),
        ("llama", {"final_logit_softcapping": 30.0}),
        ("llama", {"num_local_experts": 4}),
        ("llama", {"hidden_act": "mish"}),
        ("llama", {"rope_parameters": {"rope_type": "spiral", "factor": 2.0}}),
        ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
        ("mpt", {"logit_scale": 0.5}),
        ("gemma3_text", {"use_bidirectional_attention": True}),
        ("qwen2", {"partial_rotary_factor": 0.3}),
        ("llama", {"is_causal": False}),
        ("llama", {"scale_emb": 12}),
        ("llama", {"use_alibi": True}),
        ("gemma3_text", {"attn_logit_softcapping": 3.0}),
        ("llama3_rope", {"rope_scaling": {"rope_type": "linear", "factor": 2.0}}),
    ],
)
def test_what_cannot_be_computed_is_refused_by_name(gradus, tmp_path, name, change):
    tiny_models.make(name, tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = {**json.loads(path.read_text()), **change}
    path.write_text(json.dumps(config))
    (tmp_path / "ids.json").write_text("[[1]]")
    result = gradus("model", "forward", tmp_path / "model", "--ids", tmp_path / "ids.json",
                    "--out", tmp_path / "logits.safetensors")
    assert result.returncode == 1 and result.stderr.count("\n") == 1
    key = next(iter(change))
    assert key.replace("rope_parameters", "rope type") in result.stderr


def test_the_imported_l0_equals_transformers_own_gguf_loading(gradus, l0_gguf, tmp_path):
    result = gradus("model", "import", l0_gguf, "--out", tmp_path / "l0", "--dtype", "float32")
    assert result.returncode == 0, result.stderr
    model = transformers.AutoModelForCausalLM.from_pretrained(
        l0_gguf.parent, gguf_file=l0_gguf.name, dtype=torch.float32
    )
    ids = random_ids(model.config.vocab_size, batch=1, length=64)
    with torch.no_grad():
        expected = model(ids).logits
    actual = forward(gradus, tmp_path / "l0", ids.tolist(), tmp_path)
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-3)
