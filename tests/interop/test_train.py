# SPDX-License-Identifier: Apache-2.0
"""The training commands against PyTorch, PEFT and TensorBoard, and against being interrupted."""

import importlib
import hashlib
import json
import os
import pathlib
import random
import signal
import subprocess
import time

import pytest
import torch
import train_models
import transformers

LR, DECAY, CLIP = 2e-3, 0.1, 0.5


def data_section(folder, source, held_out=None, **changes):
    section = {
        "sources": [{"name": "main", "path": str(source)}],
        "context_length": 128,
        "cache_dir": str(folder / "cache"),
    }
    if held_out:
        section["evaluation"] = [{"name": "held", "path": str(held_out)}]
    return {**section, **changes}


def recipe(folder, name, **changes):
    keys = {
        "model": str(folder / "base"),
        "output": str(folder / name),
        "device": "cpu",
        "dtype": "float32",
        "seed": 3,
        "threads": 1,
        "batch": {"tokens_per_step": 200, "epochs": 2, "tokens_per_micro_batch": 128},
        "optimizer": {"lr": LR, "weight_decay": DECAY, "max_grad_norm": CLIP},
        "checkpoint": {"every_steps": 4},
        "peak_tflops": 1.0,
    }
    keys.update(changes)
    return train_models.write_recipe(folder / f"{name}.yaml", **keys)


@pytest.fixture
def texts(tmp_path):
    """A tiny model and 24 documents in tmp_path."""
    train_models.make(tmp_path / "base")
    train_models.write_texts(tmp_path / "train.jsonl")
    train_models.write_texts(tmp_path / "held.jsonl", count=6, seed=9)
    return tmp_path


