# SPDX-License-Identifier: Apache-2.0
"""Families whose code is published beside their weights: their equations, in plain PyTorch.

Written from the modelling files of internlm/internlm2-7b, THUDM/chatglm2-6b and chatglm3-6b,
baichuan-inc/Baichuan-7B and -13B-Base, Baichuan2-7B and -13B-Base, and Qwen/Qwen-7B; RWKV-7 from
its paper (arXiv 2503.14456). Names and shapes are those of the files; RWKV-7's are those of
fla-hub/rwkv7-0.1B-world.
"""

import json
import math
import types

import safetensors.torch
import torch
from torch.nn.functional import linear, normalize, silu

D, F, L, H, V, EPS = 64, 112, 3, 4, 320, 1e-5
DH = D // H
COMMON = dict(hidden_size=D, num_attention_heads=H, bos_token_id=1, eos_token_id=2, tie_word_embeddings=False)
USUAL = dict(**COMMON, num_hidden_layers=L, vocab_size=V, intermediate_size=F, rms_norm_eps=EPS, hidden_act="silu")


def rms(x, weight):
    return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + EPS) * weight


def depth(w):
    return 1 + max(int(part) for name in w for part in name.split(".") if part.isdigit())


def angles(length, width, theta=10000.0):
    frequencies = 1.0 / theta ** (torch.arange(0, width, 2).float() / width)
    return torch.outer(torch.arange(length).float(), frequencies)


def rotate_halves(x):
    """x [B, T, heads, Dh]; the pairs are i and i + Dh/2."""
    turn = angles(x.shape[1], x.shape[-1])
    cos, sin = torch.cat([turn, turn], -1).cos()[:, None], torch.cat([turn, turn], -1).sin()[:, None]
    a, b = x.chunk(2, -1)
    return x * cos + torch.cat([-b, a], -1) * sin


def rotate_adjacent(x, width, theta):
    """The first `width` numbers of each head; the pairs are 2i and 2i + 1."""
    turn = angles(x.shape[1], width, theta)
    cos, sin = turn.cos()[:, None], turn.sin()[:, None]
    a, b = x[..., :width].unflatten(-1, (-1, 2)).unbind(-1)
    rotated = torch.stack([a * cos - b * sin, b * cos + a * sin], -1).flatten(-2)
    return torch.cat([rotated, x[..., width:]], -1)


def attend(q, k, v, bias=0.0):
    """q [B, T, H, Dh], k and v [B, T, Hkv, Dh] -> [B, T, H · Dh]."""
    group = q.shape[2] // k.shape[2]
    q, k, v = q.transpose(1, 2), *(x.repeat_interleave(group, 2).transpose(1, 2) for x in (k, v))
    scores = q @ k.transpose(2, 3) / math.sqrt(q.shape[-1]) + bias
    length = q.shape[2]
    hidden = torch.ones(length, length, dtype=torch.bool).triu(1)
    weights = scores.masked_fill(hidden, -math.inf).softmax(-1)
    return (weights @ v).transpose(1, 2).flatten(2)


def alibi(length):
    """For H a power of two: slopes 2^(-8 i / H), i from 1, times the key's position."""
    slopes = torch.tensor([2.0 ** (-8.0 * i / H) for i in range(1, H + 1)])
    return slopes[:, None, None] * torch.arange(length).float()


