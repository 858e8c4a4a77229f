# SPDX-License-Identifier: Apache-2.0
"""Models that go there and back: Hugging Face → GGUF → Hugging Face, → adapter → merged, → int4.

Names and row orders of GGUF files are those of llama.cpp if llama.cpp computes the model's logits
from them; transformers' own reader is a second witness for the families that it knows.
"""

import ast
import concurrent.futures
import functools
import json
import types

import gguf
import llama_cpp
import plain_models
import pytest
import safetensors.torch
import tiny_models
import tokenizers
import torch
import transformers
from gguf_models import write_tokenizer
from test_adapter import make_adapter, merge
from test_model_forward import forward
from test_quantize import dequantised, quantize
from test_tokenizer import rwkv_encode

# name of tiny_models, and a word for one of several -> what its config must say for llama.cpp to know it
GGUF = {
    "llama": {},
    "llama_tied": {},
    "llama_biases": {},
    "llama_wide_heads": {},
    "llama3_rope": {},
    "llama_linear_rope": {},
    "llama_yarn_rope": {},
    "mistral": {},
    "mistral_window": {},
    "mixtral": {},
    "qwen2": {},
    "qwen2 yarn": {"rope_parameters": tiny_models.YARN_ROPE},
    "qwen3": {},
    "qwen3 yarn": {"rope_parameters": tiny_models.YARN_ROPE},
    "qwen3 linear": {"rope_parameters": tiny_models.LINEAR_ROPE},
    "qwen2_moe": {"decoder_sparse_step": 1},
    "qwen3_moe": {"mlp_only_layers": []},
    "granite": {},
    "granitemoe": {},
    "smollm3": {"no_rope_layer_interval": 4, "num_hidden_layers": 5},
    "olmo2": {},
    "phi3": {},
    # llama.cpp takes the factors of the length that its context has, at least 256.
    "phi3_longrope": {"original_max_position_embeddings": 256, "max_position_embeddings": 1024},
    "phi3_beyond": {},
    "gemma": {},
    "gemma2": {"query_pre_attn_scalar": 32},
    "gemma3_text": {"query_pre_attn_scalar": 32, "sliding_window_pattern": 6, "num_hidden_layers": 7},
    "glm": {},
    "glm4": {},
    "starcoder2": {},
    "stablelm": {},
    "stablelm_qk_norm": {},
    "stablelm_parallel": {},
    "phi": {},
    "gpt2": {},
    "gpt_neox": {},
    "gpt_neox_sequential": {"attention_bias": True},
    "cohere": {},
    "cohere2": {},
    "olmo": {},
    "olmoe": {"num_key_value_heads": 4},
    "seed_oss": {},
    "ernie4_5": {"use_bias": False},
    "exaone4": {},
    "exaone4 window": {"num_hidden_layers": 64, "sliding_window": 8, "layer_types": None},
    "rwkv7_heads_of_64": {},
    "falcon_7b": {},
    "falcon_40b": {},
    "falcon_11b": {},
    "mpt": {},
    "internlm2": {},
    "chatglm2": {},
    "chatglm3_long": {},
    "baichuan_7b": {"num_hidden_layers": 32},
    "baichuan_13b": {"num_hidden_layers": 40},
    "qwen": {},
}
# Other models -> a word of the refusal
REFUSED = {
    "qwen2_window": "sliding window",
    "qwen2_moe": "choice of experts",
    "qwen3_moe": "choice of experts",
    "smollm3": "rotation",
    "smollm3_window": "sliding window",
    "gemma2": "scale of attention scores",
    "gemma3_text": "scale of attention scores",
    "llama_dynamic_rope": "rotary",
    "phi_qk_norm": "norm of queries and keys",
    "falcon_rw": "order of attention",
    "gpt_neox_sequential": "bias of queries",
    "baichuan_7b": "block_count",
    "baichuan_13b": "block_count",
    "baichuan2_7b": "normalised output projection",
    "baichuan2_13b": "normalised output projection",
    "deepseek_v2": "family",
    "deepseek_v2_groups": "family",
    "deepseek_v3": "family",
    "rwkv": "family",
    "rwkv_wide": "family",
    "rwkv7": "layer_norm_epsilon",
    "rwkv7_no_kernel": "layer_norm_epsilon",
    "olmoe": "head_count_kv",
    "cohere_qk_norm": "norm of queries and keys, which llama.cpp has from 64 layers on",
    "exaone4_window": "sliding_window",
    "glm4_moe": "family",
    "glm4_moe_qk_norm": "family",
}
REFUSED_WITH = {"baichuan2_7b": {"num_hidden_layers": 32}, "baichuan2_13b": {"num_hidden_layers": 40}}
# llama.cpp heeds no window in these: only up to 8 tokens it computes the same.
NO_WINDOW = {"mistral_window", "mixtral", "phi3", "starcoder2"}
# llama.cpp looks GELU up in a table of fp16, and has the tanh form alone.
GELU = {"gemma", "gemma2", "gemma3_text", "starcoder2", "phi", "gpt2", "gpt_neox", "gpt_neox_sequential",
        "falcon_7b", "falcon_40b", "falcon_11b", "mpt"}  # fmt: skip
