# SPDX-License-Identifier: Apache-2.0
"""Imports transformers, loads a model folder in bf16 and computes the logits of one token."""

import sys

import torch
import transformers

model = transformers.AutoModelForCausalLM.from_pretrained(sys.argv[1], dtype=torch.bfloat16)
with torch.no_grad():
    assert model(torch.tensor([[1]])).logits.shape[-1] == model.config.vocab_size
