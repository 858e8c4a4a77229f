# SPDX-License-Identifier: Apache-2.0
"""Quantised checkpoints of other programs: the logits are those of transformers with the weights that
the published format stands for. compressed-tensors' own package packs and unpacks its schemes; the
others are packed here as their papers' programs do, and expanded by plain arithmetic; small files that
auto_gptq, autoawq and bitsandbytes made themselves are in tests/fixtures/quantized."""

import json
import shutil

import pytest
import tiny_models
import torch
from compressed_tensors.compressors.naive_quantized import NaiveQuantizationCompressor
from compressed_tensors.compressors.pack_quantized import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from conftest import ROOT
from safetensors.torch import load_file, save_file

GROUP = 16
FIXTURES = ROOT / "tests" / "fixtures" / "quantized"


def logits(gradus, folder, ids, *more):
    (folder / "ids.json").write_text(json.dumps(ids))
    out = folder / "logits.out"
    out.unlink(missing_ok=True)
    done = gradus("model", "forward", folder, "--ids", folder / "ids.json", "--dtype", "float32", "--out", out, *more)
    return done, load_file(out)["logits"] if done.returncode == 0 else None


def grouped(weight, size):
    return weight.reshape(weight.shape[0], -1, size)


def symmetric(weight, bits, size):
    """(integers [N, K], scales [N, G]) with q in -2^(b-1) … 2^(b-1) - 1."""
    groups = grouped(weight, size)
    scale = groups.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 0.5)
    q = (groups / scale).round().clamp(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    return q.reshape(weight.shape).int(), scale.squeeze(-1)


def affine(weight, bits, size):
    """(integers 0 … 2^b - 1, scales [N, G], zero points [N, G] from 1 on)."""
    groups = grouped(weight, size)
    low, high = groups.amin(-1, keepdim=True).clamp(max=0), groups.amax(-1, keepdim=True).clamp(min=0)
    scale = (high - low) / (2**bits - 1)
    zero = (-low / scale).round().clamp(1, 2**bits - 1)
    q = ((groups / scale).round() + zero).clamp(0, 2**bits - 1)
    return q.reshape(weight.shape).int(), scale.squeeze(-1), zero.squeeze(-1).int()


def per_column(values, size):
    return values.repeat_interleave(size, 1)


def pack(values, bits, dim):
    """Values side by side in int32 words, the first one lowest."""
    per = 32 // bits
    values = values.long().unflatten(dim, (-1, per))
    shape = [1] * values.dim()
    shape[dim + 1] = per
    words = (values << (torch.arange(per) * bits).reshape(shape)).sum(dim + 1)
    return torch.where(words >= 2**31, words - 2**32, words).int()


# -- compressed-tensors -----------------------------------------------------------------------------


def compressed(name, compressor, **arguments):
    args = QuantizationArgs(**arguments)
    scheme = QuantizationScheme(targets=["Linear"], weights=args)

    def make(weight):
        zero = None
        size = {"group": args.group_size, "tensor": weight.numel()}.get(arguments["strategy"], weight.shape[1])
        if arguments["type"] == "float":
            scale = weight.abs().reshape(-1, size).amax(-1, keepdim=True) / 448
        elif args.symmetric:
            scale = symmetric(weight.reshape(-1, size) if size > weight.shape[1] else weight, args.num_bits, size)[1]
        else:
            _, scale, zero = affine(weight, args.num_bits, size)
            zero = (zero - 2 ** (args.num_bits - 1)).to(torch.int8)
        state = {"weight": weight, "weight_scale": scale}
        if zero is not None:
            state["weight_zero_point"] = zero
        stored = compressor.compress(state, scheme)
        dense = compressor.decompress(stored, scheme)["weight"].float()
        return {"." + key: value.contiguous() for key, value in stored.items()}, dense

    weights = json.loads(args.model_dump_json())
    config = {
        "quant_method": "compressed-tensors",
        "format": name,
        "ignore": ["re:.*lm_head"],
        "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights, "input_activations": None}},
    }
    return config, make


def with_order(scheme):
    """Group indices: the columns' groups are not in order (actorder)."""
    config, plain = scheme

    def make(weight):
        order = torch.randperm(weight.shape[1], generator=torch.Generator().manual_seed(4))
        stored, dense = plain(weight[:, order])
        back = order.argsort()
        packed = PackedQuantizationCompressor
        q = unpacked(stored, weight.shape)[:, back]
        index = (torch.arange(weight.shape[1]) // GROUP).int()[back]
        return stored | {".weight_packed": pack(q + 8, 4, 1), ".weight_g_idx": index}, dense[:, back]

    return config, make


def unpacked(stored, shape):
    from compressed_tensors.compressors.pack_quantized.helpers import unpack_from_int32

    return unpack_from_int32(stored[".weight_packed"], 4, torch.Size(shape)).int()


# -- GPTQ, AWQ, bitsandbytes ------------------------------------------------------------------------


def gptq(bits=4, sym=True, order=False, version="gptq", size=GROUP, half=True):
    config = {"quant_method": "gptq", "bits": bits, "group_size": size, "sym": sym, "desc_act": order}
    if version != "gptq":
        config["checkpoint_format"] = version

    def make(weight):
        N, K = weight.shape
        width = K if size == -1 else size
        perm = torch.randperm(K, generator=torch.Generator().manual_seed(5)) if order else torch.arange(K)
        shuffled = weight[:, perm]
        if sym:
            q, scale = symmetric(shuffled, bits, width)
            q, zero = q + 2 ** (bits - 1), torch.full(scale.shape, 2 ** (bits - 1), dtype=torch.int32)
        else:
            q, scale, zero = affine(shuffled, bits, width)
        scale = scale.half() if half else scale
        dense = (q - per_column(zero, width)) * per_column(scale.float(), width)
        back = perm.argsort()
        stored = {
            ".qweight": pack(q[:, back].t().contiguous(), bits, 0),
            ".qzeros": pack(zero.t().contiguous() - int(version == "gptq"), bits, 1),
            ".scales": scale.t().contiguous(),
            ".g_idx": (torch.arange(K) // width).int()[back],
        }
        return stored, dense[:, back]

    return config, make


def gptq_with_zero_bias():
    config, plain = gptq()

    def make(weight):
        stored, dense = plain(weight)
        return stored | {".bias": torch.zeros(weight.shape[0], dtype=torch.half)}, dense

    return config, make


AWQ_ORDER = [0, 2, 4, 6, 1, 3, 5, 7]


def awq(zero_point=True):
    def interleaved(values):
        return values.unflatten(-1, (-1, 8))[..., AWQ_ORDER].flatten(-2)

    def make(weight):
        if zero_point:
            q, scale, zero = affine(weight, 4, GROUP)
        else:
            q, scale = symmetric(weight, 4, GROUP)
            q, zero = q + 8, torch.full(scale.shape, 8, dtype=torch.int32)
        scale = scale.half()
        dense = (q - per_column(zero, GROUP)) * per_column(scale.float(), GROUP)
        return {
            ".qweight": pack(interleaved(q.t()), 4, 1),
            ".qzeros": pack(interleaved(zero.t()), 4, 1),
            ".scales": scale.t().contiguous(),
        }, dense

    config = {"quant_method": "awq", "bits": 4, "group_size": GROUP, "zero_point": zero_point, "version": "gemm",
              "modules_to_not_convert": None}  # fmt: skip
    return config, make


NF4 = torch.tensor([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334,
    -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224,
    0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0,
])  # fmt: skip


def nf4(nested):
    def make(weight):
        blocks = weight.reshape(-1, 64)
        absmax = blocks.abs().amax(-1)
        state = {"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": list(weight.shape)}
        stored = {".weight.quant_map": NF4.clone()}
        if nested:
            table = torch.linspace(-1, 1, 256) ** 3
            offset = float(absmax.mean())
            outer = (absmax - offset).abs().reshape(-1, 8 if absmax.numel() % 8 == 0 else absmax.numel())
            size = outer.shape[1]
            outer = outer.amax(-1)
            scaled = (absmax - offset) / outer.repeat_interleave(size)
            codes = (scaled[:, None] - table).abs().argmin(-1)
            absmax = table[codes] * outer.repeat_interleave(size) + offset
            state |= {"nested_blocksize": size, "nested_dtype": "float32", "nested_offset": offset}
            stored |= {".weight.absmax": codes.to(torch.uint8), ".weight.nested_absmax": outer,
                       ".weight.nested_quant_map": table}  # fmt: skip
        else:
            stored[".weight.absmax"] = absmax
        codes = (blocks[..., None] / absmax[:, None, None] - NF4).abs().argmin(-1).reshape(-1, 2)
        dense = (NF4[codes].reshape(-1, 64) * absmax[:, None]).reshape(weight.shape)
        packed = (codes[:, 0] << 4 | codes[:, 1]).to(torch.uint8).unsqueeze(1)
        text = torch.frombuffer(bytearray(json.dumps(state).encode()), dtype=torch.uint8)
        return stored | {".weight": packed, ".weight.quant_state.bitsandbytes__nf4": text}, dense

    config = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4",
              "bnb_4bit_use_double_quant": nested, "bnb_4bit_compute_dtype": "float32"}  # fmt: skip
    return config, make


INT4 = dict(num_bits=4, type="int")
INT8 = dict(num_bits=8, type="int")
FP8 = dict(num_bits=8, type="float")
NAIVE, PACKED = NaiveQuantizationCompressor, PackedQuantizationCompressor

# name -> ((quantization_config, make), whether the projections run quantised)
SCHEMES = {
    "int4 group": (compressed("pack-quantized", PACKED, **INT4, strategy="group", group_size=GROUP), True),
    "int4 channel": (compressed("pack-quantized", PACKED, **INT4, strategy="channel"), True),
    "int4 group asymmetric": (compressed("pack-quantized", PACKED, **INT4, strategy="group", group_size=GROUP, symmetric=False), False),
    "int4 channel asymmetric": (compressed("pack-quantized", PACKED, **INT4, strategy="channel", symmetric=False), False),
    "int4 actorder": (with_order(compressed("pack-quantized", PACKED, **INT4, strategy="group", group_size=GROUP)), False),
    "packed int8 group": (compressed("pack-quantized", PACKED, **INT8, strategy="group", group_size=GROUP), True),
    "int8 channel": (compressed("int-quantized", NAIVE, **INT8, strategy="channel"), True),
    "naive int8 channel": (compressed("naive-quantized", NAIVE, **INT8, strategy="channel"), True),
    "int8 tensor": (compressed("int-quantized", NAIVE, **INT8, strategy="tensor"), True),
    "int8 channel asymmetric": (compressed("int-quantized", NAIVE, **INT8, strategy="channel", symmetric=False), False),
    "fp8 channel": (compressed("float-quantized", NAIVE, **FP8, strategy="channel"), False),
    "fp8 tensor": (compressed("float-quantized", NAIVE, **FP8, strategy="tensor"), False),
    "gptq": (gptq(), True),
    "gptq bias of zeros": (gptq_with_zero_bias(), True),
    "gptq one group": (gptq(size=-1), True),
    "gptq int8": (gptq(bits=8), True),
    "gptq asymmetric": (gptq(sym=False), False),
    "gptq act-order": (gptq(order=True), False),
    "gptq v2": (gptq(sym=False, version="gptq_v2"), False),
    "gptq v2 symmetric": (gptq(version="gptq_v2", half=False), True),
    "awq": (awq(), False),
    "awq symmetric": (awq(zero_point=False), True),
    "nf4": (nf4(nested=False), False),
    "nf4 nested": (nf4(nested=True), False),
}  # fmt: skip


def quantise(folder, scheme):
    """Rewrites a saved fp32 model in the scheme; returns {tensor: the weight that it stands for}."""
    config, make = scheme
    tensors, dense = load_file(folder / "model.safetensors"), {}
    for name in list(tensors):
        if tensors[name].dim() != 2 or "embed" in name or "lm_head" in name:
            continue
        base = name.removesuffix(".weight")
        stored, dense[name] = make(tensors.pop(name))
        tensors |= {base + suffix: value for suffix, value in stored.items()}
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    document = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(document | {"quantization_config": config}))
    return dense


@pytest.mark.parametrize("name", SCHEMES)
def test_logits_are_those_of_the_weights_that_the_format_stands_for(gradus, tmp_path, name):
    scheme, exact = SCHEMES[name]
    model = tiny_models.make("llama", tmp_path)
    state = {key: value.clone() for key, value in model.state_dict().items()}
    dense = quantise(tmp_path, scheme)
    assert len(dense) == 3 * 7
    for key, value in dense.items():
        error = (value - state[key]).norm() / state[key].norm()
        assert 1e-4 < error < (0.2 if "4" in name or "awq" in name or "gptq" in name else 0.06), (key, error)
    model.load_state_dict(state | dense)
    ids = torch.randint(0, 320, (2, 20), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = model(ids).logits
    done, found = logits(gradus, tmp_path, ids.tolist())
    assert done.returncode == 0, done.stderr
    assert ("21 run quantised" if exact else "21 expanded to float32") in done.stderr, done.stderr
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-4)


def test_fp8_blocks_are_expanded(gradus, tmp_path):
    import transformers

    config = transformers.LlamaConfig(**tiny_models.COMMON | dict(hidden_size=192, intermediate_size=160))
    model = transformers.LlamaForCausalLM(config).eval()
    model.save_pretrained(tmp_path)

    def make(weight):
        padded = torch.nn.functional.pad(weight, (0, -weight.shape[1] % 128, 0, -weight.shape[0] % 128))
        scale = padded.unflatten(0, (-1, 128)).unflatten(2, (-1, 128)).abs().amax((1, 3)) / 448
        wide = scale.repeat_interleave(128, 0).repeat_interleave(128, 1)[: weight.shape[0], : weight.shape[1]]
        codes = (weight / wide).to(torch.float8_e4m3fn)
        return {".weight": codes, ".weight_scale": scale}, codes.float() * wide

    weights = dict(num_bits=8, type="float", strategy="block", block_structure=[128, 128], symmetric=True)
    scheme = {"quant_method": "compressed-tensors", "format": "float-quantized", "ignore": ["lm_head"],
              "config_groups": {"group_0": {"targets": ["Linear"], "weights": weights,
                                            "input_activations": {"num_bits": 8, "dynamic": True}}}}  # fmt: skip
    state = {key: value.clone() for key, value in model.state_dict().items()}
    model.load_state_dict(state | quantise(tmp_path, (scheme, make)))
    ids = torch.randint(0, 320, (1, 12), generator=torch.Generator().manual_seed(2))
    done, found = logits(gradus, tmp_path, ids.tolist())
    assert done.returncode == 0, done.stderr
    assert "activations are not quantised" in done.stderr
    with torch.no_grad():
        torch.testing.assert_close(found, model(ids).logits, rtol=1e-4, atol=1e-4)


def change_config(**changes):
    def change(folder):
        document = json.loads((folder / "config.json").read_text())
        document["quantization_config"] |= changes
        (folder / "config.json").write_text(json.dumps(document))

    return change


def change_tensor(name, value):
    def change(folder):
        tensors = load_file(folder / "model.safetensors")
        if value is None:
            del tensors[name]
        else:
            tensors[name] = value(tensors.get(name))
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})

    return change


