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