def digests(folder):
    names = sorted(p.name for p in folder.iterdir() if p.name != "lineage.json")
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def start(path, command="pretrain-continue"):
    root = pathlib.Path(__file__).resolve().parents[2]
    binary = os.environ.get("GRADUS_BINARY", root / "build" / "gradus")
    return subprocess.Popen([str(binary), command, str(path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def parameter_groups(model):
    matrices = [p for n, p in model.named_parameters() if p.ndim > 1 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim == 1 or "embed" in n]
    return [{"params": matrices, "weight_decay": DECAY}, {"params": others, "weight_decay": 0.0}]


def pytorch_losses(model, documents, steps, schedule):
    """AdamW on batches of the whole data set, every document padded for itself."""
    optimizer = torch.optim.AdamW(parameter_groups(model), lr=LR, betas=(0.9, 0.95), eps=1e-8)
    losses = []
    for step in range(steps):
        total = sum(len(ids) - 1 for ids in documents)
        loss = 0
        for ids in documents:
            logits = model(torch.tensor([ids[:-1]])).logits[0].float()
            loss = loss + torch.nn.functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum") / total
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        for group in optimizer.param_groups:
            group["lr"] = LR * schedule(step)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses


@pytest.mark.parametrize("name", ["llama", "llama_tied", "llama_biases", "mistral_window", "qwen2", "qwen3"])
def test_losses_and_weights_follow_a_pytorch_loop(gradus, tmp_path, name):
    model = train_models.make(tmp_path / "base", name)
    source = train_models.write_texts(tmp_path / "train.jsonl", count=6)
    steps = 5
    path = recipe(
        tmp_path,
        "run",
        data=data_section(tmp_path, source),
        batch={"sequences_per_step": 6, "steps": steps, "sequences_per_micro_batch": 4, "tokens_per_micro_batch": 512},
        schedule={"kind": "linear", "warmup_steps": 2, "min_lr_ratio": 0.0},
    )
    result = gradus("pretrain-continue", path, "data.packing=false")
    assert result.returncode == 0, result.stderr
    texts = [json.loads(line)["text"] for line in source.read_text().splitlines()]
    documents = [[*text.encode(), train_models.END] for text in texts]

    def schedule(step):
        return (step + 1) / 2 if step < 2 else 1 - (step - 2) / (steps - 2)

    expected = pytorch_losses(model.train(), documents, steps, schedule)
    assert train_models.losses(tmp_path / "run") == pytest.approx(expected, rel=2e-5)
    trained = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "run" / "model", dtype=torch.float32)
    reference = dict(model.named_parameters())
    for name, parameter in trained.named_parameters():
        torch.testing.assert_close(parameter, reference[name], rtol=2e-4, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")


def test_kill_and_terminate_at_any_moment_give_the_undisturbed_result(gradus, texts):
    data = data_section(texts, texts / "train.jsonl", texts / "held.jsonl")
    settings = dict(data=data, evaluation={"every_steps": 5, "best": "held"}, batch={"tokens_per_step": 200, "epochs": 12})
    whole = gradus("pretrain-continue", recipe(texts, "whole", **settings))
    assert whole.returncode == 0, whole.stderr
    path, generator = recipe(texts, "broken", **settings), random.Random(4)
    interruptions = 0
    for attempt in range(40):
        process = start(path)
        time.sleep(generator.uniform(0.15, 0.9))
        if process.poll() is None:
            process.send_signal(signal.SIGKILL if attempt % 2 else signal.SIGTERM)
            interruptions += 1
        output, errors = process.communicate(timeout=60)
        if process.returncode == 0:
            break
        assert process.returncode in (-signal.SIGKILL, -signal.SIGTERM, 143), errors
    else:
        assert gradus("pretrain-continue", path).returncode == 0
    assert interruptions >= 1
    assert train_models.losses(texts / "broken") == train_models.losses(texts / "whole")
    assert digests(texts / "broken" / "model") == digests(texts / "whole" / "model")


def test_sigterm_leaves_a_checkpoint_and_says_143(gradus, texts):
    path = recipe(texts, "run", data=data_section(texts, texts / "train.jsonl"), batch={"tokens_per_step": 200, "epochs": 500})
    process = start(path)
    metrics = texts / "run" / "metrics.jsonl"
    for _ in range(200):
        if metrics.exists() and metrics.stat().st_size > 0:
            break
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 143, errors
    assert list((texts / "run" / "checkpoints").glob("step-*"))


def test_a_finished_run_is_not_repeated_and_other_recipes_are_refused(gradus, texts):
    path = recipe(texts, "run", data=data_section(texts, texts / "train.jsonl"), batch={"tokens_per_step": 200, "steps": 3})
    assert gradus("pretrain-continue", path).returncode == 0
    before = (texts / "run" / "metrics.jsonl").read_bytes()
    again = gradus("pretrain-continue", path, "--json")
    assert again.returncode == 0 and "finished run" in again.stderr
    assert json.loads(again.stdout)["steps"] == 3
    assert (texts / "run" / "metrics.jsonl").read_bytes() == before
    other = gradus("pretrain-continue", path, "optimizer.lr=0.5")
    assert other.returncode == 1 and "optimizer.lr" in other.stderr
    data = texts / "train.jsonl"
    data.write_text(data.read_text() + '{"text": "one more"}\n')
    changed = gradus("pretrain-continue", path)
    assert changed.returncode == 1 and "is not the same now" in changed.stderr and "train.jsonl" in changed.stderr


def test_a_second_process_on_the_same_run_is_refused(gradus, texts):
    path = recipe(texts, "run", data=data_section(texts, texts / "train.jsonl"), batch={"tokens_per_step": 200, "epochs": 500})
    first = start(path)
    try:
        for _ in range(200):
            if (texts / "run" / "metrics.jsonl").exists():
                break
            time.sleep(0.05)
        second = gradus("pretrain-continue", path)
        assert second.returncode == 1 and str(first.pid) in second.stderr
    finally:
        first.kill()
        first.communicate()


def test_tensorboard_reads_what_metrics_tell(gradus, texts):
    event_accumulator = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    data = data_section(texts, texts / "train.jsonl", texts / "held.jsonl")
    path = recipe(texts, "run", data=data, evaluation={"every_steps": 2})
    assert gradus("pretrain-continue", path).returncode == 0
    events = event_accumulator.EventAccumulator(str(texts / "run" / "tensorboard"))
    events.Reload()
    losses = [(event.step, event.value) for event in events.Scalars("train/loss")]
    expected = train_models.losses(texts / "run")
    assert [step for step, _ in losses] == list(range(1, len(expected) + 1))
    assert [value for _, value in losses] == pytest.approx(expected, rel=1e-6)
    assert events.Scalars("eval/held/perplexity")[-1].value < events.Scalars("eval/held/perplexity")[0].value


def test_a_loss_that_is_not_finite_names_step_and_documents(gradus, texts):
    path = recipe(
        texts,
        "run",
        data=data_section(texts, texts / "train.jsonl"),
        optimizer={"lr": 1e38},
        checkpoint={"every_steps": 1},
    )
    result = gradus("pretrain-continue", path)
    assert result.returncode == 1
    assert "step 2" in result.stderr and "main: documents" in result.stderr and "not finite" in result.stderr
    assert not (texts / "run" / "model").exists()


@pytest.fixture
def chats(tmp_path):
    train_models.make(tmp_path / "base")
    train_models.write_chats(tmp_path / "chat.jsonl")
    return tmp_path


def logits(folder_or_model, ids):
    model = folder_or_model
    if isinstance(model, pathlib.Path):
        model = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    with torch.no_grad():
        return model(ids).logits


def test_sft_with_lora_learns_and_peft_reads_the_adapter(gradus, chats):
    peft = importlib.import_module("peft")
    path = recipe(
        chats,
        "run",
        data=data_section(chats, chats / "chat.jsonl"),
        method="lora",
        lora={"rank": 8, "alpha": 16, "use_rslora": True},
        batch={"tokens_per_step": 300, "epochs": 12},
        optimizer={"lr": 5e-3},
    )
    result = gradus("sft", path)
    assert result.returncode == 0, result.stderr
    losses = train_models.losses(chats / "run")
    assert losses[-1] < 0.5 * losses[0]
    ids = torch.randint(0, 256, (2, 30), generator=torch.Generator().manual_seed(2))
    base = transformers.AutoModelForCausalLM.from_pretrained(chats / "base", dtype=torch.float32)
    plain = logits(base, ids)
    adapted = logits(peft.PeftModel.from_pretrained(base, chats / "run" / "adapter"), ids)
    merged = logits(chats / "run" / "model", ids)
    assert (adapted - plain).abs().max() > 0.1
    torch.testing.assert_close(merged, adapted, rtol=1e-4, atol=1e-3)


def test_sft_refuses_plain_text(gradus, texts):
    result = gradus("sft", recipe(texts, "run", data=data_section(texts, texts / "train.jsonl")))
    assert result.returncode == 1 and "pretrain-continue" in result.stderr


def distill_recipe(folder, name, **changes):
    path = recipe(folder, name, data=data_section(folder, folder / "chat.jsonl"), **changes)
    import yaml

    keys = yaml.safe_load(path.read_text())
    keys.pop("model")
    keys["student"] = {"from": str(folder / "base"), "keep_layers": [0, 2]}
    return train_models.write_recipe(path, **keys)


def test_distillation_comes_closer_to_the_teacher_than_plain_training(gradus, chats):
    batch = {"tokens_per_step": 300, "epochs": 8}
    teacher = {"teacher": str(chats / "base")}
    for name, keys in [("taught", teacher), ("alone", {})]:
        result = gradus("distill", distill_recipe(chats, name, batch=batch, **keys))
        assert result.returncode == 0, result.stderr
        assert json.loads((chats / name / "model" / "config.json").read_text())["num_hidden_layers"] == 2
    taught, alone = train_models.losses(chats / "taught"), train_models.losses(chats / "alone")
    assert taught[-1] < 0.5 * taught[0] and alone[-1] < alone[0]


def test_distill_refuses_another_tokenizer(gradus, chats):
    train_models.make(chats / "other")
    tokenizer = json.loads((chats / "other" / "tokenizer.json").read_text())
    tokenizer["added_tokens"][0]["content"] = "<|other|>"
    (chats / "other" / "tokenizer.json").write_text(json.dumps(tokenizer))
    path = distill_recipe(chats, "run", teacher=str(chats / "other"))
    result = gradus("distill", path)
    assert result.returncode == 1 and "tokenizer" in result.stderr
    assert not (chats / "run").exists()


def test_distill_takes_a_teacher_whose_chat_template_alone_differs(gradus, chats):
    train_models.make(chats / "other")
    settings = json.loads((chats / "other" / "tokenizer_config.json").read_text())
    settings["chat_template"] += "{# another #}"
    (chats / "other" / "tokenizer_config.json").write_text(json.dumps(settings))
    result = gradus("distill", distill_recipe(chats, "run", teacher=str(chats / "other")), "--check")
    assert result.returncode == 0, result.stderr


def test_a_quantised_parent_is_refused_before_the_data_are_read(gradus, chats):
    result = gradus("quantize", f"model={chats / 'base'}", f"out={chats / 'int8'}", "scheme=int8")
    assert result.returncode == 0, result.stderr
    path = recipe(chats, "run", model=str(chats / "int8"), data=data_section(chats, chats / "chat.jsonl"))
    result = gradus("sft", path)
    assert result.returncode == 1 and "quantised model cannot be trained" in result.stderr
    assert not (chats / "run").exists()


def test_check_print_config_and_schema_touch_nothing(gradus, texts):
    path = recipe(texts, "run", data=data_section(texts, texts / "train.jsonl"))
    assert gradus("pretrain-continue", path, "--check").stdout == "ok\n"
    printed = gradus("pretrain-continue", path, "--print-config", "optimizer.lr=0.25").stdout
    assert "lr: 0.25" in printed
    assert json.loads(gradus("sft", "--schema").stdout)["properties"]["method"]
    assert not (texts / "run").exists()
    layers = gradus("pretrain-continue", path, "--check", "method=freeze", "freeze={layers: [7]}")
    assert layers.returncode == 1 and "freeze.layers" in layers.stderr and "found 7" in layers.stderr
    device = gradus("pretrain-continue", path, "--check", "device=tpu")
    assert device.returncode == 1 and "unknown device" in device.stderr
    (texts / "foreign").mkdir()
    (texts / "foreign" / "precious").write_text("x")
    foreign = gradus("pretrain-continue", path, "--check", f"output={texts}/foreign")
    assert foreign.returncode == 1 and "not a run folder" in foreign.stderr
    wrong = gradus("pretrain-continue", path, "optimizer.lrr=1", "batch.tokens_per_step=x")
    assert wrong.returncode == 1 and "lrr" in wrong.stderr and "tokens_per_step" in wrong.stderr