def internlm2(w, x):
    for i in range(depth(w)):
        p, kv = f"model.layers.{i}.", 2
        qkv = linear(rms(x, w[p + "attention_norm.weight"]), w[p + "attention.wqkv.weight"])
        qkv = qkv.view(*x.shape[:2], kv, H // kv + 2, DH)  # each key/value head with its queries
        q, k, v = qkv[..., :-2, :].flatten(2, 3), qkv[..., -2, :], qkv[..., -1, :]
        mixed = attend(rotate_halves(q), rotate_halves(k), v)
        x = x + linear(mixed, w[p + "attention.wo.weight"])
        n, f = rms(x, w[p + "ffn_norm.weight"]), p + "feed_forward."
        gated = silu(linear(n, w[f + "w1.weight"])) * linear(n, w[f + "w3.weight"])
        x = x + linear(gated, w[f + "w2.weight"])
    return linear(rms(x, w["model.norm.weight"]), w["output.weight"])


def chatglm(w, x, kv, ratio):
    for i in range(depth(w)):
        p = f"transformer.encoder.layers.{i}."
        qkv = p + "self_attention.query_key_value."
        product = linear(rms(x, w[p + "input_layernorm.weight"]), w[qkv + "weight"], w[qkv + "bias"])
        q, k, v = product.view(*x.shape[:2], H + 2 * kv, DH).split([H, kv, kv], 2)
        q, k = (rotate_adjacent(y, DH // 2, 10000.0 * ratio) for y in (q, k))
        x = x + linear(attend(q, k, v), w[p + "self_attention.dense.weight"])
        n = linear(rms(x, w[p + "post_attention_layernorm.weight"]), w[p + "mlp.dense_h_to_4h.weight"])
        gate, up = n.chunk(2, -1)
        x = x + linear(silu(gate) * up, w[p + "mlp.dense_4h_to_h.weight"])
    return linear(rms(x, w["transformer.encoder.final_layernorm.weight"]), w["transformer.output_layer.weight"])


def baichuan(w, x, rotates, second=False):
    for i in range(depth(w)):
        p = f"model.layers.{i}."
        product = linear(rms(x, w[p + "input_layernorm.weight"]), w[p + "self_attn.W_pack.weight"])
        q, k, v = (y.unflatten(-1, (H, DH)) for y in product.chunk(3, -1))
        mixed = attend(rotate_halves(q), rotate_halves(k), v) if rotates else attend(q, k, v, alibi(x.shape[1]))
        x = x + linear(mixed, w[p + "self_attn.o_proj.weight"])
        n, m = rms(x, w[p + "post_attention_layernorm.weight"]), p + "mlp."
        gated = silu(linear(n, w[m + "gate_proj.weight"])) * linear(n, w[m + "up_proj.weight"])
        x = x + linear(gated, w[m + "down_proj.weight"])
    head = w["lm_head.weight"]
    return linear(rms(x, w["model.norm.weight"]), normalize(head) if second else head)


def qwen(w, x):
    for i in range(depth(w)):
        p = f"transformer.h.{i}."
        product = linear(rms(x, w[p + "ln_1.weight"]), w[p + "attn.c_attn.weight"], w[p + "attn.c_attn.bias"])
        q, k, v = (y.unflatten(-1, (H, DH)) for y in product.chunk(3, -1))
        x = x + linear(attend(rotate_halves(q), rotate_halves(k), v), w[p + "attn.c_proj.weight"])
        n = rms(x, w[p + "ln_2.weight"])
        gated = linear(n, w[p + "mlp.w1.weight"]) * silu(linear(n, w[p + "mlp.w2.weight"]))
        x = x + linear(gated, w[p + "mlp.c_proj.weight"])
    return linear(rms(x, w["transformer.ln_f.weight"]), w["lm_head.weight"])


def previous(x):
    return torch.nn.functional.pad(x, (0, 0, 1, 0))[:, :-1]


def layer_norm(w, name, x):
    return torch.nn.functional.layer_norm(x, x.shape[-1:], w[name + ".weight"], w[name + ".bias"], EPS)


def low_rank(w, name, x, activation=lambda y: y):
    return linear(activation(linear(x, w[name + ".lora.0.weight"])), w[name + ".lora.2.weight"], w.get(name + ".lora.2.bias"))


def goose(r, decay, k, v, removal, rate):
    """Equations 14 to 16 of the paper, all [B, T, H, Dh], in fp32; the state has values by keys."""
    r, decay, k, v, removal, rate = (y.float() for y in (r, decay, k, v, removal, rate))
    state, outputs = torch.zeros(*r.shape[:1], r.shape[2], r.shape[3], r.shape[3]), []
    for t in range(r.shape[1]):
        transition = torch.diag_embed(decay[:, t]) - torch.einsum("bhi,bhj->bhij", removal[:, t], removal[:, t] * rate[:, t])
        state = state @ transition + torch.einsum("bhi,bhj->bhij", v[:, t], k[:, t])
        outputs.append(torch.einsum("bhij,bhj->bhi", state, r[:, t]))
    return torch.stack(outputs, 1)


def rwkv7(w, x, width):
    w = {name: values.to(x.dtype) for name, values in w.items()}
    x, first_value = layer_norm(w, "model.layers.0.pre_norm", x), None
    for i in range(L):
        p, a = f"model.layers.{i}.", f"model.layers.{i}.attn."
        n = layer_norm(w, p + "attn_norm", x)
        r_in, w_in, k_in, v_in, a_in, g_in = (n + (previous(n) - n) * w[f"{a}x_{c}"] for c in "rwkvag")
        r, k, v = (linear(y, w[f"{a}{c}_proj.weight"]) for c, y in (("r", r_in), ("k", k_in), ("v", v_in)))
        decay = torch.exp(-math.exp(-0.5) * torch.sigmoid(low_rank(w, a + "w_lora", w_in, torch.tanh)))
        first_value = v if i == 0 else first_value
        v = v if i == 0 else v + (first_value - v) * torch.sigmoid(low_rank(w, a + "v_lora", v_in))
        rate, gate = torch.sigmoid(low_rank(w, a + "a_lora", a_in)), low_rank(w, a + "g_lora", g_in, torch.sigmoid)
        removal = torch.nn.functional.normalize((k * w[a + "k_k"]).unflatten(-1, (-1, width)), dim=-1)
        k = k + k * (rate - 1) * w[a + "k_a"]
        r, decay, k, v, rate = (y.unflatten(-1, (-1, width)) for y in (r, decay, k, v, rate))
        with torch.autocast("cpu", enabled=False):
            mixed = goose(r, decay, k, v, removal, rate).to(x.dtype)
        mixed = torch.nn.functional.group_norm(
            mixed.flatten(0, 1).flatten(1), mixed.shape[2], w[a + "g_norm.weight"], w[a + "g_norm.bias"], EPS * width
        ).view_as(x)
        own = (r * k * w[a + "r_k"]).sum(-1, keepdim=True) * v
        x = x + linear((mixed + own.flatten(2)) * gate, w[a + "o_proj.weight"])
        n = layer_norm(w, p + "ffn_norm", x)
        inner = linear(n + (previous(n) - n) * w[p + "ffn.x_k"], w[p + "ffn.key.weight"])
        x = x + linear(torch.relu(inner) ** 2, w[p + "ffn.value.weight"])
    return linear(layer_norm(w, "model.norm", x), w["lm_head.weight"])


RANKS = {"w": 8, "a": 8, "v": 16, "g": 24}


def rwkv7_shapes(width, D=D):
    def norm(name):
        return {name: [D], name + ".bias": [D]}

    layer = {**norm("attn_norm"), **norm("ffn_norm"), **norm("attn.g_norm"), "ffn.key": [F, D], "ffn.value": [D, F]}
    layer |= {f"attn.{c}_proj": [D, D] for c in "rkvo"} | {f"attn.x_{c}=": [1, 1, D] for c in "rwkvag"}
    layer |= {"attn.k_k=": [D], "attn.k_a=": [D], "attn.r_k=": [D // width, width], "ffn.x_k=": [D]}
    for c, rank in RANKS.items():
        name = f"attn.{c}_lora.lora."
        layer |= {name + "0": [rank, D], name + "2": [D, rank]} | ({name + "2.bias": [D]} if c != "g" else {})
    outside = {"model.embeddings": [V, D], **norm("model.layers.0.pre_norm"), **norm("model.norm"), "lm_head": [V, D]}
    return outside, "model.layers.", layer


def llama_shapes(fused):
    layer = {
        "input_layernorm": [D],
        fused: [3 * D, D],
        "self_attn.o_proj": [D, D],
        "post_attention_layernorm": [D],
        "mlp.gate_proj": [F, D],
        "mlp.up_proj": [F, D],
        "mlp.down_proj": [D, F],
    }
    return {"model.embed_tokens": [V, D], "model.norm": [D], "lm_head": [V, D]}, "model.layers.", layer


def internlm2_shapes():
    layer = {
        "attention_norm": [D],
        "attention.wqkv": [(H + 4) * DH, D],
        "attention.wo": [D, D],
        "ffn_norm": [D],
        "feed_forward.w1": [F, D],
        "feed_forward.w3": [F, D],
        "feed_forward.w2": [D, F],
    }
    return {"model.tok_embeddings": [V, D], "model.norm": [D], "output": [V, D]}, "model.layers.", layer


def chatglm_shapes(kv):
    rows = (H + 2 * kv) * DH
    layer = {
        "input_layernorm": [D],
        "self_attention.query_key_value": [rows, D],
        "self_attention.query_key_value.bias": [rows],
        "self_attention.dense": [D, D],
        "post_attention_layernorm": [D],
        "mlp.dense_h_to_4h": [2 * F, D],
        "mlp.dense_4h_to_h": [D, F],
    }
    outside = {"embedding.word_embeddings": [V, D], "encoder.final_layernorm": [D], "output_layer": [V, D]}
    return {"transformer." + k: v for k, v in outside.items()}, "transformer.encoder.layers.", layer


def qwen_shapes():
    layer = {
        "ln_1": [D],
        "attn.c_attn": [3 * D, D],
        "attn.c_attn.bias": [3 * D],
        "attn.c_proj": [D, D],
        "ln_2": [D],
        "mlp.w1": [F, D],
        "mlp.w2": [F, D],
        "mlp.c_proj": [D, F],
    }
    return {"transformer.wte": [V, D], "transformer.ln_f": [D], "lm_head": [V, D]}, "transformer.h.", layer


CHATGLM = dict(
    **COMMON,
    model_type="chatglm",
    num_layers=L,
    padded_vocab_size=V,
    ffn_hidden_size=F,
    kv_channels=DH,
    seq_length=256,
    layernorm_epsilon=EPS,
    multi_query_attention=True,
    multi_query_group_num=2,
    add_qkv_bias=True,
    add_bias_linear=False,
    rmsnorm=True,
    post_layer_norm=True,
)

RWKV7 = dict(
    model_type="rwkv7",
    hidden_size=D,
    intermediate_size=F,
    num_hidden_layers=L,
    vocab_size=V,
    decay_low_rank_dim=RANKS["w"],
    a_low_rank_dim=RANKS["a"],
    v_low_rank_dim=RANKS["v"],
    gate_low_rank_dim=RANKS["g"],
    value_dim=[D] * L,
    hidden_act="sqrelu",
    norm_eps=EPS,
    norm_first=True,
    norm_bias=True,
    max_position_embeddings=256,
    tie_word_embeddings=False,
    bos_token_id=0,
    eos_token_id=0,
)

# name -> (config.json, shapes, forward)
MODELS = {
    "rwkv7": ({**RWKV7, "head_dim": 16}, rwkv7_shapes(16), lambda w, x: rwkv7(w, x, 16)),
    "rwkv7_no_kernel": ({**RWKV7, "head_dim": 8}, rwkv7_shapes(8), lambda w, x: rwkv7(w, x, 8)),
    # As in the published models, the only ones that llama.cpp computes.
    "rwkv7_heads_of_64": (
        {**RWKV7, "head_dim": 64, "hidden_size": 2 * D, "value_dim": [2 * D] * L},
        rwkv7_shapes(64, 2 * D),
        lambda w, x: rwkv7(w, x, 64),
    ),
    "internlm2": (
        dict(**USUAL, model_type="internlm2", num_key_value_heads=2, bias=False, max_position_embeddings=256),
        internlm2_shapes(),
        internlm2,
    ),
    "chatglm2": (CHATGLM, chatglm_shapes(2), lambda w, x: chatglm(w, x, 2, 1.0)),
    "chatglm3_long": ({**CHATGLM, "rope_ratio": 50}, chatglm_shapes(2), lambda w, x: chatglm(w, x, 2, 50.0)),
    "baichuan_7b": (
        dict(**USUAL, model_type="baichuan", max_position_embeddings=256),
        llama_shapes("self_attn.W_pack"),
        lambda w, x: baichuan(w, x, True),
    ),
    "baichuan_13b": (
        dict(**USUAL, model_type="baichuan", model_max_length=256),
        llama_shapes("self_attn.W_pack"),
        lambda w, x: baichuan(w, x, False),
    ),
    "baichuan2_7b": (
        dict(**USUAL, model_type="baichuan", max_position_embeddings=256, z_loss_weight=0),
        llama_shapes("self_attn.W_pack"),
        lambda w, x: baichuan(w, x, True, second=True),
    ),
    "baichuan2_13b": (
        dict(**USUAL, model_type="baichuan", model_max_length=256, z_loss_weight=0),
        llama_shapes("self_attn.W_pack"),
        lambda w, x: baichuan(w, x, False, second=True),
    ),
    "qwen": (
        dict(
            **{**USUAL, "intermediate_size": 2 * F},
            model_type="qwen",
            layer_norm_epsilon=EPS,
            kv_channels=DH,
            seq_length=256,
            no_bias=True,
            rotary_pct=1.0,
            rotary_emb_base=10000,
            use_dynamic_ntk=True,
            use_logn_attn=True,
        ),
        qwen_shapes(),
        qwen,
    ),
}


class PlainModel:
    """What the tests use of a transformers model."""

    def __init__(self, name, seed, num_hidden_layers=L):
        self.json, (outside, layers, layer), self.run = MODELS[name]
        count = "num_layers" if "num_layers" in self.json else "num_hidden_layers"
        self.json = {**self.json, count: num_hidden_layers}
        self.embedding = next(iter(outside)) + ".weight"
        self.config = types.SimpleNamespace(vocab_size=V)
        self.dtype = torch.float32
        shapes = {**outside, **{f"{layers}{i}.{k}": v for i in range(num_hidden_layers) for k, v in layer.items()}}
        torch.manual_seed(seed)
        self.weights = {}
        for key, shape in shapes.items():
            if "layers.0.attn.v_lora" in key:  # the first layer of RWKV-7 has none
                continue
            if key.endswith("="):  # as it is called in the file, about 1/2
                self.weights[key[:-1]] = (torch.randn(shape) * 0.2 + 0.5).requires_grad_()
                continue
            values = torch.randn(shape) * (0.08 if len(shape) > 1 else 0.1) + (len(shape) == 1)
            self.weights[key if key.endswith(".bias") else key + ".weight"] = values.requires_grad_()

    def named_parameters(self):
        return self.weights.items()

    def to(self, dtype):
        self.dtype = dtype
        return self

    def __call__(self, ids):
        x = self.weights[self.embedding][ids].to(self.dtype)
        with torch.autocast("cpu", self.dtype, enabled=self.dtype != torch.float32):
            return types.SimpleNamespace(logits=self.run(self.weights, x))

    def save_pretrained(self, folder):
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps({**self.json, "torch_dtype": "float32"}))
        tensors = {name: tensor.detach().contiguous() for name, tensor in self.weights.items()}
        safetensors.torch.save_file(tensors, folder / "model.safetensors")
