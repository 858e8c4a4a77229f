# SPDX-License-Identifier: Apache-2.0
"""`gradus model import` against transformers and llama.cpp's gguf package."""

import json
import struct

import gguf
import numpy as np
import pytest
import torch
import transformers
from gguf_models import SIZES, make_model, write_gguf
from safetensors.torch import load_file

KINDS = ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K",
         "IQ4_NL", "IQ4_XS"]  # fmt: skip
FAMILIES = ["llama", "mistral", "qwen2", "qwen3"]
IDS = torch.tensor([[256, 10, 20, 30, 104, 101, 108, 108, 111, 260, 261, 5]])


def kind_of(name):
    return gguf.GGMLQuantizationType[name]


def import_folder(gradus, source, target, dtype="float32"):
    done = gradus("model", "import", source, "--out", target, "--dtype", dtype)
    assert done.returncode == 0, done.stderr
    return target


def load(folder, **options):
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True, **options
    )
    assert not report["missing_keys"] and not report["unexpected_keys"], report
    return model.eval()


def assert_same_state(ours, theirs):
    ours, theirs = ours.state_dict(), theirs.state_dict()
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype
        assert torch.equal(ours[name], value), name


def logits(model):
    with torch.no_grad():
        return model(IDS).logits


@pytest.mark.parametrize("kind", KINDS)
def test_every_tensor_type_is_expanded_bit_for_bit(gradus, tmp_path, kind):
    truth = write_gguf(tmp_path / "m.gguf", make_model("llama"), "llama", kind_of(kind))
    found = load_file(import_folder(gradus, tmp_path / "m.gguf", tmp_path / "out") / "model.safetensors")
    assert found.keys() == truth.keys()
    for name, value in truth.items():
        assert np.isfinite(value).all()
        assert np.array_equal(found[name].numpy().view(np.uint32), value.view(np.uint32)), name


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_imported_folder_is_the_original_model(gradus, tmp_path, family, tied):
    original = make_model(family, tied)
    write_gguf(tmp_path / "m.gguf", original, family)
    folder = import_folder(gradus, tmp_path / "m.gguf", tmp_path / "out")
    ours = load(folder)
    assert type(ours) is type(original)
    assert_same_state(ours, original)
    assert torch.equal(logits(ours), logits(original))
    assert ("lm_head.weight" in load_file(folder / "model.safetensors")) is not tied
    for key, value in SIZES.items():
        assert getattr(ours.config, key, value) == value, key


# transformers has no table of names for the mistral architecture of GGUF.
@pytest.mark.parametrize("kind", ["F16", "Q4_1", "Q6_K"])
@pytest.mark.parametrize("family", ["llama", "qwen2", "qwen3"])
def test_equals_transformers_own_gguf_loading(gradus, tmp_path, family, kind):
    # It does not read attention.key_length and takes 128 as the width of qwen3's heads.
    wide = dict(head_dim=128, num_attention_heads=2, num_key_value_heads=1) if family == "qwen3" else {}
    write_gguf(tmp_path / "m.gguf", make_model(family, **wide), family, kind_of(kind))
    ours = load(import_folder(gradus, tmp_path / "m.gguf", tmp_path / "out"))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="m.gguf", dtype=torch.float32
    )
    assert_same_state(ours, theirs)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_narrow_dtypes_round_to_nearest_even(gradus, tmp_path, dtype):
    truth = write_gguf(tmp_path / "m.gguf", make_model("llama"), "llama", kind_of("Q5_K"))
    folder = import_folder(gradus, tmp_path / "m.gguf", tmp_path / "out", dtype)
    found = load_file(folder / "model.safetensors")
    for name, value in truth.items():
        expected = torch.from_numpy(value).to(getattr(torch, dtype))
        assert found[name].dtype == expected.dtype
        assert torch.equal(found[name].view(torch.int16), expected.view(torch.int16)), name
    assert json.loads((folder / "config.json").read_text())["torch_dtype"] == dtype


