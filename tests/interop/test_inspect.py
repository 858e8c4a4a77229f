# SPDX-License-Identifier: Apache-2.0
"""`gradus model inspect | diff | verify | forward` against transformers, safetensors and gguf."""

import json
import shutil

import gguf
import numpy
import pytest
import safetensors.torch
import test_adapter
import tiny_models
import tokenizers
import torch
import transformers

TEMPLATE = (
    "{% for m in messages %}<s>{% if m['role'] == 'system' %}!{% endif %}{{ m['content'] }}{% endfor %}"
    "{% if tools %}{{ tools | tojson }}{% endif %}{% if add_generation_prompt %}<s>{% endif %}"
)


def add_text(folder, size=300, template=TEMPLATE):
    vocabulary = {"<s>": 0, "</s>": 1, "<unk>": 2} | {f"w{i}": i for i in range(3, size)}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"bos_token": "<s>", "eos_token": "</s>", "chat_template": template}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """(folder, transformers model): a llama in one file with a tokenizer and a template."""
    folder = tmp_path_factory.mktemp("inspect") / "model"
    model = tiny_models.make("llama", folder)
    add_text(folder)
    (folder / "LICENSE").write_text("                Apache License\n           Version 2.0, January 2004\n")
    return folder, model


@pytest.fixture
def ask(gradus):
    def run(*arguments, code=0):
        result = gradus("model", *arguments, "--json")
        assert result.returncode == code, (result.stdout, result.stderr)
        return json.loads(result.stdout)

    return run


@pytest.mark.parametrize("family", ["llama", "llama_tied", "qwen3"])
def test_parameters_and_cache_are_those_of_transformers(ask, tmp_path, family):
    model = tiny_models.make(family, tmp_path / "m")
    report = ask("inspect", tmp_path / "m")
    assert report["family"] == model.config.model_type
    assert report["parameters"]["total"] == model.num_parameters() > 0
    parts = {"embedding": 0, "attention": 0, "mlp": 0, "norms": 0, "output": 0}
    for name, tensor in model.named_parameters():
        part = next(
            part
            for key, part in (("norm", "norms"), ("embed", "embedding"), ("lm_head", "output"), ("mlp", "mlp"),
                              ("attn", "attention"))
            if key in name
        )
        parts[part] += tensor.numel()
    assert report["parameters"]["by_part"] == {k: v for k, v in parts.items() if v}
    cache = model.to(torch.bfloat16)(torch.ones(1, 100, dtype=torch.long), use_cache=True).past_key_values
    stored = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert report["kv_cache"]["bytes_per_1000_tokens"] == 10 * stored > 0
    assert report["kv_cache"]["bytes_at_context"] == 256 * stored // 100 and report["kv_cache"]["window_layers"] == 0
    assert report["memory"]["bfloat16"] == 2 * model.num_parameters()


