# SPDX-License-Identifier: Apache-2.0
"""llama.cpp itself, through cyllama's bindings: the logits that it computes from a file.

In a process of its own, since llama.cpp ends the process of what it cannot compute.
"""

import importlib.util
import json
import subprocess
import sys

AVAILABLE = importlib.util.find_spec("cyllama") is not None


def run(path, ids, texts=()):
    """(logits [T, V] in fp32 throughout, the tokens of each text); skips where cyllama is absent."""
    import pytest
    import torch

    if not AVAILABLE:
        pytest.skip("cyllama is not installed")
    command = [sys.executable, __file__, str(path), json.dumps({"ids": ids, "texts": texts})]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    return torch.tensor(answer["logits"]), answer["tokens"]


def main(path, question):
    from cyllama.llama import llama_cpp

    class Model(llama_cpp.LlamaModel):  # which get_logits_ith takes for one with a number of tokens
        @property
        def n_vocab(self):
            return self.get_vocab().n_vocab

    question = json.loads(question)
    parameters = llama_cpp.LlamaModelParams()
    parameters.use_mmap = False
    model = Model(path_model=path, params=parameters, verbose=False)
    options = llama_cpp.LlamaContextParams()
    ids = question["ids"]
    options.n_ctx = options.n_batch = options.n_ubatch = max(64, len(ids))
    options.n_threads = options.n_threads_batch = 1
    options.type_k = options.type_v = 0  # F32
    options.flash_attn_type = 0
    context = llama_cpp.LlamaContext(model=model, params=options, verbose=False)
    batch = llama_cpp.LlamaBatch(n_tokens=len(ids), embd=0, n_seq_max=1, verbose=False)
    for position, id in enumerate(ids):
        batch.add(id, position, [0], True)
    context.decode(batch)
    logits = [list(context.get_logits_ith(i)) for i in range(len(ids))]
    tokens = [list(model.get_vocab().tokenize(text, False, True)) for text in question["texts"]]
    print(json.dumps({"logits": logits, "tokens": tokens}))


if __name__ == "__main__":
    main(*sys.argv[1:])
