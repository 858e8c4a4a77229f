# SPDX-License-Identifier: Apache-2.0
"""Merging several: adapters as PEFT's add_weighted_adapter combines them, models by mergekit's equations."""

import json
import pathlib

import numpy as np
import peft
import pytest
import safetensors.torch
import tiny_models
import torch
import transformers
from test_adapter import lineage, logits, make_adapter
from test_model_forward import forward, random_ids

WEIGHTS = [0.7, -0.4, 1.3]
ADAPTERS = [
    dict(seed=1, target_modules=["q_proj", "v_proj"]),
    dict(seed=2, target_modules=["q_proj", "up_proj"], use_rslora=True, lora_alpha=3),
    dict(seed=3, target_modules=["q_proj", "v_proj", "embed_tokens"], lora_alpha=9),
]


def merge(gradus, tmp_path, **recipe):
    path = tmp_path / "merge.yaml"
    recipe = {"out": str(tmp_path / "merged"), **recipe}
    path.write_text(json.dumps(recipe))
    result = gradus("model", "merge", path)
    assert result.returncode == 0, result.stderr
    return safetensors.torch.load_file(pathlib.Path(recipe["out"]) / "model.safetensors")


def adapter_parts(tmp_path, count, **extra):
    return [{"path": str(tmp_path / str(i)), "weight": WEIGHTS[i], **extra} for i in range(count)]


def combined_by_peft(tmp_path, count, **options):
    model = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    adapted = peft.PeftModel.from_pretrained(model, tmp_path / "0", adapter_name="0")
    for i in range(1, count):
        adapted.load_adapter(tmp_path / str(i), adapter_name=str(i))
    adapted.add_weighted_adapter([str(i) for i in range(count)], WEIGHTS[:count], "all", **options)
    adapted.set_adapter("all")
    return adapted.eval()


@pytest.mark.parametrize("method, density", [("linear", None), ("cat", None), ("ties", 0.4), ("ties", 1.0), ("magnitude_prune", 0.3), ("dare_linear", 1.0), ("dare_ties", 1.0)])
def test_adapters_are_combined_as_peft_does(gradus, tmp_path, method, density):
    tiny_models.make("llama", tmp_path / "base")
    for i, config in enumerate(ADAPTERS):
        make_adapter(tmp_path, tmp_path / "base", str(i), **config)
    extra = {"density": density} if density else {}
    merge(gradus, tmp_path, base=str(tmp_path / "base"), method=method, adapters=adapter_parts(tmp_path, 3, **extra))
    theirs = combined_by_peft(tmp_path, 3, combination_type=method, **extra)
    ids = random_ids(320)
    expected = logits(theirs, ids)
    base = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "base", dtype=torch.float32)
    assert (expected - logits(base, ids)).abs().max() > 0.1
    torch.testing.assert_close(forward(gradus, tmp_path / "merged", ids.tolist(), tmp_path), expected, rtol=1e-4, atol=5e-4)
    record = lineage(tmp_path / "merged")
    assert [p["role"] for p in record["parents"]] == ["base", "adapter", "adapter", "adapter"]
    assert [p["weight"] for p in record["training"]["merged"]] == WEIGHTS
    assert [p["digest"] for p in record["training"]["merged"]] == [p["digest"] for p in record["parents"][1:]]


def test_cat_takes_other_ranks_and_is_the_default_and_linear_refuses_them(gradus, tmp_path):
    tiny_models.make("llama", tmp_path / "base")
    make_adapter(tmp_path, tmp_path / "base", "0", target_modules=["q_proj"], r=3)
    make_adapter(tmp_path, tmp_path / "base", "1", target_modules=["q_proj"], r=5)
    parts = adapter_parts(tmp_path, 2)
    merge(gradus, tmp_path, base=str(tmp_path / "base"), adapters=parts)
    ids = random_ids(320)
    expected = logits(combined_by_peft(tmp_path, 2, combination_type="cat"), ids)
    torch.testing.assert_close(forward(gradus, tmp_path / "merged", ids.tolist(), tmp_path), expected, rtol=1e-4, atol=5e-4)
    refused = gradus("model", "merge", tmp_path / "merge.yaml", "method=linear", f"out={tmp_path / 'x'}")
    assert refused.returncode == 1 and "one rank" in refused.stderr and "cat" in refused.stderr