O = "model.layers.1.self_attn.o_proj"  # noqa: E741
REFUSED = {
    "method": (change_config(quant_method="hqq"), ["quant_method", "hqq", "gptq"]),
    "bits": (change_config(bits=3), ["bits", "4 or 8"]),
    "missing": (change_tensor(O + ".qzeros", None), [O + ".qzeros", "missing"]),
    "shape": (change_tensor(O + ".scales", lambda t: t[:-1].contiguous()), [O + ".scales", "expected shape"]),
    "dtype": (change_tensor(O + ".qweight", lambda t: t.float()), [O + ".qweight", "I32", "F32"]),
    "group": (change_tensor(O + ".g_idx", lambda t: t + 90), [O, "groups from 0 to 3", "90"]),
    "nan": (change_tensor(O + ".scales", lambda t: t * float("nan")), [O, "NaN"]),
    "bias": (change_tensor(O + ".bias", lambda t: torch.ones(64)), [O, "bias"]),
}


@pytest.mark.parametrize("case", REFUSED)
def test_broken_checkpoints_are_refused_by_name(gradus, tmp_path, case):
    change, words = REFUSED[case]
    tiny_models.make("llama", tmp_path)
    quantise(tmp_path, gptq())
    change(tmp_path)
    done, _ = logits(gradus, tmp_path, [[1, 2, 3]])
    assert done.returncode == 1, done.stderr
    for word in words:
        assert word in done.stderr, done.stderr