# What transformers reads too.
TRANSFORMERS = ["llama", "llama_tied", "qwen2", "qwen3", "qwen2_moe", "qwen3_moe", "phi3", "stablelm", "gpt2",
                "starcoder2", "falcon_7b", "gemma2", "gemma3_text"]  # fmt: skip
IDS = torch.randint(0, 320, (1, 40), generator=torch.Generator().manual_seed(1))


def make(name, folder, **more):
    model = tiny_models.make(name.split()[0], folder, **more)
    write_tokenizer(folder)
    return model


def logits(model, ids=IDS):
    with torch.no_grad():
        return model(ids).logits


def convert(gradus, folder, file, kind="F32"):
    done = gradus("model", "convert", folder, "--out", file, "--type", kind)
    assert done.returncode == 0, done.stderr
    return file


def back(gradus, file, folder, dtype="float32"):
    done = gradus("model", "import", file, "--out", folder, "--dtype", dtype)
    assert done.returncode == 0, done.stderr
    return folder


def tensors_of(folder):
    return safetensors.torch.load_file(folder / "model.safetensors")


def assert_same_tensors(ours, theirs, plus_one=False):
    """Equal bytes; norms that GGUF stores with 1 added are rounded next to 1."""
    assert ours.keys() == theirs.keys() and len(ours) >= 20
    for name, value in theirs.items():
        assert ours[name].dtype == value.dtype and ours[name].shape == value.shape, name
        if plus_one and "norm" in name:
            torch.testing.assert_close(ours[name], value, rtol=0, atol=1.2e-7)
        else:
            assert torch.equal(ours[name], value), name


# Of these a file may say what another leaves to its default; the logits show that they agree.
SAID_OR_NOT = {"attention_bias", "head_dim", "hidden_act", "hidden_activation", "mlp_bias", "n_inner",
               "num_key_value_heads", "partial_rotary_factor", "pretraining_tp", "rms_norm_eps", "sliding_window"}  # fmt: skip
NOT_OF_THE_MODEL = {"_name_or_path", "dtype", "architectures", "transformers_version", "use_cache"}


def config_of(folder, name):
    if name in plain_models.MODELS:
        return json.loads((folder / "config.json").read_text())
    return transformers.AutoConfig.from_pretrained(folder).to_dict()


def assert_same_config(ours, theirs, name):
    plain = name in plain_models.MODELS  # whose config.json has no class to fill it
    for key in (ours.keys() | theirs.keys()) - NOT_OF_THE_MODEL:
        if ours.get(key) == theirs.get(key) or (name == "mistral" and key == "model_type"):
            continue
        if isinstance(ours.get(key), dict) and isinstance(theirs.get(key), dict):
            assert_same_config(ours[key], theirs[key], name)
            continue
        silent = ours.get(key) is None or theirs.get(key) is None
        assert silent and (plain or key in SAID_OR_NOT), (key, ours.get(key), theirs.get(key))


def assert_same_logits(folder, expected, name):
    if name in plain_models.MODELS:
        return
    model, report = transformers.AutoModelForCausalLM.from_pretrained(
        folder, dtype=torch.float32, output_loading_info=True
    )
    assert not report["missing_keys"] and not report["unexpected_keys"], report
    model.config._attn_implementation = "eager"
    torch.testing.assert_close(logits(model.eval()), expected, rtol=1e-5, atol=1e-5)


def is_close(ours, theirs, name):
    error = (ours - theirs).abs().max() / theirs.abs().max()
    print(name, float(error))
    return error <= (2e-3 if name in GELU else 1e-4)