def llama3_divisors(rope, head_dim):
    """convert_hf_to_gguf.py's rope_freqs.weight."""
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    context = rope["original_max_position_embeddings"]
    wavelengths = 2 * np.pi * rope["rope_theta"] ** (np.arange(0, head_dim, 2) / head_dim)
    smooth = (context / wavelengths - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    divisors = np.where(wavelengths < context / high, 1, np.where(wavelengths > context / low, factor, between))
    return divisors.astype(np.float32)


SCALINGS = {
    "linear": {"rope_type": "linear", "factor": 4.0},
    "llama3": {
        "rope_type": "llama3",
        "factor": 8.0,
        "low_freq_factor": 1.0,
        "high_freq_factor": 4.0,
        "original_max_position_embeddings": 8192,
    },
}


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("family", ["llama", "qwen2"])
def test_rope_scaling_survives(gradus, tmp_path, family, scaling):
    parameters = SCALINGS[scaling] | {"rope_theta": 500000.0}
    original = make_model(family, rope_parameters=parameters, max_position_embeddings=16384)

    def extra(writer):
        if scaling == "llama3":
            return writer.add_tensor("rope_freqs.weight", llama3_divisors(parameters, 32))
        writer.add_rope_scaling_type(gguf.RopeScalingType(scaling))
        writer.add_rope_scaling_factor(parameters["factor"])

    write_gguf(tmp_path / "m.gguf", original, family, extra=extra)
    ours = load(import_folder(gradus, tmp_path / "m.gguf", tmp_path / "out"))
    assert ours.config.rope_parameters.items() >= parameters.items()
    assert torch.equal(ours.model.rotary_emb.inv_freq, original.model.rotary_emb.inv_freq)
    assert torch.equal(logits(ours), logits(original))


@pytest.mark.parametrize("family", ["llama", "qwen3"])
def test_attention_and_mlp_biases_survive(gradus, tmp_path, family):
    changes = dict(attention_bias=True) | (dict(mlp_bias=True) if family == "llama" else {})
    original = make_model(family, **changes)
    write_gguf(tmp_path / "m.gguf", original, family)
    ours = load(import_folder(gradus, tmp_path / "m.gguf", tmp_path / "out"))
    assert_same_state(ours, original)
    assert torch.equal(logits(ours), logits(original))


def assert_same_tokenizer(ours, theirs, texts):
    for text in texts:
        ids = theirs(text)["input_ids"]
        assert ours(text)["input_ids"] == ids, text
        assert ours.decode(ids) == theirs.decode(ids)
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        assert getattr(ours, name) == getattr(theirs, name), name
    talk = [{"role": "user", "content": "the end"}, {"role": "assistant", "content": "of it"}]
    for prompt in (False, True):
        options = dict(tokenize=False, add_generation_prompt=prompt)
        assert ours.apply_chat_template(talk, **options) == theirs.apply_chat_template(talk, **options)


def test_tokenizer_and_generation_config_load_in_transformers(gradus, tmp_path):
    write_gguf(tmp_path / "m.gguf", make_model("llama"), "llama", extra=lambda writer: writer.add_eot_token_id(259))
    folder = import_folder(gradus, tmp_path / "m.gguf", tmp_path / "out")
    ours = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path, gguf_file="m.gguf")
    assert_same_tokenizer(ours, theirs, ["", "the other one in an island", "Grüße, 世界 🙂", " a  b\n\tc "])
    generation = transformers.GenerationConfig.from_pretrained(folder)
    assert (generation.bos_token_id, generation.eos_token_id, generation.pad_token_id) == (256, [257, 259], 257)