def test_adapters_that_no_sum_describes_are_refused(gradus, tmp_path):
    tiny_models.make("llama", tmp_path / "base")
    make_adapter(tmp_path, tmp_path / "base", "0", target_modules=["q_proj"])
    make_adapter(tmp_path, tmp_path / "base", "1", target_modules=["q_proj"], use_dora=True)
    make_adapter(tmp_path, tmp_path / "base", "2", target_modules=["q_proj"], modules_to_save=["norm"])
    for other in ["1", "2"]:
        recipe = {"base": str(tmp_path / "base"), "out": str(tmp_path / "x"), "adapters": [{"path": str(tmp_path / n)} for n in ["0", other]]}
        (tmp_path / "bad.yaml").write_text(json.dumps(recipe))
        result = gradus("model", "merge", tmp_path / "bad.yaml")
        assert result.returncode == 1 and "cannot be combined" in result.stderr and not (tmp_path / "x").exists()


# mergekit's equations (merge_methods/linear.py, generalized_task_arithmetic.py, slerp.py).
def linear(tensors, weights, normalize=True):
    total = sum(w * t for w, t in zip(weights, tensors))
    return total / sum(weights) if normalize else total


def slerp(first, second, t):
    a, b = first.astype(np.float64), second.astype(np.float64)
    dot = np.sum((a / np.linalg.norm(a)) * (b / np.linalg.norm(b)))
    if abs(dot) > 0.9995:
        return (1 - t) * a + t * b
    angle = np.arccos(dot)
    return np.sin(angle * (1 - t)) / np.sin(angle) * a + np.sin(angle * t) / np.sin(angle) * b


def task_arithmetic(base, tensors, weights, factor=1.0, normalize=False):
    delta = sum(w * (t - base) for w, t in zip(weights, tensors))
    return base + factor * (delta / sum(weights) if normalize else delta)


def ties(base, tensors, weights, densities, factor=1.0, normalize=True):
    deltas = []
    for tensor, density in zip(tensors, densities):
        delta = (tensor - base).ravel()
        kept = np.argsort(-np.abs(delta), kind="stable")[: int(density * delta.size)]
        mask = np.zeros(delta.size, dtype=np.float32)
        mask[kept] = 1
        deltas.append((delta * mask).reshape(base.shape))
    deltas = np.stack(deltas)
    weights = np.array(weights, dtype=np.float32).reshape(-1, *[1] * base.ndim)
    weighted = deltas * weights
    sign = np.where(weighted.sum(0) >= 0, 1, -1)
    mask = np.sign(weighted) == sign
    mixed = (weighted * mask).sum(0)
    divisor = (weights * mask).sum(0)
    divisor[divisor == 0] = 1
    return base + factor * (mixed / divisor if normalize else mixed)


@pytest.fixture
def models(tmp_path):
    """A base and three models that differ from it, as state dicts in numpy."""
    for i in range(4):
        tiny_models.make("qwen3", tmp_path / str(i), seed=0)
    base = safetensors.torch.load_file(tmp_path / "0" / "model.safetensors")
    generator = torch.Generator().manual_seed(4)
    states = [base]
    for i in range(1, 4):
        state = {n: t + 0.1 * torch.randn(t.shape, generator=generator) for n, t in base.items()}
        safetensors.torch.save_file(state, tmp_path / str(i) / "model.safetensors", metadata={"format": "pt"})
        states.append(state)
    return [{n: t.numpy() for n, t in state.items()} for state in states]


