# SPDX-License-Identifier: Apache-2.0
"""`gradus model convert` against llama.cpp's gguf package, and back through `gradus model import`."""

import gzip
import json
import shutil
import struct

import gguf
import llama_cpp
import numpy as np
import pytest
import tokenizers
import torch
import transformers
from conftest import ROOT
from gguf_models import gguf_name, interleave, make_model, qk_heads, write_gguf
from safetensors.torch import load_file, save_file

TYPES = ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q4_K_M", "Q5_K_M", "Q6_K"]
TOKENIZERS = ROOT.parent / "shared" / "acceptance" / "tokenizers"
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
    "rope_theta": 500000.0,
}


@pytest.fixture(scope="module")
def texts(gradus, tmp_path_factory):
    """The files of the small byte-level tokenizer, which is that of every small model here."""
    folder = tmp_path_factory.mktemp("texts")
    write_gguf(folder / "seed.gguf", make_model("llama"), "llama")
    done = gradus("model", "import", folder / "seed.gguf", "--out", folder / "hf", "--dtype", "float32")
    assert done.returncode == 0, done.stderr
    return [folder / "hf" / name for name in ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")]


def hf_folder(texts, folder, model, dtype="float32"):
    """A model folder with the tokenizer, and the model's own weights and config."""
    model.to(getattr(torch, dtype)).save_pretrained(folder)
    for file in texts:
        shutil.copy(file, folder)
    return folder


def convert_file(gradus, folder, out, kind, *more):
    done = gradus("model", "convert", folder, "--out", out, "--type", kind, *more)
    assert done.returncode == 0, done.stderr
    return out


def convert(*arguments):
    return gguf.GGUFReader(convert_file(*arguments))


def back(gradus, source, out, dtype="float32"):
    done = gradus("model", "import", source, "--out", out, "--dtype", dtype)
    assert done.returncode == 0, done.stderr
    return load_file(out / "model.safetensors")


def tensors_of(reader):
    return {tensor.name: tensor for tensor in reader.tensors}


def values_of(tensor):
    shape = tuple(int(size) for size in reversed(tensor.shape))
    return gguf.dequantize(tensor.data, tensor.tensor_type).reshape(shape)


def text_key(file, key):
    """The package's reader takes seconds for large vocabularies."""
    image = file.read_bytes()
    at = image.index(key.encode()) + len(key)
    kind, size = struct.unpack_from("<IQ", image, at)
    assert kind == gguf.GGUFValueType.STRING
    return image[at + 12 : at + 12 + size].decode()


def keys_of(reader):
    return {key: field.contents() for key, field in reader.fields.items() if not key.startswith("GGUF.")}


@pytest.mark.parametrize("family, tied", [
    ("llama", False), ("llama", True), ("mistral", False), ("qwen2", True), ("qwen3", False),
])  # fmt: skip
def test_tensors_are_those_of_llama_cpp_s_converter(gradus, texts, tmp_path, family, tied):
    model = make_model(family, tied)
    reader = convert(gradus, hf_folder(texts, tmp_path / "hf", model), tmp_path / "m.gguf", "F32")
    found = tensors_of(reader)
    state = {k: v for k, v in model.state_dict().items() if not (tied and k == "lm_head.weight")}
    assert found.keys() == {gguf_name(name) for name in state}
    for name, value in state.items():
        heads = qk_heads(family, name, model.config)
        rows = interleave(value.numpy(), heads) if heads else value.numpy()
        assert found[gguf_name(name)].tensor_type == gguf.GGMLQuantizationType.F32
        assert np.array_equal(values_of(found[gguf_name(name)]), rows), name
    returned = back(gradus, tmp_path / "m.gguf", tmp_path / "back")
    assert returned.keys() == state.keys()
    for name, value in state.items():
        assert torch.equal(returned[name], value), name
    config = json.loads((tmp_path / "back" / "config.json").read_text())
    assert config["model_type"] == family
    ours = transformers.AutoModelForCausalLM.from_pretrained(tmp_path / "back", dtype=torch.float32).eval()
    ids = torch.tensor([[256, 10, 20, 30, 104, 101, 260, 261, 5]])
    with torch.no_grad():
        assert torch.equal(ours(ids).logits, model(ids).logits)


def test_metadata_is_that_of_llama_cpp_s_converter(gradus, texts, tmp_path):
    model = make_model("llama", rope_parameters=LLAMA3, max_position_embeddings=16384)
    folder = hf_folder(texts, tmp_path / "hf", model)
    keys = keys_of(convert(gradus, folder, tmp_path / "m.gguf", "Q4_K_M", "--name", "Tiny"))
    write_gguf(tmp_path / "seed.gguf", model, "llama")
    seed = keys_of(gguf.GGUFReader(tmp_path / "seed.gguf"))
    padded = 320 - len(seed["tokenizer.ggml.tokens"])
    seed["tokenizer.ggml.tokens"] += [f"[PAD{id}]" for id in range(320 - padded, 320)]
    seed["tokenizer.ggml.token_type"] += [int(gguf.TokenType.UNUSED)] * padded
    for key, value in seed.items():
        if key not in ("general.name", "general.file_type"):
            assert keys[key] == value, key
    assert {key: keys[key] for key in keys.keys() - seed.keys()} == {
        "general.type": "model",
        "general.size_label": "1.3M",
        "general.file_type": int(gguf.LlamaFileType.MOSTLY_Q4_K_M),
        "general.quantization_version": gguf.GGML_QUANT_VERSION,
        "llama.attention.key_length": 32,
        "llama.attention.value_length": 32,
        "tokenizer.ggml.add_eos_token": False,
    }
    assert keys["general.name"] == "Tiny"
    divisors = tensors_of(gguf.GGUFReader(tmp_path / "m.gguf"))["rope_freqs.weight"].data
    plain = 1 / 500000 ** (np.arange(0, 32, 2) / 32)
    wanted = plain / transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS["llama3"](model.config, "cpu")[0].numpy()
    assert np.allclose(divisors, wanted, rtol=1e-5)
    returned = back(gradus, tmp_path / "m.gguf", tmp_path / "back")
    assert json.loads((tmp_path / "back" / "config.json").read_text())["rope_scaling"]["factor"] == 8.0
    assert returned.keys() == model.state_dict().keys()


# More bits for the first and last eighth and every third layer between; ten layers.
MORE = {0, 3, 6, 8, 9}


def wanted_type(kind, name, tied):
    if name.endswith("norm.weight"):
        return "F32"
    if kind in ("F32", "F16", "BF16", "Q8_0"):
        return kind
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        return "Q6_K"
    base = kind.removesuffix("_M")
    layer = int(name.split(".")[1]) if name.startswith("blk.") else -1
    more = kind.endswith("_M") and layer in MORE and ("attn_v" in name or "ffn_down" in name)
    return "Q6_K" if more else base


@pytest.mark.parametrize("kind, tied", [
    *((kind, False) for kind in TYPES), *((kind, True) for kind in TYPES if kind.startswith("Q")),
])  # fmt: skip
def test_types_follow_llama_cpp_and_their_values_are_ours(gradus, texts, tmp_path, kind, tied):
    model = make_model("llama", tied, num_hidden_layers=10, hidden_size=256, intermediate_size=256)
    folder = hf_folder(texts, tmp_path / "hf", model)
    reader = convert(gradus, folder, tmp_path / "m.gguf", kind)
    returned = back(gradus, tmp_path / "m.gguf", tmp_path / "back")
    state = model.state_dict()
    assert len(reader.tensors) == len(returned) == 10 * 9 + (2 if tied else 3)
    for tensor in reader.tensors:
        assert tensor.tensor_type.name == wanted_type(kind, tensor.name, tied), tensor.name
    for name, value in returned.items():
        heads = qk_heads("llama", name, model.config)
        rows = interleave(value.numpy(), heads) if heads else value.numpy()
        stored = values_of(tensors_of(reader)[gguf_name(name)])
        assert np.array_equal(rows, stored), name
        error = (value - state[name]).norm() / state[name].norm()
        assert error <= {"F32": 0, "F16": 3e-4, "BF16": 3e-3, "Q8_0": 7e-3, "Q6_K": 0.025}.get(kind, 0.1), (name, error)


@pytest.mark.parametrize("kind, width, base", [
    ("Q8_0", 256, "Q8_0"), ("Q4_0", 256, "Q4_0"), ("Q4_K_M", 224, "Q5_0"), ("Q5_K_M", 224, "Q5_1"),
    ("Q6_K", 224, "Q8_0"), ("Q8_0", 240, "F16"), ("Q4_K_M", 240, "F16"),
])  # fmt: skip
def test_legacy_types_and_fallbacks_are_byte_for_byte_the_package_s(gradus, texts, tmp_path, kind, width, base):
    model = make_model("qwen2", hidden_size=width, intermediate_size=width, num_attention_heads=2,
                       num_key_value_heads=1, head_dim=width // 2, num_hidden_layers=1)  # fmt: skip
    with torch.no_grad():
        model.model.layers[0].mlp.gate_proj.weight[3].zero_()
        model.model.layers[0].mlp.gate_proj.weight[4, :32] = -0.25
    reader = convert(gradus, hf_folder(texts, tmp_path / "hf", model), tmp_path / "m.gguf", kind)
    compared = 0
    for name, value in model.state_dict().items():
        tensor = tensors_of(reader)[gguf_name(name)]
        if tensor.tensor_type.name != base:
            continue
        theirs = gguf.quantize(value.numpy(), tensor.tensor_type)
        assert np.array_equal(tensor.data.view(np.uint8), theirs.view(np.uint8)), name
        compared += 1
    assert compared >= 4


def naive_affine(rows, levels, group=32):
    """Minimum and maximum of each group, scales kept in fp32: more than a file can store."""
    x = rows.reshape(-1, group)
    low, high = np.minimum(x.min(1, keepdims=True), 0), x.max(1, keepdims=True)
    scale = (high - low) / levels
    return (np.round((x - low) / scale) * scale + low).reshape(rows.shape)


def naive_symmetric(rows, group=16):
    x = rows.reshape(-1, group)
    scale = np.abs(x).max(1, keepdims=True) / 31
    return (np.round(x / scale) * scale).reshape(rows.shape)


@pytest.mark.parametrize("kind, naive", [
    ("Q4_K", lambda rows: naive_affine(rows, 15)), ("Q5_K", lambda rows: naive_affine(rows, 31)),
    ("Q6_K", naive_symmetric),
])  # fmt: skip
def test_k_quants_are_better_than_the_range_of_each_group(gradus, texts, tmp_path, kind, naive):
    model = make_model("qwen2", num_hidden_layers=8)
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():  # weights of real models have heavier tails
        for name, value in model.named_parameters():
            if "mlp.up_proj" in name:
                value.mul_(torch.randn(value.shape, generator=generator).abs() + 0.2)
    file = {"Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M", "Q6_K": "Q6_K"}[kind]
    reader = convert(gradus, hf_folder(texts, tmp_path / "hf", model), tmp_path / "m.gguf", file)
    ours, bar, compared = 0.0, 0.0, 0
    for name, value in model.state_dict().items():
        tensor = tensors_of(reader)[gguf_name(name)]
        if tensor.tensor_type.name != kind:
            continue
        rows = value.numpy()
        ours += float(((values_of(tensor) - rows) ** 2).sum())
        bar += float(((naive(rows) - rows) ** 2).sum())
        compared += 1
    assert compared > 10
    print(kind, (ours / bar) ** 0.5)
    assert ours < 0.95 * bar


@pytest.mark.parametrize("dtype, kind", [("bfloat16", "BF16"), ("float16", "F16"), ("bfloat16", "F32"), ("float32", "F32")])
def test_there_and_back_keeps_every_bit(gradus, texts, tmp_path, dtype, kind):
    folder = hf_folder(texts, tmp_path / "hf", make_model("llama"), dtype)
    convert(gradus, folder, tmp_path / "m.gguf", kind)
    back(gradus, tmp_path / "m.gguf", tmp_path / "back", dtype)
    ours, theirs = (load_file(path / "model.safetensors") for path in (folder, tmp_path / "back"))
    assert ours.keys() == theirs.keys()
    for name, value in ours.items():
        assert value.dtype == theirs[name].dtype and torch.equal(value, theirs[name]), name
    for name in ("tokenizer.json", "chat_template.jinja"):
        assert (folder / name).read_bytes() == (tmp_path / "back" / name).read_bytes(), name


def test_l0_there_and_back_keeps_its_weights_and_tokenizer(gradus, tmp_path, l0_gguf):
    done = gradus("model", "import", l0_gguf, "--out", tmp_path / "hf")
    assert done.returncode == 0, done.stderr
    keys = keys_of(convert(gradus, tmp_path / "hf", tmp_path / "m.gguf", "BF16"))
    back(gradus, tmp_path / "m.gguf", tmp_path / "back", "bfloat16")
    for name in ("model.safetensors", "config.json", "tokenizer.json", "chat_template.jinja", "generation_config.json"):
        assert (tmp_path / "hf" / name).read_bytes() == (tmp_path / "back" / name).read_bytes(), name
    seed = keys_of(gguf.GGUFReader(l0_gguf))
    assert keys["general.size_label"] == "135M"
    for key in ("tokens", "token_type", "merges", "bos_token_id", "eos_token_id"):
        assert keys["tokenizer.ggml." + key] == seed["tokenizer.ggml." + key], key


def with_tokenizer(gradus, tmp_path, name):
    """A tiny qwen2 model with a real tokenizer."""
    if not TOKENIZERS.exists():
        pytest.skip(f"{TOKENIZERS} is absent")
    folder = tmp_path / "hf"
    if name == "llama-spm":
        (tmp_path / "spm").mkdir()
        shutil.copy(TOKENIZERS / name / "tokenizer.model", tmp_path / "spm")
        slow = transformers.LlamaTokenizerFast.from_pretrained(tmp_path / "spm", legacy=False)
        slow.save_pretrained(folder)
    else:
        folder.mkdir()
        text = gzip.decompress((TOKENIZERS / name / "tokenizer.json.gz").read_bytes())
        (folder / "tokenizer.json").write_bytes(text)
        bos = {"llama-bpe": {"bos_token": "<|begin_of_text|>"}}.get(name, {})
        (folder / "tokenizer_config.json").write_text(json.dumps(bos))
    size = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab_size()
    config = transformers.Qwen2Config(vocab_size=size + 3, hidden_size=32, intermediate_size=32, num_hidden_layers=1,
                                      num_attention_heads=2, num_key_value_heads=2)  # fmt: skip
    transformers.Qwen2ForCausalLM(config).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("name, pre", [
    ("gpt-2", "gpt-2"), ("llama-bpe", "llama-bpe"), ("qwen2", "qwen2"), ("falcon", "falcon"), ("llama-spm", "default"),
])  # fmt: skip
def test_real_tokenizers_survive(gradus, tmp_path, name, pre):
    folder = with_tokenizer(gradus, tmp_path, name)
    file = convert_file(gradus, folder, tmp_path / "m.gguf", "F16")
    assert text_key(file, "tokenizer.ggml.pre") == pre
    back(gradus, tmp_path / "m.gguf", tmp_path / "back")
    ours = tokenizers.Tokenizer.from_file(str(tmp_path / "back" / "tokenizer.json"))
    theirs = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    texts = json.loads(gzip.decompress((TOKENIZERS / "texts.json.gz").read_bytes()))
    texts = texts if isinstance(texts, list) else list(texts.values())
    if name == "llama-spm":  # convert warns that llama.cpp puts more spaces into these
        texts = [text for text in texts if not text.startswith(" ") and "<s>" not in text and "</s>" not in text]
    assert len(texts) > 10
    for text in texts:
        assert ours.encode(text).ids == theirs.encode(text).ids, text
    if name == "llama-spm":
        import sentencepiece

        model = sentencepiece.SentencePieceProcessor(str(TOKENIZERS / name / "tokenizer.model"))
        made = {"".join(pair) for pair in json.loads((folder / "tokenizer.json").read_text())["model"]["merges"]}
        scores = {id: model.get_score(id) for id in range(259, model.get_piece_size()) if model.id_to_piece(id) in made}
        unique = {id: score for id, score in scores.items() if score > -1e6}  # runs of spaces share one
        assert len(unique) > 29000
        keys = keys_of(gguf.GGUFReader(file))
        ours = keys["tokenizer.ggml.scores"]
        assert sorted(unique, key=lambda id: ours[id]) == sorted(unique, key=lambda id: unique[id])
        assert keys["tokenizer.ggml.token_type"][:5] == [2, 3, 3, 6, 6]
        assert keys["tokenizer.ggml.add_bos_token"] == (theirs.encode("a").ids[0] == 1)


@pytest.mark.parametrize("beside", [True, False])
def test_scores_are_those_of_the_sentencepiece_model(gradus, tmp_path, beside):
    import sentencepiece

    folder = with_tokenizer(gradus, tmp_path, "llama-spm")
    shutil.copy(TOKENIZERS / "llama-spm" / "tokenizer.model", folder)
    if not beside:
        (folder / "tokenizer.json").unlink()
    keys = keys_of(convert(gradus, folder, tmp_path / "m.gguf", "F16"))
    model = sentencepiece.SentencePieceProcessor(str(folder / "tokenizer.model"))
    size = model.get_piece_size()
    assert size == 32000
    assert keys["tokenizer.ggml.tokens"][:size] == [model.id_to_piece(id) for id in range(size)]
    assert keys["tokenizer.ggml.scores"][:size] == [model.get_score(id) for id in range(size)]
    assert keys["tokenizer.ggml.token_type"] == [2, 3, 3] + [6] * 256 + [1] * (size - 259) + [5] * 3
    # tokenizer.json says that nothing is put before a text; a model file alone is LLaMA's, with BOS.
    for key, value in dict(add_bos_token=not beside, add_eos_token=False, add_space_prefix=True,
                           bos_token_id=1, eos_token_id=2, unknown_token_id=0).items():  # fmt: skip
        assert keys["tokenizer.ggml." + key] == value, key
    texts = json.loads(gzip.decompress((TOKENIZERS / "texts.json.gz").read_bytes()))
    texts = texts if isinstance(texts, list) else list(texts.values())
    texts = [text for text in texts if text and "<s>" not in text and "</s>" not in text and "<unk>" not in text]
    assert len(texts) > 10
    back(gradus, tmp_path / "m.gguf", tmp_path / "back")
    ours = tokenizers.Tokenizer.from_file(str(tmp_path / "back" / "tokenizer.json"))
    expected = [model.encode(text) for text in texts]
    assert [ours.encode(text).ids for text in texts] == [ids if beside else [1, *ids] for ids in expected]
    if llama_cpp.AVAILABLE:
        assert llama_cpp.run(tmp_path / "m.gguf", [1], texts)[1] == expected


def edit(file, **changes):
    document = json.loads(file.read_text())
    for key, value in changes.items():
        *path, last = key.split("__")
        part = document
        for step in path:
            part = part[step]
        part[last] = value
    file.write_text(json.dumps(document))


def break_weight(folder, name, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors, name)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def put_nan(tensors, name):
    tensors[name][0, 3] = float("nan")


REFUSED = {
    "windows": (lambda f: edit(f / "config.json", use_sliding_window=True, sliding_window=8, max_window_layers=0, layer_types=None), ["config.json", "sliding window"]),
    "quantised": (lambda f: edit(f / "config.json", quantization_config={"quant_method": "gptq"}), ["config.json", "quantised"]),
    "unigram": (lambda f: edit(f / "tokenizer.json", model__type="Unigram"), ["tokenizer.json", "Unigram"]),
    "normalizer": (lambda f: edit(f / "tokenizer.json", normalizer={"type": "Lowercase"}), ["tokenizer.json", "Lowercase"]),
    "pre": (lambda f: edit(f / "tokenizer.json", pre_tokenizer={"type": "Whitespace"}), ["tokenizer.json", "Whitespace"]),
    "no merges": (lambda f: edit(f / "tokenizer.json", model__merges=[]), ["tokenizer.json", "merges"]),
    "settings": (lambda f: (f / "tokenizer_config.json").write_text("[]"), ["tokenizer_config.json", "is not an object"]),
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), ["tokenizer.json"]),
    "nan": (lambda f: break_weight(f, "model.layers.1.mlp.up_proj.weight", put_nan), ["model.layers.1.mlp.up_proj.weight", "finite"]),
    "stray": (lambda f: break_weight(f, "stray", lambda t, n: t.update(stray=torch.zeros(2))), ["stray", "no place"]),
    "missing": (lambda f: break_weight(f, "model.norm.weight", lambda t, n: t.pop(n)), ["model.norm.weight"]),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_gguf_cannot_say_is_refused_by_name(gradus, texts, tmp_path, case):
    change, words = REFUSED[case]
    folder = hf_folder(texts, tmp_path / "hf", make_model("qwen2"))
    change(folder)
    done = gradus("model", "convert", folder, "--out", tmp_path / "out.gguf", "--type", "Q8_0")
    assert done.returncode == 1, done.stderr
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, done.stderr
    for word in words:
        assert word in lines[0]
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith("out")]


