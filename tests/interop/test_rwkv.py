# SPDX-License-Identifier: Apache-2.0
"""Recurrent models through every command, against transformers or the published equations."""

import json
import math

import plain_models
import pytest
import safetensors.torch
import serve_model
import test_quantize
import tiny_models
import torch
import train_models

FAMILIES = ["rwkv", "rwkv7"]
TARGETS = {
    "rwkv": ["receptance", "key", "value", "output"],  # of both mixings
    "rwkv7": ["r_proj", "k_proj", "v_proj", "o_proj", "key", "value"],
}


def run(gradus, *arguments):
    result = gradus(*arguments)
    assert result.returncode == 0, result.stderr
    return result.stdout


def logits_of(gradus, folder, ids, tmp_path):
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    out = tmp_path / "logits.safetensors"
    run(gradus, "model", "forward", folder, "--ids", tmp_path / "ids.json", "--dtype", "float32", "--out", out)
    return safetensors.torch.load_file(out)["logits"]


def set_weights(model, weights):
    """The named weights of a plain or a transformers model; all of them exist."""
    parameters = dict(model.named_parameters())
    with torch.no_grad():
        for name, value in weights.items():
            parameters[name].copy_(value)


def random_ids():
    return torch.randint(0, 256, (2, 45), generator=torch.Generator().manual_seed(2))


def expected_logits(model, ids):
    with torch.no_grad():
        return model(ids).logits


