# SPDX-License-Identifier: Apache-2.0
"""Every kind of bad input gives one clear line, the right exit code and no partial output."""

import json
import shutil
import subprocess

import pytest
import safetensors.torch
import tiny_models
import torch
import train_models
from conftest import BINARY


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
    (model / "config.json").write_text("[]")
    expect_refusal(*forward(gradus, model, tmp_path), "config.json: is not an object")


def test_ids_outside_the_vocabulary_are_refused(gradus, model, tmp_path):
    expect_refusal(*forward(gradus, model, tmp_path, "[[1, 320]]"), "320", "vocabulary")
    expect_refusal(*forward(gradus, model, tmp_path, "[[1, 2], []]"), "row 1")


def test_ids_that_are_no_rows_are_told_apart(gradus, model, tmp_path):
    expect_refusal(*forward(gradus, model, tmp_path, '{"ids": [[1]]}'), "array of non-empty arrays", "found a JSON object")
    expect_refusal(*forward(gradus, model, tmp_path, "[]"), "found no rows")


def test_a_file_in_place_of_a_model_folder_is_named(gradus, tmp_path):
    (tmp_path / "texts.json").write_text('["a"]')
    (tmp_path / "tokenizer.json").write_text("{}")
    for action in ["encode", "decode"]:
        for model, words in [("tokenizer.json", "is a file, not a model folder"), ("gone", "does not exist")]:
            result = gradus("tokenizer", action, "--model", tmp_path / model, "--file", tmp_path / "texts.json")
            expect_refusal(result, tmp_path / "none", words, str(tmp_path / model))


def test_an_index_without_tensors_is_refused(gradus, model, tmp_path):
    (model / "model.safetensors").unlink()
    (model / "model.safetensors.index.json").write_text('{"metadata": {}, "weight_map": {}}')
    for result in [gradus("model", "inspect", model), forward(gradus, model, tmp_path)[0]]:
        expect_refusal(result, tmp_path / "none", "model.safetensors.index.json", "weight_map is empty")


def test_an_unknown_dtype_is_a_usage_error_everywhere(gradus, model, tmp_path):
    out = tmp_path / "out"
    for arguments in [
        ["import", "x.gguf", "--out", out],
        ["forward", model, "--ids", tmp_path / "ids.json", "--out", out],
        ["merge", tmp_path / "adapter", "--base", model, "--out", out],
    ]:
        result = gradus("model", *arguments, "--dtype", "float8")
        expect_refusal(result, out, "--dtype is float32, bfloat16 or float16, not float8", code=2)


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


def test_arguments_that_a_command_does_not_look_at_are_refused(gradus, tmp_path):
    for arguments, words in [
        (["model", "import", "x.gguf", "--out", tmp_path / "d", "dtype=float32"], ["dtype=float32", "--dtype float32"]),
        (["model", "forward", "d", "--ids", "i", "--out", "o", "device=cuda"], ["device=cuda"]),
        (["model", "inspect", "a", "b"], ["too many arguments: b"]),
        (["doctor", "everything"], ["everything"]),
        (["tokenizer", "encode", "text", "--model", "m", "--file", "f"], ["text"]),
        (["store", "verify", "d", "x=1"], ["x=1"]),
        (["model", "import", "x.gguf", "--out", ""], ["--out is empty"]),
        (["model", "inspect", ""], ["an argument is empty"]),
        (["tokenizer", "chat", "--file", "f"], ["--model or --template is required"]),
    ]:
        result = gradus(*arguments)
        assert result.returncode == 2, (arguments, result.stderr)
        for word in words:
            assert word in result.stderr, result.stderr


def test_compare_with_folders_answers_like_every_recipe_command(gradus, tmp_path):
    printed = gradus("compare", "runs/a", "runs/b", "--out", tmp_path / "r", "--print-config")
    assert printed.returncode == 0, printed.stderr
    assert "runs/a" in printed.stdout and not (tmp_path / "r").exists()
    schema = gradus("compare", "runs/a", "--out", tmp_path / "r", "--schema")
    assert schema.returncode == 0 and "$schema" in json.loads(schema.stdout)


def test_quantize_check_finds_what_the_run_would(gradus, model, tmp_path):
    def check(*changes):
        return gradus("quantize", f"model={model}", f"out={tmp_path / 'q'}", "--check", *changes)

    good = check("group_size=16")
    assert (good.returncode, good.stdout) == (0, "ok\n"), good.stderr
    for change, words in [
        (["group_size=48"], ["multiple of 48"]),
        (["group_size=16", "ignore=[model.layers.0.mlp.down_prj]"], ["model.layers.0.mlp.down_prj", "did you mean"]),
        (["group_size=16", "ignore=[model.layers.0.self_attn.q_proj]"], ["both or neither"]),
    ]:
        expect_refusal(check(*change), tmp_path / "q", *words)
    (tmp_path / "q").mkdir()
    assert "not overwritten" in check("group_size=16").stderr


def test_an_output_that_cannot_be_made_is_the_users_error(gradus, model, tmp_path):
    (tmp_path / "file").write_text("")
    for out in [tmp_path / "file" / "q", "/proc/nowhere/q"]:
        result = gradus("quantize", f"model={model}", f"out={out}", "scheme=int8")
        assert result.returncode == 1, result.stderr
        assert len(result.stderr.splitlines()) == 1 and str(out).removesuffix("/q") in result.stderr
    (tmp_path / "p.yaml").write_text(
        f"out: {tmp_path}/file/out\nstages: [{{name: a, command: quantize, recipe: {{model: {model}, out: x}}}}]\n"
    )
    result = gradus("run", tmp_path / "p.yaml")
    assert result.returncode == 1 and "file/out" in result.stderr, result.stderr


def test_a_result_that_cannot_be_written_is_an_error(gradus):
    with open("/dev/full", "w") as full:
        result = subprocess.run([str(BINARY), "doctor"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert result.returncode == 1 and "stdout" in result.stderr


def test_chat_takes_special_tokens_where_training_does(gradus, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    train_models.write_tokenizer(folder)
    settings = {"bos_token": None, "eos_token": {"content": 3}, "chat_template": "[{{ bos_token }}|{{ eos_token }}]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "special_tokens_map.json").write_text(json.dumps({"eos_token": "<|im_end|>"}))
    (folder / "config.json").write_text(json.dumps({"bos_token_id": 256}))
    cases = {"cases": {"a": {"messages": []}}, "bos_token": None}
    (tmp_path / "cases.json").write_text(json.dumps(cases))
    result = gradus("tokenizer", "chat", "--model", folder, "--file", tmp_path / "cases.json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout) == {"a": "[<|endoftext|>|<|im_end|>]"}
    for bad in [{**cases, "bos_token": 3}, {"cases": 3}, 3, {"cases": {"a": 3}}]:
        (tmp_path / "cases.json").write_text(json.dumps(bad))
        result = gradus("tokenizer", "chat", "--model", folder, "--file", tmp_path / "cases.json")
        assert result.returncode == 1, (bad, result.stderr)


def test_with_a_json_log_the_error_is_an_object_too(gradus, tmp_path):
    result = gradus("model", "inspect", tmp_path / "absent", "--log-format", "json")
    last = json.loads(result.stderr.splitlines()[-1])
    assert result.returncode == 1 and last["level"] == "error" and "absent" in last["message"]
