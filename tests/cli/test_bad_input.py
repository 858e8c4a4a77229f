# SPDX-License-Identifier: Apache-2.0
"""Every kind of bad input gives one clear line, the right exit code and no partial output."""

import json
import shutil

import pytest
import safetensors.torch
import tiny_models
import torch


@pytest.fixture(scope="module")
def good_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("good") / "model"
    tiny_models.make("llama", folder)
    return folder


@pytest.fixture
def model(good_model, tmp_path):
    shutil.copytree(good_model, tmp_path / "model")
    return tmp_path / "model"


def forward(gradus, model, tmp_path, ids="[[1, 2, 3]]"):
    (tmp_path / "ids.json").write_text(ids)
    out = tmp_path / "out.safetensors"
    result = gradus("model", "forward", model, "--ids", tmp_path / "ids.json", "--out", out)
    return result, out


def expect_refusal(result, out, *words, code=1):
    assert result.returncode == code, result.stderr
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if "error:" in line]
    assert len(lines) == 1, result.stderr
    for word in words:
        assert word in result.stderr, result.stderr
    assert not out.exists()


def edit_weights(model, change):
    path = model / "model.safetensors"
    tensors = safetensors.torch.load_file(path)
    change(tensors)
    safetensors.torch.save_file(tensors, path)


def test_a_truncated_weight_file_is_named(gradus, model, tmp_path):
    path = model / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    expect_refusal(*forward(gradus, model, tmp_path), "model.safetensors")


def test_a_corrupt_header_is_named(gradus, model, tmp_path):
    path = model / "model.safetensors"
    path.write_bytes(b"\xff" * 64 + path.read_bytes()[64:])
    expect_refusal(*forward(gradus, model, tmp_path), "model.safetensors")


def test_misshapen_missing_and_unexpected_tensors_are_all_listed(gradus, model, tmp_path):
    def change(tensors):
        tensors["model.norm.weight"] = torch.ones(7)
        del tensors["model.layers.1.mlp.down_proj.weight"]
        tensors["model.extra"] = torch.ones(1)

    edit_weights(model, change)
    expect_refusal(
        *forward(gradus, model, tmp_path),
        "3 tensor(s)",
        "model.norm.weight: expected shape [64], found [7]",
        "model.layers.1.mlp.down_proj.weight: missing",
        "model.extra: unexpected",
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(gradus, model, tmp_path, value):
    def change(tensors):
        tensors["model.layers.2.self_attn.q_proj.weight"][3, 5] = value

    edit_weights(model, change)
    expect_refusal(*forward(gradus, model, tmp_path), "NaN", "model.layers.2.self_attn.q_proj.weight")


def test_an_unknown_model_type_is_refused_by_name(gradus, model, tmp_path):
    config = json.loads((model / "config.json").read_text())
    config["model_type"] = "mamba"
    (model / "config.json").write_text(json.dumps(config))
    expect_refusal(*forward(gradus, model, tmp_path), "model_type", "mamba", "llama")


def test_config_that_is_not_json_shows_line_and_column(gradus, model, tmp_path):
    (model / "config.json").write_text('{\n  "model_type": llama\n}')
    expect_refusal(*forward(gradus, model, tmp_path), "config.json:2:")


def test_ids_outside_the_vocabulary_are_refused(gradus, model, tmp_path):
    expect_refusal(*forward(gradus, model, tmp_path, "[[1, 320]]"), "320", "vocabulary")
    expect_refusal(*forward(gradus, model, tmp_path, "[[1, 2], [3]]"), "row 1")


def test_an_existing_output_is_not_overwritten(gradus, model, tmp_path):
    (tmp_path / "out.safetensors").write_text("precious")
    result, out = forward(gradus, model, tmp_path)
    assert result.returncode == 1 and "not overwritten" in result.stderr
    assert out.read_text() == "precious"


def test_a_missing_folder_is_named(gradus, tmp_path):
    expect_refusal(*forward(gradus, tmp_path / "nowhere", tmp_path), "nowhere")


def test_command_line_errors_exit_with_2_and_suggest(gradus):
    for arguments, word in [
        (["trian"], "unknown command"),
        (["sft", "--chekc"], "--check"),
        (["model"], "import"),
        (["quantize"], "recipe"),
        (["model", "forward"], "DIR"),
    ]:
        result = gradus(*arguments)
        assert result.returncode == 2, (arguments, result.stderr)
        assert word in result.stderr


def test_all_errors_of_a_recipe_come_at_once_with_places(gradus, tmp_path):
    recipe = tmp_path / "q.yaml"
    recipe.write_text("# a comment\nmodle: x\nout: y\nscheme: int5\ngroup_size: many\n")
    result = gradus("quantize", recipe)
    assert result.returncode == 1
    for text in ["q.yaml:2:", "did you mean model", "q.yaml:4:", "int8", "q.yaml:5:", "integer"]:
        assert text in result.stderr, result.stderr
    assert not (tmp_path / "y").exists()


def test_quantising_twice_is_refused(gradus, model, tmp_path):
    first = gradus("quantize", f"model={model}", f"out={tmp_path / 'a'}", "scheme=int8")
    assert first.returncode == 0, first.stderr
    second = gradus("quantize", f"model={tmp_path / 'a'}", f"out={tmp_path / 'b'}")
    assert second.returncode == 1 and "quantised already" in second.stderr
    assert not (tmp_path / "b").exists()
