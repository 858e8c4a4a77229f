# SPDX-License-Identifier: Apache-2.0
"""Greedy decoding with transformers in bf16: model.generate with its cache, one sequence. Prints
{"tokens_per_second": …, "tokens": […]}: the best of its repeats, and the first answer."""

import argparse
import json
import time

import torch
import transformers

arguments = argparse.ArgumentParser()
arguments.add_argument("model")
arguments.add_argument("--prompt", type=int, nargs="+", required=True)
arguments.add_argument("--new", type=int, default=64)
arguments.add_argument("--repeats", type=int, default=3)
arguments.add_argument("--threads", type=int, default=0)
options = arguments.parse_args()
if options.threads:
    torch.set_num_threads(options.threads)

model = transformers.AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.bfloat16)
ids = torch.tensor([options.prompt])


def generate(count):
    start = time.perf_counter()
    out = model.generate(
        ids,
        attention_mask=torch.ones_like(ids),
        max_new_tokens=count,
        min_new_tokens=count,
        do_sample=False,
        pad_token_id=0,
    )
    return time.perf_counter() - start, out[0, ids.shape[1] :].tolist()


generate(2)  # warms up
best = 0.0
for _ in range(options.repeats):
    prompt_seconds, _ = generate(1)
    seconds, tokens = generate(options.new)
    best = max(best, (options.new - 1) / (seconds - prompt_seconds))
print(json.dumps({"tokens_per_second": best, "tokens": tokens}))