MODEL_CASES = {
    "linear": (dict(method="linear"), lambda b, t: linear(t, WEIGHTS)),
    "linear_sum": (dict(method="linear", normalize=False), lambda b, t: linear(t, WEIGHTS, False)),
    "task_arithmetic": (dict(method="task_arithmetic", **{"lambda": 0.5}), lambda b, t: task_arithmetic(b, t, WEIGHTS, 0.5)),
    "task_arithmetic_mean": (dict(method="task_arithmetic", normalize=True), lambda b, t: task_arithmetic(b, t, WEIGHTS, normalize=True)),
    "ties": (dict(method="ties"), lambda b, t: ties(b, t, WEIGHTS, [0.3, 0.5, 1.0])),
    "ties_sum": (dict(method="ties", normalize=False, **{"lambda": 2.0}), lambda b, t: ties(b, t, WEIGHTS, [0.3, 0.5, 1.0], 2.0, False)),
    "dare_linear": (dict(method="dare_linear"), lambda b, t: task_arithmetic(b, t, WEIGHTS)),
    "dare_ties": (dict(method="dare_ties"), lambda b, t: ties(b, t, WEIGHTS, [1.0, 1.0, 1.0], normalize=False)),
    "slerp": (dict(method="slerp", t=0.3), lambda b, t: slerp(t[0], t[1], 0.3)),
}


@pytest.mark.parametrize("name", sorted(MODEL_CASES))
def test_models_are_merged_by_mergekits_equations(gradus, tmp_path, models, name):
    recipe, expected = MODEL_CASES[name]
    method, count = recipe["method"], 2 if recipe["method"] == "slerp" else 3
    parts = [{"path": str(tmp_path / str(i + 1)), "weight": WEIGHTS[i], "density": [0.3, 0.5, 1.0][i]} for i in range(count)]
    keys = {"path", *(["weight"] if method != "slerp" else []), *(["density"] if method == "ties" else [])}
    parts = [{k: v for k, v in part.items() if k in keys} for part in parts]
    base = {} if method in ("linear", "slerp") else {"base": str(tmp_path / "0")}
    merged = merge(gradus, tmp_path, models=parts, **base, **recipe)
    assert merged.keys() == models[0].keys()
    for tensor, value in merged.items():
        wanted = expected(models[0][tensor], [state[tensor] for state in models[1:]])
        torch.testing.assert_close(value, torch.tensor(wanted, dtype=torch.float32), rtol=1e-5, atol=2e-6, msg=lambda m, n=tensor: f"{n}: {m}")
    roles = [p["role"] for p in lineage(tmp_path / "merged")["parents"]]
    assert roles == ["base"] * len(base) + ["model"] * count
    assert [p["weight"] for p in lineage(tmp_path / "merged")["training"]["merged"]] == (WEIGHTS if count == 3 else [1.0, 1.0])


def test_a_pipeline_merges_and_does_it_again_only_when_something_changed(gradus, tmp_path):
    tiny_models.make("llama", tmp_path / "base")
    for i in range(2):
        make_adapter(tmp_path, tmp_path / "base", str(i), **ADAPTERS[i])
    recipe = {
        "out": str(tmp_path / "run"),
        "vars": {"share": 0.5},
        "stages": [
            {"name": "int8", "command": "quantize", "recipe": {"model": str(tmp_path / "both"), "out": str(tmp_path / "int8"), "scheme": "int8"}},
            {"name": "both", "command": "model merge", "recipe": {
                "base": str(tmp_path / "base"), "out": str(tmp_path / "both"), "method": "ties",
                "adapters": [{"path": str(tmp_path / "0"), "weight": "${share}", "density": 0.5}, {"path": str(tmp_path / "1"), "weight": 0.3}]}},
        ],
    }
    (tmp_path / "pipeline.yaml").write_text(json.dumps(recipe))

    def run(*changes):
        result = gradus("run", tmp_path / "pipeline.yaml", "--json", *changes)
        assert result.returncode == 0, result.stderr
        return {stage["name"]: stage["status"] for stage in json.loads(result.stdout)["stages"]}

    ran = run()
    assert ran["both"] == ran["int8"] != "up to date"
    assert [p["weight"] for p in lineage(tmp_path / "both")["training"]["merged"]] == [0.5, 0.3]
    assert lineage(tmp_path / "int8")["parents"][0]["lineage"]["kind"] == "merge"
    assert set(run().values()) == {"up to date"}
    assert set(run("vars.share=0.6").values()) == {ran["both"]}
    assert [p["weight"] for p in lineage(tmp_path / "both")["training"]["merged"]] == [0.6, 0.3]
    make_adapter(tmp_path, tmp_path / "base", "1", **(ADAPTERS[1] | {"seed": 9}))
    assert set(run("vars.share=0.6").values()) == {ran["both"]}


