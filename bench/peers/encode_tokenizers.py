# SPDX-License-Identifier: Apache-2.0
"""Encoding with the `tokenizers` package on one core: encode_batch, no special tokens. Prints
{"seconds": processor time, the best of its repeats, "digest": SHA-256 of all ids as 32-bit numbers}."""

import os

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"

import argparse  # noqa: E402
import array  # noqa: E402
import hashlib  # noqa: E402
import json  # noqa: E402
import time  # noqa: E402

from tokenizers import Tokenizer  # noqa: E402

arguments = argparse.ArgumentParser()
arguments.add_argument("tokenizer")
arguments.add_argument("documents")
arguments.add_argument("--repeats", type=int, default=3)
options = arguments.parse_args()

tokenizer = Tokenizer.from_file(options.tokenizer)
with open(options.documents) as file:
    documents = json.load(file)
tokenizer.encode_batch(documents, add_special_tokens=False)  # fills its cache
best = float("inf")
for _ in range(options.repeats):
    start = time.process_time()
    encodings = tokenizer.encode_batch(documents, add_special_tokens=False)
    best = min(best, time.process_time() - start)
digest = hashlib.sha256()
for encoding in encodings:
    digest.update(array.array("i", encoding.ids).tobytes())
print(json.dumps({"seconds": best, "digest": digest.hexdigest()}))