def test_stacked_experts_are_experts_and_would_be_quantised(ask, tmp_path):
    tiny_models.make("granitemoe", tmp_path / "m")
    stored = safetensors.torch.load_file(tmp_path / "m" / "model.safetensors")
    experts = [value for name, value in stored.items() if "put_linear" in name]
    layers = [value for name, value in stored.items() if "self_attn" in name] + experts
    report = ask("inspect", tmp_path / "m")
    assert len(experts) == 6 and report["parameters"]["by_part"]["experts"] == sum(value.numel() for value in experts)
    rest = sum(value.numel() for value in stored.values()) - sum(value.numel() for value in layers)
    in_int8 = sum(value.numel() + 2 * value.numel() // value.shape[-1] for value in layers)
    assert report["memory"]["int8"] == 2 * rest + in_int8


@pytest.mark.parametrize("family", ["falcon_7b", "falcon_rw", "gpt2", "mpt", "phi", "gemma"])
def test_the_cache_is_that_of_transformers_whatever_the_keys_are_called(ask, tmp_path, family):
    model = tiny_models.make(family, tmp_path / "m").to(torch.bfloat16)
    cache = model(torch.ones(1, 100, dtype=torch.long), use_cache=True).past_key_values
    stored = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert ask("inspect", tmp_path / "m")["kv_cache"]["bytes_per_1000_tokens"] == 10 * stored > 0


@pytest.mark.parametrize("family", ["mistral_window", "qwen2_window", "gemma2", "gemma3_text", "phi3"])
def test_layers_with_a_window_are_those_of_transformers(ask, tmp_path, family):
    model = tiny_models.make(family, tmp_path / "m")
    layers = transformers.DynamicCache(config=model.config).layers
    windows = sum(layer.is_sliding for layer in layers)
    assert windows > 0
    path = tmp_path / "m" / "config.json"
    config = json.loads(path.read_text())
    sizes = ask("inspect", tmp_path / "m")["kv_cache"]
    assert (sizes["layers"], sizes["window_layers"], sizes["window"]) == (len(layers), windows, model.config.sliding_window)
    one = sizes["bytes_per_1000_tokens"] // 1000 // len(layers)
    assert sizes["bytes_at_context"] == one * ((len(layers) - windows) * 256 + windows * model.config.sliding_window)
    pattern = {"sliding_window_pattern": 3} if family == "gemma3_text" else {}
    path.write_text(json.dumps({k: v for k, v in config.items() if k != "layer_types"} | pattern))  # older files
    assert ask("inspect", tmp_path / "m")["kv_cache"] == sizes


def test_a_report_tells_tokenizer_template_and_licence(ask, gradus, made):
    folder, model = made
    report = ask("inspect", folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)
    assert report["tokenizer"]["vocab_size"] == len(theirs) == 300
    assert (report["tokenizer"]["bos_token"], report["tokenizer"]["eos_token"]) == (theirs.bos_token, theirs.eos_token)
    assert report["tokenizer"]["special_tokens"] == {"0": "<s>", "1": "</s>"}
    assert report["tokenizer"]["type"] == "WordLevel"
    assert report["chat_template"]["roles"] == ["system"]
    assert report["chat_template"]["uses"] == ["tools", "add_generation_prompt"]
    assert report["licences"] == {"model": "apache-2.0"}
    stored = safetensors.torch.load_file(folder / "model.safetensors")
    assert {t["name"]: t["shape"] for t in report["tensors"]} == {k: list(v.shape) for k, v in stored.items()}
    assert report["dtypes"]["F32"]["bytes"] == sum(t.nbytes for t in stored.values())
    text = gradus("model", "inspect", folder).stdout
    assert "WordLevel, 300 tokens" in text and "apache-2.0" in text and "{" not in text
    assert "model_type" not in text  # whole documents are for --json


def test_a_quantised_folder_tells_parameters_memory_and_its_parents(ask, gradus, made, tmp_path):
    folder, model = made
    for scheme in ("int8", "int4"):
        out = tmp_path / scheme
        groups = ["group_size=16"] if scheme == "int4" else []
        result = gradus("quantize", f"model={folder}", f"out={out}", f"scheme={scheme}", *groups)
        assert result.returncode == 0, result.stderr
        report = ask("inspect", out)
        assert report["parameters"]["total"] == model.num_parameters()
        assert report["quantization"]["num_bits"] == (8 if scheme == "int8" else 4)
        assert report["lineage"].splitlines()[1].strip().startswith("└─ base:")
        assert report["licences"]["base"] == "apache-2.0"


def test_an_adapter_and_a_gguf_file_are_reported(ask, tmp_path):
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    (adapter / "adapter_config.json").write_text(json.dumps({"peft_type": "LORA", "r": 4, "lora_alpha": 8}))
    tensors = {f"base_model.model.x.lora_{k}.weight": torch.ones(4, 16) for k in "AB"}
    safetensors.torch.save_file(tensors, adapter / "adapter_model.safetensors")
    report = ask("inspect", adapter)
    assert (report["kind"], report["family"], report["adapter"]["r"]) == ("adapter", "LORA", 4)
    assert report["adapter"]["base"] is None and report["kv_cache"] is None
    assert report["parameters"] == {"total": 128, "by_part": {"adapter": 128}}

    path = tmp_path / "m.gguf"
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(2)
    writer.add_head_count(4)
    writer.add_head_count_kv(2)
    writer.add_embedding_length(32)
    writer.add_license("mit")
    writer.add_token_list(["<s>", "a"])
    writer.add_token_types([3, 1])
    writer.add_bos_token_id(0)
    writer.add_tensor("token_embd.weight", numpy.ones((2, 32), numpy.float32))
    writer.add_tensor("blk.0.attn_q.weight", numpy.ones((32, 32), numpy.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    report = ask("inspect", path)
    assert (report["kind"], report["family"], report["licences"]) == ("gguf", "llama", {"model": "mit"})
    assert report["parameters"] == {"total": 1088, "by_part": {"attention": 1024, "embedding": 64}}
    assert report["kv_cache"]["bytes_per_1000_tokens"] == 1000 * 2 * 2 * 2 * 8 * 2
    assert report["tokenizer"]["special_tokens"] == {"0": "<s>"}


def changed_copy(folder, out, change):
    shutil.copytree(folder, out)
    tensors = safetensors.torch.load_file(out / "model.safetensors")
    change(tensors)
    safetensors.torch.save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    return tensors


def test_diff_names_tensors_and_keys_with_the_largest_difference(ask, gradus, made, tmp_path):
    folder, _ = made
    name = "model.layers.1.mlp.up_proj.weight"

    def change(tensors):
        tensors[name][3, 5] += 0.5
        tensors[name][0, 0] *= -1
        tensors["extra"] = torch.ones(2)
        del tensors["model.norm.weight"]

    before = safetensors.torch.load_file(folder / "model.safetensors")
    after = changed_copy(folder, tmp_path / "other", change)
    config = json.loads((tmp_path / "other" / "config.json").read_text())
    config |= {"rms_norm_eps": 1e-6, "transformers_version": "other"}
    (tmp_path / "other" / "config.json").write_text(json.dumps(config))
    add_text(tmp_path / "other", template="{{ messages }}")

    assert ask("diff", folder, folder)["equal"] is True
    result = ask("diff", folder, tmp_path / "other", code=1)
    assert result["config"] == ["rms_norm_eps: 1e-05 and 1e-06"]
    assert result["text"] == ["chat template: its files differ"]
    found = {t["name"]: t for t in result["tensors"]}
    assert {n: t["what"] for n, t in found.items()} == {
        "extra": "only in the second", "model.norm.weight": "only in the first", name: "values"}
    gap = (before[name].double() - after[name].double()).abs()
    largest = torch.maximum(before[name].abs(), after[name].abs()).double()
    assert found[name]["differing_values"] == int((gap > 0).sum()) == 2
    assert found[name]["largest_absolute"] == gap.max().item() > 0
    assert found[name]["largest_relative"] == pytest.approx((gap / largest).nan_to_num(0).max().item(), rel=1e-12)
    text = gradus("model", "diff", folder, tmp_path / "other")
    assert text.returncode == 1 and f"tensor  {name}: values, 2 values differ" in text.stdout


def test_diff_compares_precisions_and_sees_nan(ask, made, tmp_path):
    folder, model = made
    model_bf16 = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.bfloat16)
    model_bf16.save_pretrained(tmp_path / "bf16")
    result = ask("diff", folder, tmp_path / "bf16", code=1)
    gaps = [t["largest_relative"] for t in result["tensors"] if t["differing_values"]]
    assert gaps and max(gaps) < 2**-8 and result["tensors"][0]["what"] == "dtype F32 and BF16"

    def change(tensors):
        tensors["model.norm.weight"][0] = float("nan")

    changed_copy(folder, tmp_path / "nan", change)
    (entry,) = ask("diff", folder, tmp_path / "nan", code=1)["tensors"]
    assert entry["differing_values"] == 1 and entry["largest_absolute"] is None


def test_verify_accepts_a_whole_model_and_names_what_is_wrong(ask, gradus, made, tmp_path):
    folder, _ = made
    checks = ask("verify", folder)["checks"]
    assert all(check["ok"] for check in checks.values()) and len(checks) == 4

    def damage(name, change=lambda tensors: None):
        changed_copy(folder, tmp_path / name, change)
        return tmp_path / name

    def only_failure(path):
        result = gradus("model", "verify", path, "--json")
        assert result.returncode == 1 and "is not whole" in result.stderr
        failed = {k: v["detail"] for k, v in json.loads(result.stdout)["checks"].items() if not v["ok"]}
        assert len(failed) == 1, failed
        return next(iter(failed.items()))

    def nan(tensors):
        tensors["model.norm.weight"][1] = float("nan")

    name, said = only_failure(damage("nan", nan))
    assert name == "weights" and "model.norm.weight" in said
    name, said = only_failure(damage("missing", lambda tensors: tensors.pop("model.norm.weight")))
    assert name == "weights" and "model.norm.weight: missing" in said
    path = damage("vocabulary")
    add_text(path, size=400)
    assert only_failure(path)[0] == "tokenizer"
    path = damage("template")
    add_text(path, template="{% for m in %}")
    assert only_failure(path)[0] == "chat_template"
    out = tmp_path / "quantised"
    assert gradus("quantize", f"model={folder}", f"out={out}", "scheme=int8").returncode == 0
    assert ask("verify", out)["checks"]["lineage"]["ok"]
    (out / "generation_config.json").write_text("{}")
    name, said = only_failure(out)
    assert name == "lineage" and "generation_config.json" in said


def test_verify_looks_at_adapters_and_gguf_files_too(ask, gradus, made, tmp_path):
    folder, _ = made
    test_adapter.make_adapter(tmp_path, folder, "adapter", target_modules=["q_proj"])
    checks = ask("verify", tmp_path / "adapter")["checks"]
    assert checks.keys() == {"lineage", "weights", "base"} and all(check["ok"] for check in checks.values())
    assert "3 adapted modules" in checks["weights"]["detail"] and checks["base"]["detail"] == f"fits {folder}"
    report = ask("inspect", tmp_path / "adapter")
    assert report["adapter"]["base"] == report["adapter"]["base_folder"] == str(folder)
    tiny_models.make("qwen3", tmp_path / "other")
    path = tmp_path / "adapter" / "adapter_config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps(config | {"base_model_name_or_path": str(tmp_path / "other")}))
    checks = ask("verify", tmp_path / "adapter", code=1)["checks"]
    assert [k for k, v in checks.items() if not v["ok"]] == ["base"] and "does not fit" in checks["base"]["detail"]
    path.write_text(json.dumps(config | {"base_model_name_or_path": "acme/none"}))
    assert "hf://acme/none is not here" in ask("verify", tmp_path / "adapter")["checks"]["base"]["detail"]

    def write(name, value):
        writer = gguf.GGUFWriter(tmp_path / name, "llama")
        writer.add_token_list(["<s>", "a"])
        writer.add_chat_template("{{ messages }}")
        writer.add_tensor("token_embd.weight", numpy.full((2, 32), value, numpy.float16))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return tmp_path / name

    checks = ask("verify", write("good.gguf", 1.0))["checks"]
    assert checks.keys() == {"weights", "tokenizer", "chat_template"} and all(check["ok"] for check in checks.values())
    assert checks["tokenizer"]["detail"] == "2 tokens in a vocabulary of 2"
    weights = ask("verify", write("bad.gguf", float("nan")), code=1)["checks"]["weights"]
    assert not weights["ok"] and "token_embd.weight" in weights["detail"]


def test_what_is_no_model_is_one_clear_line(gradus, made, tmp_path):
    folder, _ = made
    test_adapter.make_adapter(tmp_path, folder, "adapter", target_modules=["q_proj"])
    run = tmp_path / "run"
    run.mkdir()
    shutil.copytree(folder, run / "model")
    for arguments, words in [
        (["inspect", tmp_path / "none"], "does not exist"),
        (["verify", tmp_path / "none"], "does not exist"),
        (["inspect", run], f"look at {run / 'model'}"),
        (["verify", run], f"its model is in {run / 'model'}"),
        (["diff", folder, run], f"look at {run / 'model'}"),
        (["diff", folder, tmp_path / "adapter"], "an adapter can be compared with an adapter only"),
    ]:
        result = gradus("model", *arguments)
        assert result.returncode == 1 and words in result.stderr, result.stderr
        assert result.stderr.count("\n") == 1 and not result.stdout


def test_forward_takes_rows_of_different_lengths(gradus, made, tmp_path):
    folder, model = made
    rows = [[1, 5, 9], [7, 3, 2, 11, 200], [4]]
    (tmp_path / "ids.json").write_text(json.dumps(rows))
    out = tmp_path / "logits.safetensors"
    result = gradus("model", "forward", folder, "--ids", tmp_path / "ids.json", "--dtype", "float32", "--out", out,
                    "--device", "cpu")
    assert result.returncode == 0, result.stderr
    logits = safetensors.torch.load_file(out)
    assert set(logits) == {"logits.0", "logits.1", "logits.2"}
    for i, row in enumerate(rows):
        with torch.no_grad():
            expected = model(torch.tensor([row])).logits[0]
        assert expected.abs().mean() > 0.1
        torch.testing.assert_close(logits[f"logits.{i}"], expected, rtol=1e-4, atol=1e-4)