def test_slerp_takes_the_line_where_two_tensors_have_one_direction(gradus, tmp_path):
    tiny_models.make("llama", tmp_path / "1")
    tiny_models.make("llama", tmp_path / "2")
    merged = merge(gradus, tmp_path, models=[{"path": str(tmp_path / "1")}, {"path": str(tmp_path / "2")}], method="slerp")
    for tensor, value in safetensors.torch.load_file(tmp_path / "1" / "model.safetensors").items():
        torch.testing.assert_close(merged[tensor], value)


@pytest.mark.parametrize("method", ["dare_linear", "dare_ties"])
def test_dare_keeps_a_share_rescaled_and_repeats_by_its_seed(gradus, tmp_path, models, method):
    recipe = dict(base=str(tmp_path / "0"), models=[{"path": str(tmp_path / "1"), "density": 0.25}], method=method)
    first, again, other = [
        merge(gradus, tmp_path, **recipe, seed=seed, out=str(tmp_path / f"out{i}")) for i, seed in enumerate([7, 7, 8])
    ]
    name = "model.embed_tokens.weight"
    assert all(torch.equal(first[n], again[n]) for n in first)
    assert not torch.equal(first[name], other[name])
    delta = torch.tensor(models[1][name] - models[0][name])
    change = first[name] - torch.tensor(models[0][name])
    kept = change.abs() > 1e-6
    assert abs(kept.float().mean() - 0.25) < 0.02
    torch.testing.assert_close(change[kept], delta[kept] / 0.25, rtol=1e-3, atol=1e-5)


def test_models_that_do_not_go_together_are_refused_by_name(gradus, tmp_path):
    tiny_models.make("llama", tmp_path / "1")
    tiny_models.make("llama_tied", tmp_path / "2")
    tiny_models.make("llama", tmp_path / "3")
    config = json.loads((tmp_path / "3" / "config.json").read_text())
    (tmp_path / "3" / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.5}))
    tiny_models.make("llama", tmp_path / "4")
    config.pop("rope_parameters")  # as older files tell it: no key that both have differs
    (tmp_path / "4" / "config.json").write_text(json.dumps({**config, "rope_theta": 500000.0}))
    for other, words in [("2", "tie_word_embeddings"), ("3", "rms_norm_eps"), ("4", "rotary")]:
        recipe = {"models": [{"path": str(tmp_path / "1")}, {"path": str(tmp_path / other)}], "method": "linear", "out": str(tmp_path / "x")}
        (tmp_path / "bad.yaml").write_text(json.dumps(recipe))
        for flags in [[], ["--check"]]:
            result = gradus("model", "merge", tmp_path / "bad.yaml", *flags)
            assert result.returncode == 1 and words in result.stderr and not (tmp_path / "x").exists()
    for change, words in [("method=cat", "method"), ("method=ties", "base"), ("t=0.2", "slerp"), ("lambda=2", "lambda"), ("models.0.density=0.5", "density")]:
        result = gradus("model", "merge", tmp_path / "bad.yaml", change)
        assert result.returncode == 1 and words in result.stderr, (change, result.stderr)