def test_l0_equals_transformers_own_gguf_loading(gradus, tmp_path, l0_gguf):
    ours = load(import_folder(gradus, l0_gguf, tmp_path / "fp32"))
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        l0_gguf.parent, gguf_file=l0_gguf.name, dtype=torch.float32
    ).eval()
    assert_same_state(ours, theirs)
    assert torch.equal(logits(ours), logits(theirs))
    narrow = load_file(import_folder(gradus, l0_gguf, tmp_path / "bf16", "bfloat16") / "model.safetensors")
    for name, value in narrow.items():
        assert torch.equal(value, theirs.state_dict()[name].to(torch.bfloat16)), name


def test_l0_tokenizer_equals_transformers_own(gradus, tmp_path, l0_gguf):
    folder = import_folder(gradus, l0_gguf, tmp_path / "out", "bfloat16")
    ours = transformers.AutoTokenizer.from_pretrained(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(l0_gguf.parent, gguf_file=l0_gguf.name)
    texts = ["SELECT * FROM pg_class WHERE oid = 1259;", "naïve café", "def f(x):\n\treturn x + 10"]
    assert_same_tokenizer(ours, theirs, texts)


def with_key(name, value):
    return lambda writer: writer.add_uint32(name, value)


REFUSED = {
    "part": (with_key("split.count", 2), "-00001-of-00002.gguf"),
    "experts": (with_key("llama.expert_count", 8), "llama.expert_used_count"),
    "token id": (lambda writer: writer.add_eot_token_id(5000), "tokenizer.ggml.eot_token_id"),
    "stray tensor": (lambda writer: writer.add_tensor("stray", np.zeros(4, np.float32)), "'stray'"),
    "factors": (lambda writer: writer.add_tensor("rope_freqs.weight", np.arange(16, dtype=np.float32)), "rope_freqs"),
    "yarn without a factor": (lambda writer: writer.add_rope_scaling_type(gguf.RopeScalingType.YARN), "rope.scaling.factor"),
    "longrope": (lambda writer: writer.add_rope_scaling_type(gguf.RopeScalingType.LONGROPE), "rope.scaling.type"),
}


def assert_refused(done, folder, words):
    assert done.returncode in (1, 2), done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]
    assert [entry.name for entry in folder.iterdir() if "out" in entry.name] == []


@pytest.mark.parametrize("case", REFUSED)
def test_what_would_compute_something_else_is_refused(gradus, tmp_path, case):
    extra, word = REFUSED[case]
    write_gguf(tmp_path / "m.gguf", make_model("llama"), "llama", extra=extra)
    done = gradus("model", "import", tmp_path / "m.gguf", "--out", tmp_path / "out", "--dtype", "float32")
    assert_refused(done, tmp_path, ["m.gguf", word])


def test_values_that_are_not_finite_are_refused_and_leave_nothing(gradus, tmp_path):
    model = make_model("llama")
    with torch.no_grad():
        model.model.layers[1].mlp.up_proj.weight[3, 5] = float("nan")
    write_gguf(tmp_path / "m.gguf", model, "llama")
    done = gradus("model", "import", tmp_path / "m.gguf", "--out", tmp_path / "out", "--dtype", "float32")
    assert_refused(done, tmp_path, ["m.gguf", "blk.1.ffn_up.weight", "finite"])


def test_float16_overflow_is_refused(gradus, tmp_path):
    model = make_model("llama")
    with torch.no_grad():
        model.model.norm.weight[0] = 65520.0
    write_gguf(tmp_path / "m.gguf", model, "llama")
    done = gradus("model", "import", tmp_path / "m.gguf", "--out", tmp_path / "out", "--dtype", "float16")
    assert_refused(done, tmp_path, ["output_norm.weight", "float16"])


@pytest.mark.parametrize("keep", [3, 20, 1000, -1])
def test_truncated_files_are_refused(gradus, tmp_path, keep):
    write_gguf(tmp_path / "m.gguf", make_model("llama"), "llama")
    image = (tmp_path / "m.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(image[:keep])
    done = gradus("model", "import", tmp_path / "cut.gguf", "--out", tmp_path / "out", "--dtype", "float32")
    assert_refused(done, tmp_path, ["cut.gguf"])


def test_huge_counts_are_refused_at_once(gradus, tmp_path):
    (tmp_path / "m.gguf").write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 2**62, 2**62) + bytes(64))
    done = gradus("model", "import", tmp_path / "m.gguf", "--out", tmp_path / "out", "--dtype", "float32", timeout=10)
    assert_refused(done, tmp_path, ["m.gguf", "tensors"])