def test_a_projection_beside_quantised_ones_may_be_dense(gradus, tmp_path):
    model = tiny_models.make("llama", tmp_path)
    name = "model.layers.0.self_attn.k_proj"
    kept = model.state_dict()[name + ".weight"].clone()
    state = {key: value.clone() for key, value in model.state_dict().items()}
    dense = quantise(tmp_path, awq(zero_point=False))
    tensors = load_file(tmp_path / "model.safetensors")
    for suffix in (".qweight", ".qzeros", ".scales"):
        del tensors[name + suffix]
    save_file(tensors | {name + ".weight": kept}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    model.load_state_dict(state | dense | {name + ".weight": kept})
    done, found = logits(gradus, tmp_path, [[1, 2, 3, 4, 5]])
    assert done.returncode == 0, done.stderr
    assert "18 run quantised, 2 expanded" in done.stderr
    with torch.no_grad():
        expected = model(torch.tensor([[1, 2, 3, 4, 5]])).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=2e-4)


def test_a_nested_block_beyond_all_bounds_is_refused(gradus, tmp_path):
    tiny_models.make("llama", tmp_path)
    quantise(tmp_path, nf4(nested=True))
    path = tmp_path / "model.safetensors"
    tensors = load_file(path)
    name = next(n for n in tensors if n.endswith("bitsandbytes__nf4"))
    state = json.loads(bytes(tensors[name].tolist())) | {"nested_blocksize": 2**63 - 1}
    tensors[name] = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
    save_file(tensors, path)
    done, _ = logits(gradus, tmp_path, [[1, 2, 3]])
    assert done.returncode == 1 and "nested block size" in done.stderr and done.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["gptq", "awq", "nf4"])
def test_files_of_other_packages_compute_what_those_expand(gradus, tmp_path, name):
    shutil.copytree(FIXTURES / name, tmp_path / name)
    expected = json.loads((tmp_path / name / "expected.json").read_text())
    done, found = logits(gradus, tmp_path / name, expected["ids"])
    assert done.returncode == 0, done.stderr
    wanted = torch.tensor(expected["logits"])
    assert wanted.abs().mean() > 0.1
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
