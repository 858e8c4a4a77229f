# SPDX-License-Identifier: Apache-2.0
"""Logits of `gradus model forward` against transformers, for every family and for the real L0."""

import json

import pytest
import safetensors.torch
import tiny_models
import torch
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


@pytest.mark.parametrize("name", sorted(tiny_models.MODELS))
def test_logits_equal_transformers_in_fp32(gradus, tmp_path, name):
    model = tiny_models.make(name, tmp_path / "model")
    ids = random_ids(model.config.vocab_size)
    with torch.no_grad():
        expected = model(ids).logits
    actual = forward(gradus, tmp_path / "model", ids.tolist(), tmp_path)
    assert expected.abs().mean() > 0.1
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)


def test_bf16_logits_stay_within_the_error_of_bf16(gradus, tmp_path):
    model = tiny_models.make("llama", tmp_path / "model")
    ids = random_ids(model.config.vocab_size)
    with torch.no_grad():
        exact = model(ids).logits
        theirs = model.to(torch.bfloat16)(ids).logits.float()
    actual = forward(gradus, tmp_path / "model", ids.tolist(), tmp_path, "bfloat16")
    assert (actual - exact).norm() <= 1.2 * (theirs - exact).norm() + 1e-6


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
