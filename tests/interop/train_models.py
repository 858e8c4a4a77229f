# SPDX-License-Identifier: Apache-2.0
"""A complete tiny model folder (weights, byte tokenizer, chat template), and data to train it on."""

import json
import random

import tiny_models
import yaml

END, START, STOP = 256, 257, 258
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def byte_characters():
    """GPT-2's printable stand-in for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(others)}}


def write_tokenizer(folder):
    characters = byte_characters()
    vocabulary = {characters[byte]: byte for byte in range(256)}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
    added = [
        dict(id=256 + i, content=text, single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
        for i, text in enumerate(SPECIALS)
    ]
    tokenizer = {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": byte_level,
        "post_processor": None,
        "decoder": byte_level,
        "model": {"type": "BPE", "vocab": vocabulary, "merges": []},
    }
    (folder / "tokenizer.json").write_text(json.dumps(tokenizer))
    settings = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": SPECIALS[0], "chat_template": TEMPLATE}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))


def make(folder, name="llama_tied", seed=0):
    """Saves a tiny model with a byte tokenizer and returns the transformers model."""
    model = tiny_models.make(name, folder, seed)
    write_tokenizer(folder)
    return model


WORDS = "the table index query joins rows that a planner scans vacuum locks commit log page".split()


def sentences(count, words, seed=0):
    generator = random.Random(seed)
    return [" ".join(generator.choice(WORDS) for _ in range(words)) for _ in range(count)]


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def write_texts(path, count=24, words=12, seed=0):
    return write_jsonl(path, [{"text": text} for text in sentences(count, words, seed)])


def write_chats(path, count=24, seed=0):
    rows = []
    for i, text in enumerate(sentences(count, 6, seed)):
        answer = "storage" if i % 2 else "planner"
        rows.append({"messages": [{"role": "user", "content": text}, {"role": "assistant", "content": answer}]})
    return write_jsonl(path, rows)


def write_recipe(path, **keys):
    path.write_text(yaml.safe_dump(keys, sort_keys=False))
    return path


def write_run(folder, source, data=None, **keys):
    """FOLDER/run.yaml, which trains FOLDER/base on `source` in float32 on one thread, into FOLDER/run."""
    data = {
        "sources": [{"name": "main", "path": str(source)}],
        "context_length": 128,
        "cache_dir": str(folder / "cache"),
        **(data or {}),
    }
    usual = {
        "model": str(folder / "base"),
        "output": str(folder / "run"),
        "device": "cpu",
        "dtype": "float32",
        "threads": 1,
        "data": data,
        "peak_tflops": 1.0,
    }
    return write_recipe(folder / "run.yaml", **(usual | keys))


def metrics(run):
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def losses(run):
    return [line["loss"] for line in metrics(run) if "evaluation" not in line]
