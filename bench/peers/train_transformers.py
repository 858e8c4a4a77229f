# SPDX-License-Identifier: Apache-2.0
"""Training steps of the SmolLM2-135M shape with transformers: fp32 weights under bf16 autocast, SDPA
attention, fused AdamW, gradient clipping. Prints {"best_seconds": …} for one step."""

import argparse
import json
import time

import torch
import transformers

arguments = argparse.ArgumentParser()
arguments.add_argument("--documents", type=int, default=4)
arguments.add_argument("--length", type=int, default=512)
arguments.add_argument("--steps", type=int, default=3)
arguments.add_argument("--threads", type=int, default=0)
options = arguments.parse_args()
if options.threads:
    torch.set_num_threads(options.threads)

torch.manual_seed(0)
config = transformers.LlamaConfig(
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    vocab_size=49152,
    max_position_embeddings=8192,
    rms_norm_eps=1e-5,
    tie_word_embeddings=True,
    attn_implementation="sdpa",
)
model = transformers.LlamaForCausalLM(config)
optimizer = torch.optim.AdamW(model.parameters(), lr=1e-4, fused=True)
ids = torch.randint(0, 49152, (options.documents, options.length))
best = float("inf")
for _ in range(options.steps + 1):  # the first one warms up
    start = time.perf_counter()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        loss = model(input_ids=ids, labels=ids, use_cache=False).loss
    loss.backward()
    torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad(set_to_none=True)
    best = min(best, time.perf_counter() - start)
print(json.dumps({"best_seconds": best}))