def parts_of(folder):
    return sorted(folder.glob("m-*.gguf"))


def test_split_files_are_one_model(gradus, tmp_path):
    model = make_model("llama")
    truth = write_gguf(tmp_path / "m.gguf", model, "llama", per_part=8)
    parts = parts_of(tmp_path)
    assert len(parts) == 3 and parts[0].name == "m-00001-of-00003.gguf"
    folder = import_folder(gradus, parts[0], tmp_path / "whole")
    found = load_file(folder / "model.safetensors")
    assert found.keys() == truth.keys()
    for name, value in truth.items():
        assert np.array_equal(found[name].numpy(), value), name
    sources = json.loads((folder / "lineage.json").read_text())["parents"]
    assert [entry["path"].rsplit("/", 1)[-1] for entry in sources] == [part.name for part in parts]


def test_parts_that_do_not_belong_together_are_refused(gradus, tmp_path):
    write_gguf(tmp_path / "m.gguf", make_model("llama"), "llama", per_part=8)
    first, second, third = parts_of(tmp_path)

    def refused(file, *words):
        done = gradus("model", "import", file, "--out", tmp_path / "out", "--dtype", "float32")
        assert_refused(done, tmp_path, words)

    refused(second, second.name, "the first part")
    third.rename(tmp_path / "third")
    refused(first, third.name, "missing")
    third.write_bytes(second.read_bytes())
    refused(first, third.name, "split.no 2 of 3", "1 of 3")
    third.write_bytes((tmp_path / "third").read_bytes())
    stray = tmp_path / "other.gguf"
    first.rename(stray)
    refused(stray, "other.gguf", "the first part")


def test_version_2_is_read(gradus, tmp_path):
    truth = write_gguf(tmp_path / "m.gguf", make_model("llama"), "llama")
    image = bytearray((tmp_path / "m.gguf").read_bytes())
    assert image[4] == 3
    image[4] = 2
    (tmp_path / "m.gguf").write_bytes(image)
    found = load_file(import_folder(gradus, tmp_path / "m.gguf", tmp_path / "out") / "model.safetensors")
    assert all(np.array_equal(found[name].numpy(), value) for name, value in truth.items()) and found.keys() == truth.keys()


def test_a_truncated_file_names_both_sizes(gradus, tmp_path):
    write_gguf(tmp_path / "m.gguf", make_model("llama"), "llama")
    image = (tmp_path / "m.gguf").read_bytes()
    (tmp_path / "cut.gguf").write_bytes(image[:-1000])
    done = gradus("model", "import", tmp_path / "cut.gguf", "--out", tmp_path / "out", "--dtype", "float32")
    assert_refused(done, tmp_path, ["truncated", f"at least {len(image)} bytes", f"found {len(image) - 1000}"])


@pytest.mark.parametrize("number, name", [(16, "IQ2_XXS"), (39, "MXFP4"), (4711, "4711")])
def test_types_that_are_not_read_are_named(gradus, tmp_path, number, name):
    write_gguf(tmp_path / "m.gguf", make_model("llama"), "llama")
    image = bytearray((tmp_path / "m.gguf").read_bytes())
    key = b"output_norm.weight"
    at = image.index(key) + len(key) + 4 + 8
    image[at : at + 4] = struct.pack("<I", number)
    (tmp_path / "m.gguf").write_bytes(image)
    done = gradus("model", "import", tmp_path / "m.gguf", "--out", tmp_path / "out", "--dtype", "float32")
    assert_refused(done, tmp_path, ["output_norm.weight", name, "IQ4_XS"])