def test_every_small_model_is_in_a_list():
    assert {name.split()[0] for name in GGUF} | REFUSED.keys() == set(tiny_models.ALL)


@pytest.fixture(scope="module")
def trips(request, gradus, tmp_path_factory):
    """Of each model of the tests that run: there and back, two at a time while others are made."""
    tests = (test_gguf_is_what_llama_cpp_reads_and_comes_back, test_gguf_is_what_transformers_reads)
    found = {}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for item in request.session.items:
            name = item.callspec.params["name"] if item.function in tests else None
            if name is None or name in found:
                continue
            root = tmp_path_factory.mktemp("trip")
            model = make(name, root / "hf", **GGUF[name])
            trip = functools.partial(there_and_back, gradus, root)
            found[name] = types.SimpleNamespace(root=root, config=model.config, logits=logits(model), done=pool.submit(trip))
        yield found


def there_and_back(gradus, root):
    return back(gradus, convert(gradus, root / "hf", root / "m.gguf"), root / "back")


@pytest.mark.parametrize("name", GGUF)
def test_gguf_is_what_llama_cpp_reads_and_comes_back(trips, name):
    trip = trips[name]
    assert trip.logits.abs().mean() > 0.1
    folder, original = trip.done.result(), trip.root / "hf"
    assert_same_tensors(tensors_of(folder), tensors_of(original), plus_one="gemma" in name)
    assert_same_config(config_of(folder, name), config_of(original, name), name)
    assert_same_logits(folder, trip.logits, name)
    length = 8 if name in NO_WINDOW else IDS.shape[1]
    found, _ = llama_cpp.run(trip.root / "m.gguf", IDS[0, :length].tolist())
    assert is_close(found, trip.logits[0, :length], name)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_gguf_is_what_transformers_reads(trips, name):
    trip = trips[name]
    trip.done.result()
    # It reads no more than the sizes of a config, so that it is told the rest.
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        trip.root, gguf_file="m.gguf", config=trip.config, dtype=torch.float32
    ).eval()
    torch.testing.assert_close(logits(theirs), trip.logits, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", REFUSED)
def test_what_llama_cpp_cannot_say_is_refused(gradus, tmp_path, name):
    make(name, tmp_path / "hf", **REFUSED_WITH.get(name, {}))
    done = gradus("model", "convert", tmp_path / "hf", "--out", tmp_path / "m.gguf", "--type", "F32")
    assert done.returncode == 1 and not (tmp_path / "m.gguf").exists()
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and REFUSED[name] in lines[0], done.stderr


# What families that llama.cpp knows may say and it does not: a model, its config, a word of the refusal
REFUSED_FORMS = [
    *((name, {"tie_word_embeddings": True}, "tied output projection") for name in ("olmoe", "olmo2", "qwen2_moe", "stablelm", "phi", "gpt_neox")),
    *((name, {"tie_word_embeddings": False}, "output projection of its own") for name in ("gemma", "gemma2")),
    *((name, {"head_dim": 32}, "width of heads: 32") for name in ("exaone4", "olmo", "olmo2", "qwen2", "glm")),
    ("olmo", {"hidden_act": "gelu"}, "no such activation: gelu"),
    ("cohere", {"use_qk_norm": True}, "norm of queries and keys"),
    ("olmoe", {"norm_topk_prob": True}, "no such normalisation of the experts' weights"),
]  # fmt: skip


@pytest.mark.parametrize("name, more, word", REFUSED_FORMS)
def test_forms_that_llama_cpp_does_not_know_are_refused_in_words(gradus, tmp_path, name, more, word):
    make(name, tmp_path / "hf", **{**GGUF[name], **more})
    done = gradus("model", "convert", tmp_path / "hf", "--out", tmp_path / "m.gguf", "--type", "F32")
    assert done.returncode == 1 and not (tmp_path / "m.gguf").exists()
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1 and word in lines[0], done.stderr


def narrow(folder, dtype):
    """Stores the folder's weights and name of dtype as `dtype`."""
    tensors = {name: value.to(dtype) for name, value in tensors_of(folder).items()}
    safetensors.torch.save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((folder / "config.json").read_text())
    config["dtype"] = str(dtype).removeprefix("torch.")
    (folder / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize("name", ["llama", "qwen2_moe", "gpt2", "falcon_40b"])
def test_bfloat16_comes_back_as_it_was(gradus, tmp_path, name):
    make(name, tmp_path / "hf", **GGUF[name])
    narrow(tmp_path / "hf", torch.bfloat16)
    file = convert(gradus, tmp_path / "hf", tmp_path / "m.gguf", "BF16")
    folder = back(gradus, file, tmp_path / "back", "bfloat16")
    assert_same_tensors(tensors_of(folder), tensors_of(tmp_path / "hf"))


TEXTS = ["", "the other one in an island", "Grüße, 世界 🙂", " a  b\n\tc ", "<|user|>then<|eos|>", "x = 10 + 3.5;"]


def test_tokens_come_back_and_are_those_of_llama_cpp(gradus, tmp_path):
    make("llama", tmp_path / "hf")
    file = convert(gradus, tmp_path / "hf", tmp_path / "m.gguf")
    folder = back(gradus, file, tmp_path / "back")
    theirs, ours = (tokenizers.Tokenizer.from_file(str(path / "tokenizer.json")) for path in (tmp_path / "hf", folder))
    ids = [theirs.encode(text).ids for text in TEXTS]
    assert [ours.encode(text).ids for text in TEXTS] == ids and len(ids[1]) > 10
    assert llama_cpp.run(file, [1], TEXTS[1:])[1] == ids[1:]


def write_rwkv_vocabulary(folder):
    """All bytes and some words, as RWKV's World vocabularies list them; {token: id}."""
    words = ["the", " the", "\n\n", "isl", "'s", "\"\"", "don't", "世界", "ü"]
    tokens = [bytes([byte]) for byte in range(256)] + [word.encode() for word in words]
    lines = [f"{i + 1} {token!r} {len(token)}" for i, token in enumerate(tokens)]
    (folder / "rwkv_vocab_v20230424.txt").write_text("\n".join(lines) + "\n")
    flags = dict(lstrip=False, normalized=False, rstrip=False, single_word=False)
    added = {"0": {"content": "<|rwkv_tokenizer_end_of_text|>", "special": True, **flags}}
    settings = {"added_tokens_decoder": added, "eos_token": added["0"]["content"], "bos_token": added["0"]["content"]}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return {token: i + 1 for i, token in enumerate(tokens)}


def test_rwkv_s_vocabulary_comes_back_and_is_that_of_llama_cpp(gradus, tmp_path):
    tiny_models.make("rwkv7_heads_of_64", tmp_path / "hf")
    tokens = write_rwkv_vocabulary(tmp_path / "hf")
    file = convert(gradus, tmp_path / "hf", tmp_path / "m.gguf")
    reader = gguf.GGUFReader(file)
    written = reader.get_field("tokenizer.ggml.tokens").contents()
    assert reader.get_field("tokenizer.ggml.model").contents() == "rwkv" and len(written) == 320
    assert written[1 : len(tokens) + 1] == [repr(token)[2:-1] for token in tokens]
    folder = back(gradus, file, tmp_path / "back")
    lines = (folder / "rwkv_vocab_v20230424.txt").read_text().splitlines()
    assert {ast.literal_eval(line.split(" ", 1)[1].rsplit(" ", 1)[0]): int(line.split()[0]) for line in lines} == tokens
    settings = [json.loads((path / "tokenizer_config.json").read_text()) for path in (tmp_path / "hf", folder)]
    for key in ("added_tokens_decoder", "eos_token", "bos_token"):
        assert settings[0][key] == settings[1][key], key
    texts = ["the other one in an island", "Grüße, 世界 🙂", " a  b\n\t\n\nc'don't\"", "<|rwkv_tokenizer_end_of_text|>a"]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    for path in (tmp_path / "hf", folder):
        done = gradus("tokenizer", "encode", "--model", path, "--file", tmp_path / "texts.json")
        assert json.loads(done.stdout) == [rwkv_encode(text, tokens) for text in texts[:-1]] + [[0, tokens[b"a"]]], done.stderr
    expected = json.loads(done.stdout)
    assert llama_cpp.run(file, [1], texts)[1] == expected


def test_rwkv_s_special_tokens_are_escaped_in_the_file_alone(gradus, tmp_path):
    tiny_models.make("rwkv7_heads_of_64", tmp_path / "hf")
    tokens = write_rwkv_vocabulary(tmp_path / "hf")
    end = tokens[b"\n\n"]
    settings = json.loads((tmp_path / "hf" / "tokenizer_config.json").read_text())
    added = {"content": "<a\\n>", "special": False, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False}
    settings["added_tokens_decoder"]["300"] = added
    settings["eos_token"] = "\n\n"
    (tmp_path / "hf" / "tokenizer_config.json").write_text(json.dumps(settings))
    file = convert(gradus, tmp_path / "hf", tmp_path / "m.gguf")
    reader = gguf.GGUFReader(file)
    assert reader.get_field("tokenizer.ggml.eos_token_id").contents() == end
    folder = back(gradus, file, tmp_path / "back")
    returned = json.loads((folder / "tokenizer_config.json").read_text())
    assert returned["eos_token"] == "\n\n" and returned["added_tokens_decoder"]["300"] == added
    texts = ["a<a\\n>b", "<a\n>", "a\n\nb"]
    (tmp_path / "texts.json").write_text(json.dumps(texts))
    ids = [[tokens[b"a"], 300, tokens[b"b"]], [tokens[bytes([c])] for c in b"<a\n>"], [tokens[b"a"], end, tokens[b"b"]]]
    for path in (tmp_path / "hf", folder):
        done = gradus("tokenizer", "encode", "--model", path, "--file", tmp_path / "texts.json")
        assert json.loads(done.stdout) == ids, done.stderr
    assert llama_cpp.run(file, [1], texts)[1] == ids


@pytest.mark.parametrize("name", ["llama", "qwen3", "gemma2", "phi3"])
def test_q8_0_comes_back_within_its_error(gradus, tmp_path, name):
    """docs/formats.md: weights within 0.7 %, logits within 3 % (norms of the differences)."""
    model = make(name, tmp_path / "hf", **GGUF[name])
    file = convert(gradus, tmp_path / "hf", tmp_path / "m.gguf", "Q8_0")
    folder = back(gradus, file, tmp_path / "back")
    exact, changed = tensors_of(tmp_path / "hf"), 0
    for tensor, value in tensors_of(folder).items():
        error = (value - exact[tensor]).norm() / exact[tensor].norm()
        assert error <= 7e-3, (tensor, error)
        changed += int(error > 1e-4)
    assert changed >= 3 * 4
    ours = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    expected = logits(model)
    assert (logits(ours) - expected).norm() <= 0.03 * expected.norm()


ADAPTED = {
    "mistral": ["q_proj", "down_proj"],
    "phi3": ["qkv_proj", "down_proj"],
    "gemma2": ["k_proj", "up_proj"],
    "qwen3": "all-linear",
}


@pytest.mark.parametrize("name", ADAPTED)
def test_adapters_of_peft_merge_as_peft_merges_them(gradus, tmp_path, name):
    base = tiny_models.make(name, tmp_path / "base", **GGUF[name])
    adapted = make_adapter(tmp_path, tmp_path / "base", "adapter", target_modules=ADAPTED[name])
    unmerged = logits(adapted)
    assert (unmerged - logits(base)).abs().max() > 0.05
    merge(gradus, tmp_path, tmp_path / "adapter", "--base", tmp_path / "base", "--out", tmp_path / "merged")
    ours = forward(gradus, tmp_path / "merged", IDS.tolist(), tmp_path)
    torch.testing.assert_close(ours, unmerged, rtol=1e-4, atol=1e-4)
    theirs = adapted.merge_and_unload()
    torch.testing.assert_close(ours, logits(theirs), rtol=1e-4, atol=1e-4)
    for tensor, value in tensors_of(tmp_path / "merged").items():
        torch.testing.assert_close(value, theirs.state_dict()[tensor], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "mistral", "gemma2"])
def test_int4_computes_what_compressed_tensors_reads(gradus, tmp_path, name):
    model = tiny_models.make(name, tmp_path / "model", **GGUF[name])
    stored = quantize(gradus, tmp_path / "model", tmp_path / "int4", "int4")
    state = model.state_dict()
    changed = [tensor for tensor in state if tensor.removesuffix("weight") + "weight_scale" in stored]
    assert len(changed) == 3 * 7
    for tensor in changed:
        state[tensor] = dequantised(stored, tensor.removesuffix(".weight"), "int4")
    model.load_state_dict(state)
    expected = logits(model)
    ours = forward(gradus, tmp_path / "int4", IDS.tolist(), tmp_path)
    assert (ours - expected).norm() <= 1e-3 * expected.norm()
