# SPDX-License-Identifier: Apache-2.0
"""llama.cpp itself, through cyllama's bindings: the logits that it computes from a file.

In a process of its own, since llama.cpp ends the process of what it cannot compute; it serves one
question after the other.
"""

import importlib.util
import json
import subprocess
import sys

AVAILABLE = importlib.util.find_spec("cyllama") is not None
LOG = "llama.cpp.log"
worker = None


def ask(path, question):
    global worker
    if worker is None or worker.poll() is not None:
        worker = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  stderr=subprocess.DEVNULL, text=True)  # fmt: skip
    log = path.parent / LOG
    worker.stdin.write(json.dumps({"path": str(path), "log": str(log), **question}) + "\n")
    worker.stdin.flush()
    answer = worker.stdout.readline()
    assert answer, f"llama.cpp ended: {log.read_text()[-2000:]}"
    return json.loads(answer)


def run(path, ids, texts=()):
    """(logits [T, V] in fp32 throughout, the tokens of each text); skips where cyllama is absent."""
    import pytest
    import torch

    if not AVAILABLE:
        pytest.skip("cyllama is not installed")
    answer = ask(path, {"ids": ids, "texts": texts})
    assert "error" not in answer, answer["error"]
    return torch.tensor(answer["logits"]), answer["tokens"]


def answer_to(llama_cpp, question):
    class Model(llama_cpp.LlamaModel):  # which get_logits_ith takes for one with a number of tokens
        @property
        def n_vocab(self):
            return self.get_vocab().n_vocab

    parameters = llama_cpp.LlamaModelParams()
    parameters.use_mmap = False
    model = Model(path_model=question["path"], params=parameters, verbose=False)
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
    return {"logits": logits, "tokens": tokens}


def main():
    import os

    from cyllama.llama import llama_cpp

    for line in sys.stdin:
        question = json.loads(line)
        log = os.open(question["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(log, 2)
        os.close(log)
        try:
            answer = answer_to(llama_cpp, question)
        except Exception as error:  # what ends a Python program is reported by the test
            with open(question["log"]) as log:
                answer = {"error": f"{error!r}: {log.read()[-2000:]}"}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
