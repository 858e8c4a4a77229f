# SPDX-License-Identifier: Apache-2.0
"""Seconds that transformers takes to load a model's weights, imports not counted."""

import json
import sys
import time

import torch
import transformers

start = time.perf_counter()
model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.bfloat16)
seconds = time.perf_counter() - start
print(json.dumps({"seconds": seconds, "parameters": model.num_parameters()}))
