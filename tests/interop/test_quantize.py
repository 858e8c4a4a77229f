# SPDX-License-Identifier: Apache-2.0
"""Quantised folders against the compressed-tensors package and transformers."""

import json

import pytest
import safetensors.torch
import tiny_models
import torch
import transformers
from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32


def quantize(gradus, model, out, scheme):
    groups = ["group_size=16"] if scheme == "int4" else []
    result = gradus("quantize", f"model={model}", f"out={out}", f"scheme={scheme}", *groups)
    assert result.returncode == 0, result.stderr
    return safetensors.torch.load_file(out / "model.safetensors")


def logits(gradus, folder, ids, tmp_path):
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    out = tmp_path / f"{folder.name}.safetensors"
    result = gradus("model", "forward", folder, "--ids", tmp_path / "ids.json", "--dtype", "float32", "--out", out)
    assert result.returncode == 0, result.stderr
    return safetensors.torch.load_file(out)["logits"]


def dequantised(tensors, name, scheme):
    scale = tensors[name + ".weight_scale"].float()
    if scheme == "int8":
        return tensors[name + ".weight"].float() * scale
    shape = torch.Size(tensors[name + ".weight_shape"].tolist())
    values = unpack_from_int32(tensors[name + ".weight_packed"], 4, shape).float()
    return values * scale.repeat_interleave(shape[1] // scale.shape[1], dim=1)


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_logits_equal_those_of_the_weights_that_compressed_tensors_reads(gradus, tmp_path, scheme):
    model = tiny_models.make("llama", tmp_path / "model")
    tensors = quantize(gradus, tmp_path / "model", tmp_path / scheme, scheme)
    state = model.state_dict()
    changed = 0
    for name in list(state):
        base = name.removesuffix(".weight")
        if base + ".weight_scale" not in tensors:
            continue
        exact = state[name]
        state[name] = dequantised(tensors, base, scheme)
        assert (state[name] - exact).norm() < (0.02 if scheme == "int8" else 0.15) * exact.norm()
        changed += 1
    assert changed == 3 * 7
    model.load_state_dict(state)
    ids = torch.randint(0, 320, (2, 30), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(ids).logits
    torch.testing.assert_close(logits(gradus, tmp_path / scheme, ids.tolist(), tmp_path), expected, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_the_config_is_one_that_compressed_tensors_accepts(gradus, tmp_path, scheme):
    from compressed_tensors.quantization import QuantizationConfig

    tiny_models.make("llama", tmp_path / "model")
    quantize(gradus, tmp_path / "model", tmp_path / scheme, scheme)
    document = json.loads((tmp_path / scheme / "config.json").read_text())["quantization_config"]
    config = QuantizationConfig.model_validate(document)
    weights = config.config_groups["group_0"].weights
    assert weights.num_bits == (8 if scheme == "int8" else 4)
    assert weights.symmetric and config.ignore == ["lm_head"]


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_float16_weights_stay_what_they_are_where_nothing_is_quantised(gradus, tmp_path, scheme):
    model = tiny_models.make("llama", tmp_path / "model").half()
    model.save_pretrained(tmp_path / "model")
    tensors = quantize(gradus, tmp_path / "model", tmp_path / scheme, scheme)
    compared = 0
    for name, exact in model.state_dict().items():
        if name in tensors and tensors[name].dtype != torch.int8:
            assert tensors[name].dtype == torch.float16 and torch.equal(tensors[name], exact)
            compared += 1
    assert compared > 5
    assert json.loads((tmp_path / scheme / "config.json").read_text())["dtype"] == "float16"
    error = (dequantised(tensors, "model.layers.0.mlp.up_proj", scheme) - model.model.layers[0].mlp.up_proj.weight.float()).norm()
    assert error < (0.02 if scheme == "int8" else 0.15) * model.model.layers[0].mlp.up_proj.weight.float().norm()


def test_a_model_of_which_nothing_would_be_quantised_is_refused(gradus, tmp_path):
    tiny_models.make("llama", tmp_path / "model")
    names = json.loads((tmp_path / "model" / "config.json").read_text())
    projections = [
        f"model.layers.{layer}.{name}_proj"
        for layer in range(names["num_hidden_layers"])
        for name in ["self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down"]
    ]
    ignore = "ignore=" + json.dumps([*projections, "lm_head"])
    result = gradus("quantize", f"model={tmp_path / 'model'}", f"out={tmp_path / 'out'}", ignore)
    assert result.returncode == 1 and "nothing would be quantised" in result.stderr
    assert not (tmp_path / "out").exists()


ALL = {f"model.layers.{i}.{part}_proj" for i in range(3) for part in
       ("self_attn.q", "self_attn.k", "self_attn.v", "self_attn.o", "mlp.gate", "mlp.up", "mlp.down")}  # fmt: skip


@pytest.mark.parametrize("pattern, kept", [
    ("down_proj", {name for name in ALL if name.endswith("down_proj")}),
    ("self_attn.o_proj", {name for name in ALL if name.endswith("o_proj")}),
    ("layers.1.mlp.down_proj", {"model.layers.1.mlp.down_proj"}),
    (r"re:.*layers\\.[02]\\.mlp.*", {name for name in ALL if ".mlp." in name and ".1." not in name}),
    ("re:model.layers.2", {name for name in ALL if ".2." in name}),
])  # fmt: skip
def test_projections_are_ignored_by_short_names_and_patterns(gradus, tmp_path, pattern, kept):
    tiny_models.make("llama", tmp_path / "model")
    settings = [f"model={tmp_path / 'model'}", f"out={tmp_path / 'out'}", "scheme=int8", f'ignore=["lm_head", "{pattern}"]']
    done = gradus("quantize", *settings)
    assert done.returncode == 0, done.stderr
    tensors = safetensors.torch.load_file(tmp_path / "out" / "model.safetensors")
    assert {name for name in ALL if name + ".weight_scale" not in tensors} == kept
    config = json.loads((tmp_path / "out" / "config.json").read_text())["quantization_config"]
    assert set(config["ignore"]) == kept | {"lm_head"}
    assert gradus("model", "forward", tmp_path / "out", "--ids", ids_file(tmp_path), "--out", tmp_path / "logits").returncode == 0


def ids_file(folder):
    (folder / "ids.json").write_text("[[1, 2, 3]]")
    return folder / "ids.json"


def test_an_ignored_name_that_means_nothing_is_refused_with_near_names(gradus, tmp_path):
    tiny_models.make("llama", tmp_path / "model")
    for pattern in ("dwn_proj", "re:.*dwn_proj"):
        done = gradus("quantize", f"model={tmp_path / 'model'}", f"out={tmp_path / 'out'}", f"ignore=[{pattern}]")
        assert done.returncode == 1 and pattern in done.stderr and "down_proj" in done.stderr, done.stderr


@pytest.mark.parametrize("family", ["gpt_neox", "phi3", "stablelm", "mixtral", "cohere", "olmoe"])
def test_transformers_computes_the_same_from_a_quantised_folder(gradus, tmp_path, family):
    tiny_models.make(family, tmp_path / "model")
    result = gradus("quantize", f"model={tmp_path / 'model'}", f"out={tmp_path / 'int4'}", "scheme=int4", "group_size=8")
    assert result.returncode == 0 and "cannot load" not in result.stderr, result.stderr
    model, info = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path / "int4", dtype=torch.float32, output_loading_info=True)
    assert not info["missing_keys"] and not info["unexpected_keys"], info
    ids = torch.randint(0, 300, (2, 20), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model.eval()(ids).logits
    torch.testing.assert_close(logits(gradus, tmp_path / "int4", ids.tolist(), tmp_path), expected, rtol=1e-4, atol=2e-4)


@pytest.mark.parametrize("family", ["gpt2", "granitemoe"])
def test_a_family_that_others_cannot_load_quantised_is_said(gradus, tmp_path, family):
    tiny_models.make(family, tmp_path / "model")
    result = gradus("quantize", f"model={tmp_path / 'model'}", f"out={tmp_path / 'int8'}", "scheme=int8")
    assert result.returncode == 0 and "transformers cannot load" in result.stderr, result.stderr