def test_rounding_that_nobody_asked_for_is_said(gradus, texts, tmp_path):
    folder = hf_folder(texts, tmp_path / "hf", make_model("llama"))
    done = gradus("model", "convert", folder, "--out", tmp_path / "default.gguf")
    assert done.returncode == 0 and "--type F32 keeps them" in done.stderr
    exact = convert_file(gradus, folder, tmp_path / "exact.gguf", "F32")
    done = gradus("model", "import", exact, "--out", tmp_path / "default")
    assert done.returncode == 0 and "--dtype float32 keeps them" in done.stderr
    done = gradus("model", "import", exact, "--out", tmp_path / "again", "--dtype", "float32")
    assert done.returncode == 0 and "keeps them" not in done.stderr


def test_types_are_known_and_files_are_not_overwritten(gradus, texts, tmp_path):
    folder = hf_folder(texts, tmp_path / "hf", make_model("qwen2"))
    done = gradus("model", "convert", folder, "--out", tmp_path / "m.gguf", "--type", "Q4_K_X")
    assert done.returncode == 2 and "Q4_K_M" in done.stderr
    (tmp_path / "m.gguf").write_text("mine")
    done = gradus("model", "convert", folder, "--out", tmp_path / "m.gguf", "--type", "F16")
    assert done.returncode == 1 and "not overwritten" in done.stderr
    assert (tmp_path / "m.gguf").read_text() == "mine"