@pytest.mark.parametrize("name", FAMILIES)
def test_sft_with_lora_learns_and_its_adapter_adds_to_the_base(gradus, tmp_path, name):
    model = train_models.make(tmp_path / "base", name)
    path = train_models.write_run(
        tmp_path,
        train_models.write_chats(tmp_path / "chat.jsonl"),
        method="lora",
        lora={"rank": 8, "alpha": 16, "targets": TARGETS[name]},
        batch={"tokens_per_step": 300, "epochs": 12, "tokens_per_micro_batch": 128},
        optimizer={"lr": 5e-3},
    )
    run(gradus, "sft", path)
    losses = train_models.losses(tmp_path / "run")
    assert losses[-1] < 0.5 * losses[0]
    adapter = safetensors.torch.load_file(tmp_path / "run" / "adapter" / "adapter_model.safetensors")
    pairs = [key.removesuffix(".lora_A.weight") for key in adapter if key.endswith(".lora_A.weight")]
    leaves = {pair.rsplit(".", 1)[1] for pair in pairs}
    assert leaves == set(TARGETS[name])
    plain, weights = expected_logits(model, random_ids()), dict(model.named_parameters())
    set_weights(model, {
        target + ".weight": weights[target + ".weight"].detach()
        + 2 * adapter[pair + ".lora_B.weight"] @ adapter[pair + ".lora_A.weight"]
        for pair in pairs
        for target in [pair.removeprefix("base_model.model.")]
    })
    adapted = expected_logits(model, random_ids())
    assert (adapted - plain).abs().max() > 0.1
    merged = logits_of(gradus, tmp_path / "run" / "model", random_ids().tolist(), tmp_path)
    torch.testing.assert_close(merged, adapted, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("name", FAMILIES)
def test_the_loss_of_packed_documents_is_that_of_each_by_itself(gradus, tmp_path, name, packing):
    model = train_models.make(tmp_path / "base", name)
    source = train_models.write_texts(tmp_path / "train.jsonl", count=6, words=7)
    path = train_models.write_run(
        tmp_path,
        source,
        data={"context_length": 200, "packing": packing},
        batch={"tokens_per_step": 4096, "epochs": 1, "tokens_per_micro_batch": 512},
        optimizer={"lr": 1e-3},
    )
    run(gradus, "pretrain-continue", path)
    total = count = 0
    for line in source.read_text().splitlines():
        ids = [*json.loads(line)["text"].encode(), train_models.END]
        logits = expected_logits(model, torch.tensor([ids[:-1]]))[0]
        total += torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum").item()
        count += len(ids) - 1
    assert train_models.losses(tmp_path / "run")[0] == pytest.approx(total / count, rel=1e-5)


@pytest.mark.parametrize("scheme", ["int8", "int4"])
@pytest.mark.parametrize("name", FAMILIES)
def test_quantised_logits_are_those_of_the_quantised_weights(gradus, tmp_path, name, scheme):
    model = tiny_models.make(name, tmp_path / "model")
    tensors = test_quantize.quantize(gradus, tmp_path / "model", tmp_path / scheme, scheme)
    bases = [key.removesuffix("_scale") for key in tensors if key.endswith(".weight_scale")]
    assert len(bases) == 3 * (7 if name == "rwkv" else 6)  # the low-rank projections stay
    set_weights(model, {b: test_quantize.dequantised(tensors, b.removesuffix(".weight"), scheme) for b in bases})
    actual = logits_of(gradus, tmp_path / scheme, random_ids().tolist(), tmp_path)
    torch.testing.assert_close(actual, expected_logits(model, random_ids()), rtol=1e-4, atol=3e-4)


@pytest.mark.parametrize("name", FAMILIES)
def test_perplexity_and_choices_are_those_of_plain_passes(gradus, tmp_path, name):
    model = train_models.make(tmp_path / "model", name)
    texts = train_models.write_texts(tmp_path / "texts.jsonl", count=5, words=9)
    shared = train_models.sentences(1, 12)[0]
    questions = [{"prompt": f"{shared} {i}:", "choices": ["scan", "page log", "ro"], "gold": i % 3} for i in range(6)]
    train_models.write_jsonl(tmp_path / "questions.jsonl", questions)
    recipe = {
        "model": str(tmp_path / "model"),
        "out": str(tmp_path / "out"),
        "dtype": "float32",
        "batch_tokens": 150,
        "speed": {"prompt_tokens": 8, "new_tokens": 4, "repeats": 1},
        "tasks": [
            {"name": "ppl", "data": str(texts), "context_length": 200, "perplexity": {}},
            {"name": "choose", "data": str(tmp_path / "questions.jsonl"), "context_length": 200,
             "multiple_choice": {"prompt": {"answer_key": "gold"}}},
        ],
    }
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    run(gradus, "eval", tmp_path / "recipe.yaml")
    lines = [json.loads(line) for line in (tmp_path / "out" / "samples.jsonl").read_text().splitlines()]

    def score(context, continuation):
        log_probs = expected_logits(model, torch.tensor([(context + continuation)[:-1]]))[0].log_softmax(-1)
        return log_probs[-len(continuation) :].gather(1, torch.tensor(continuation)[:, None]).sum().item()

    begin = json.loads((tmp_path / "model" / "config.json").read_text())["bos_token_id"]
    scored = [line["scores"]["nll"] for line in lines if line["task"] == "ppl"]
    for row, nll in zip(texts.read_text().splitlines(), scored, strict=True):
        assert nll == pytest.approx(-score([begin], list(json.loads(row)["text"].encode())), rel=1e-4)
    answers = [line for line in lines if line["task"] == "choose"]
    for question, answer in zip(questions, answers, strict=True):
        prompt = list(question["prompt"].encode())
        theirs = [score(prompt, list(f" {choice}".encode())) for choice in question["choices"]]
        assert answer["log_likelihoods"] == pytest.approx(theirs, rel=1e-4)


def greedy(model, ids, count):
    """By full passes; the nearest rival of every choice must be clear."""
    ids = list(ids)
    for _ in range(count):
        row = expected_logits(model, torch.tensor([ids]))[0, -1]
        best = row.topk(2).values
        assert best[0] - best[1] > 1e-3
        ids.append(int(row.argmax()))
    return ids[-count:]


@pytest.mark.parametrize("name", FAMILIES)
def test_served_greedy_answers_are_those_of_full_passes(tmp_path, name):
    model = train_models.make(tmp_path / "model", name, seed=1)
    prompts = [list(text.encode()) for text in ["the table index", "a planner scans rows that vacuum", "log"]]
    expected = [greedy(model, prompt, 10) for prompt in prompts]
    engine = ["max_sequences=2", "context_length=128", "prefill_tokens=16"]
    options = ["dtype=float32", *(f"engine.{option}" for option in engine)]
    with serve_model.serving(tmp_path / "model", *options) as server:
        request = {"model": "tiny", "prompt": prompts, "temperature": 0, "max_tokens": 10}
        status, _, text = server.post("/v1/completions", request)
        assert status == 200, text
        for choice, ids in zip(json.loads(text)["choices"], expected, strict=True):
            kept = ids[: ids.index(train_models.END)] if train_models.END in ids else ids
            assert choice["text"] == bytes(i for i in kept if i < 256).decode(errors="replace")


@pytest.mark.parametrize("name", FAMILIES)
def test_inspect_tells_the_state_in_place_of_a_cache(gradus, tmp_path, name):
    model = tiny_models.make(name, tmp_path / "model")
    report = json.loads(run(gradus, "model", "inspect", tmp_path / "model", "--json"))
    numbers = sum(parameter.numel() for _, parameter in model.named_parameters())
    assert report["parameters"]["total"] == numbers
    state = {"rwkv": 3 * 64, "rwkv7": 4 * 16 * 16}[name]  # fp32; and two rows of bf16
    assert set(report["parameters"]["by_part"]) == {"embedding", "attention", "mlp", "norms", "output"}
    assert report["kv_cache"] is None
    assert report["state_bytes"] == 3 * (4 * state + 2 * 2 * 64)



def restack(folder, change=lambda tensors: None):
    """The files of flash-linear-attention's first version: how tokens are mixed is one tensor."""
    file = folder / "model.safetensors"
    tensors = safetensors.torch.load_file(file)
    for i in range(3):
        a = f"model.layers.{i}.attn."
        parts = [tensors.pop(f"{a}x_{letter}") for letter in "rwkvag"]
        tensors[a + "x_x"] = torch.cat(parts).flatten(1)
    change(tensors)
    safetensors.torch.save_file(tensors, file, metadata={"format": "pt"})


def test_both_layouts_of_flash_linear_attention_are_one_model(gradus, tmp_path):
    model = tiny_models.make("rwkv7", tmp_path / "model")
    ids = random_ids()
    theirs = expected_logits(model, ids)
    single = logits_of(gradus, tmp_path / "model", ids.tolist(), tmp_path)
    # Some files hold a projection of the first layer that nothing uses.
    unused = {f"model.layers.0.attn.v_lora.lora.{leaf}": torch.ones(3, 3) for leaf in ("0.weight", "2.weight", "2.bias")}
    restack(tmp_path / "model", lambda tensors: tensors.update(unused))
    (tmp_path / "logits.safetensors").unlink()
    stacked = logits_of(gradus, tmp_path / "model", ids.tolist(), tmp_path)
    torch.testing.assert_close(single, theirs, rtol=1e-4, atol=1e-4)
    assert torch.equal(stacked, single)


@pytest.mark.parametrize("rows", [5, 7])
def test_a_stack_of_another_size_is_refused_by_name(gradus, tmp_path, rows):
    tiny_models.make("rwkv7", tmp_path / "model")
    restack(tmp_path / "model", lambda tensors: tensors.update({"model.layers.1.attn.x_x": torch.zeros(rows, 64)}))
    (tmp_path / "ids.json").write_text("[[1]]")
    done = gradus("model", "forward", tmp_path / "model", "--ids", tmp_path / "ids.json", "--out", tmp_path / "o.safetensors")
    assert done.returncode == 1 and done.stderr.count("\n") == 1
    assert "layers.1.attn.x_x" in done.stderr and "[6,64]" in done.stderr


def test_rescaling_of_transformers_is_another_epsilon_of_norms(gradus, tmp_path):
    """Out of training transformers halves RWKV-4's stream again and again, as float16 needs; the
    authors' code does so in float16 alone. Norms take it out again, but for their epsilon."""
    model = tiny_models.make("rwkv", tmp_path / "model", rescale_every=1)
    ids = random_ids()
    ours = logits_of(gradus, tmp_path / "model", ids.tolist(), tmp_path)
    torch.testing.assert_close(ours, expected_logits(model.train(), ids), rtol=1e-4, atol=1e-4)
    rescaled = expected_logits(model.eval(), ids)
    assert 0 < (rescaled - ours).abs().max() < 1e-3
    for i, block in enumerate(model.rwkv.blocks):
        block.ln1.eps = block.ln2.eps = 1e-5 / 4**i
    model.rwkv.ln_out.eps = 1e-5 / 4**3
    torch.testing.assert_close(ours, expected_logits(model, ids), rtol=1e-4, atol=5e-5)
