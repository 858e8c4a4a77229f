# SPDX-License-Identifier: Apache-2.0
"""Tiny random models and the GGUF files that llama.cpp's converter would make of them."""

import json

import gguf
import numpy as np
import torch
import transformers

VOCAB = 320
SIZES = dict(
    vocab_size=VOCAB,
    hidden_size=256,
    intermediate_size=512,
    num_hidden_layers=2,
    num_attention_heads=8,
    num_key_value_heads=4,
    head_dim=32,
    max_position_embeddings=512,
    rms_norm_eps=1e-5,
    bos_token_id=256,
    eos_token_id=257,
)
ARCHITECTURES = {"llama": "llama", "mistral": "mistral", "qwen2": "qwen2", "qwen3": "qwen3"}

LAYER_NAMES = {
    "input_layernorm": "attn_norm",
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm",
    "self_attn.k_norm": "attn_k_norm",
    "post_attention_layernorm": "ffn_norm",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
}
MODEL_NAMES = {
    "model.embed_tokens.weight": "token_embd.weight",
    "model.norm.weight": "output_norm.weight",
    "lm_head.weight": "output.weight",
}


def make_model(family, tied=False, **changes):
    """A random model of the family whose every parameter matters (norms and biases included)."""
    settings = SIZES | dict(tie_word_embeddings=tied) | changes
    if family == "mistral":
        settings.setdefault("sliding_window", 64)
    config = transformers.AutoConfig.for_model(family, **settings)
    torch.manual_seed(7)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            scale = 0.2 if parameter.ndim == 1 else parameter.shape[-1] ** -0.5
            parameter.normal_(0, scale)
            if "norm" in name:
                parameter.add_(1)
    return model


def gguf_name(name):
    if name in MODEL_NAMES:
        return MODEL_NAMES[name]
    _, _, layer, rest = name.split(".", 3)
    part, suffix = rest.rsplit(".", 1)
    return f"blk.{layer}.{LAYER_NAMES[part]}.{suffix}"


def interleave(rows, heads):
    """convert_hf_to_gguf.py's permutation of q and k."""
    return rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def undo_interleave(rows, heads):
    return rows.reshape(heads, rows.shape[0] // heads // 2, 2, *rows.shape[1:]).swapaxes(1, 2).reshape(rows.shape)


def qk_heads(family, name, config):
    """How many heads' rows are interleaved in the file, 0 for none."""
    if family not in ("llama", "mistral"):
        return 0
    if ".q_proj." in name:
        return config.num_attention_heads
    return config.num_key_value_heads if ".k_proj." in name else 0


def random_blocks(kind, shape, seed):
    """Random valid blocks: any bits, but the fp16 scales are finite and small."""
    generator = np.random.default_rng(seed)
    block, size = gguf.GGML_QUANT_SIZES[kind]
    count = int(np.prod(shape)) // block
    data = generator.integers(0, 256, (count, size), dtype=np.uint8)
    places = {"Q4_0": [0], "Q4_1": [0, 2], "Q5_0": [0], "Q5_1": [0, 2], "Q8_0": [0], "Q2_K": [80, 82],
              "Q3_K": [108], "Q4_K": [0, 2], "Q5_K": [0, 2], "Q6_K": [208], "IQ4_NL": [0], "IQ4_XS": [0]}  # fmt: skip
    for place in places[kind.name]:
        scales = generator.normal(0, 0.01, (count, 1)).astype(np.float16)
        scales[::7] = np.float16(3e-7)  # subnormal
        data[:, place : place + 2] = scales.view(np.uint8)
    return data.reshape(*shape[:-1], shape[-1] // block * size)


def add_metadata(writer, model, architecture):
    config = model.config
    writer.add_name(f"tiny {architecture}")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    if architecture in ("llama", "mistral"):
        writer.add_rope_dimension_count(config.head_dim)
    else:
        writer.add_key_length(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    if getattr(config, "sliding_window", None):
        writer.add_sliding_window(config.sliding_window)


def byte_letters():
    """GPT-2's printable stand-ins for the 256 bytes, in byte order."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    extra = iter(range(256, 512))
    return [chr(byte if byte in plain else next(extra)) for byte in range(256)]


MERGES = ["t h", "th e", "i n", "a n", "Ġ a", "Ġ the", "e r", "o n"]
SPECIAL = ["<|bos|>", "<|eos|>", "<|user|>", "<|assistant|>"]
TOKENS = byte_letters() + SPECIAL + [merge.replace(" ", "") for merge in MERGES]


def write_tokenizer(folder):
    """The same vocabulary as a Hugging Face tokenizer."""
    special = dict(single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    document = {
        "version": "1.0",
        "added_tokens": [{"id": 256 + i, "content": token, **special} for i, token in enumerate(SPECIAL)],
        "normalizer": None,
        "pre_tokenizer": level,
        "post_processor": level,
        "decoder": level,
        "model": {"type": "BPE", "vocab": {token: id for id, token in enumerate(TOKENS)}, "merges": MERGES},
    }
    (folder / "tokenizer.json").write_text(json.dumps(document))


def add_vocabulary(writer):
    """A byte-level vocabulary with a few merges; the template puts roles in special tokens."""
    types = [gguf.TokenType.NORMAL] * 256 + [gguf.TokenType.CONTROL] * 4 + [gguf.TokenType.NORMAL] * len(MERGES)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(TOKENS)
    writer.add_token_types(types)
    writer.add_token_merges(MERGES)
    writer.add_bos_token_id(256)
    writer.add_eos_token_id(257)
    writer.add_pad_token_id(257)
    writer.add_add_bos_token(False)
    writer.add_chat_template(
        "{% for m in messages %}<|{{ m.role }}|>{{ m.content }}{{ eos_token }}{% endfor %}"
        "{% if add_generation_prompt %}<|assistant|>{% endif %}"
    )


def write_gguf(path, model, family, kind=gguf.GGMLQuantizationType.F32, extra=lambda writer: None, per_part=0):
    """Writes the model (weights beside vectors as `kind`; quantised kinds get random blocks), split
    into parts of `per_part` tensors.

    Returns {checkpoint name: fp32 array that the file stands for}.
    """
    architecture = ARCHITECTURES[family]
    writer = gguf.GGUFWriter(path, architecture, split_max_tensors=per_part)
    add_metadata(writer, model, architecture)
    add_vocabulary(writer)
    extra(writer)
    truth = {}
    for seed, (name, value) in enumerate(model.state_dict().items()):
        if name == "lm_head.weight" and model.config.tie_word_embeddings:
            continue
        heads = qk_heads(family, name, model.config)
        rows = interleave(value.numpy(), heads) if heads else value.numpy()
        this = kind if value.ndim == 2 else gguf.GGMLQuantizationType.F32
        plain = this.name in ("F32", "F16", "BF16")
        data = gguf.quantize(rows, this) if plain else random_blocks(this, rows.shape, seed)
        writer.add_tensor(gguf_name(name), data, raw_dtype=this)
        stored = gguf.dequantize(data, this).reshape(rows.shape)
        truth[name] = undo_interleave(stored, heads) if heads else stored
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return truth
