# SPDX-License-Identifier: Apache-2.0
"""Our safetensors files against the Python package.

The other direction is tests/unit/model/formats/safetensors_test.cpp, which reads (and rewrites byte
for byte) the fixtures that the package writes; here they are checked to be what it writes today.
"""

import subprocess
import sys

import pytest
import safetensors
import torch
import transformers
from conftest import ROOT
from gguf_models import make_model, write_gguf
from safetensors.torch import load_file, save_file

FIXTURES = ROOT / "tests" / "fixtures" / "safetensors"


def test_fixtures_are_what_the_package_writes(tmp_path):
    subprocess.run([sys.executable, FIXTURES / "make.py", tmp_path], check=True)
    written = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*") if path.is_file())
    stored = sorted(path.relative_to(FIXTURES) for path in FIXTURES.rglob("*") if path.suffix != ".py" and path.is_file())
    assert written == stored
    for path in stored:
        assert (tmp_path / path).read_bytes() == (FIXTURES / path).read_bytes(), path


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_our_files_are_byte_for_byte_the_package_s(gradus, tmp_path, dtype):
    write_gguf(tmp_path / "m.gguf", make_model("qwen2"), "qwen2")
    done = gradus("model", "import", tmp_path / "m.gguf", "--out", tmp_path / "out", "--dtype", dtype)
    assert done.returncode == 0, done.stderr
    ours = tmp_path / "out" / "model.safetensors"
    with safetensors.safe_open(ours, "pt") as file:
        assert file.metadata() == {"format": "pt"}
    tensors = load_file(ours)
    assert {tensor.dtype for tensor in tensors.values()} == {getattr(torch, dtype)}
    save_file(tensors, tmp_path / "theirs.safetensors", metadata={"format": "pt"})
    assert ours.read_bytes() == (tmp_path / "theirs.safetensors").read_bytes()


def forward(gradus, folder):
    (folder.parent / "ids.json").write_text("[[1, 2, 3]]")
    out = folder.parent / "logits"
    out.unlink(missing_ok=True)
    return gradus("model", "forward", folder, "--ids", folder.parent / "ids.json", "--dtype", "float32", "--out", out)


def test_pickles_are_refused_with_the_command_that_converts_them(gradus, tmp_path):
    folder = tmp_path / "it's a model"
    model = make_model("qwen2")
    model.save_pretrained(folder)
    (folder / "model.safetensors").unlink()
    torch.save(model.state_dict(), folder / "pytorch_model.bin")
    done = forward(gradus, folder)
    assert done.returncode == 1 and len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert "pytorch_model.bin is not read" in done.stderr
    command = done.stderr.strip().split("convert it once: python ", 1)[1]
    subprocess.run(f"{sys.executable} {command}", shell=True, check=True, capture_output=True)
    assert forward(gradus, folder).returncode == 0
    found = load_file(tmp_path / "logits")["logits"]
    with torch.no_grad():
        torch.testing.assert_close(found, model(torch.tensor([[1, 2, 3]])).logits, rtol=1e-4, atol=1e-4)


def test_a_pickle_is_no_gguf_file(gradus, tmp_path):
    torch.save({"weight": torch.ones(3)}, tmp_path / "model.pt")
    done = gradus("model", "import", tmp_path / "model.pt", "--out", tmp_path / "out")
    assert done.returncode == 1 and "pickle" in done.stderr, done.stderr


@pytest.mark.parametrize("stored", ["float32", "bfloat16", "float16"])
@pytest.mark.parametrize("shards", [False, True])
def test_weights_are_loaded_in_every_dtype_from_every_dtype(gradus, tmp_path, stored, shards):
    model = make_model("qwen2").to(getattr(torch, stored))
    folder = tmp_path / "model"
    model.save_pretrained(folder, **({"max_shard_size": "400KB"} if shards else {}))
    assert (len(list(folder.glob("*.safetensors"))) > 2) == shards
    assert forward(gradus, folder).returncode == 0
    found = load_file(tmp_path / "logits")["logits"]
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        expected = model(torch.tensor([[1, 2, 3]])).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_values_that_are_not_finite_are_refused_wherever_they_are(gradus, tmp_path):
    model = make_model("qwen2")
    folder = tmp_path / "model"
    for at in ((0, 0), (200, 131), (319, 255)):
        with torch.no_grad():
            kept = model.lm_head.weight[at].clone()
            model.lm_head.weight[at] = float("inf")
            model.save_pretrained(folder)
            model.lm_head.weight[at] = kept
        done = forward(gradus, folder)
        assert done.returncode == 1 and "lm_head.weight" in done.stderr and "infinity" in done.stderr, done.stderr
