# SPDX-License-Identifier: Apache-2.0
"""Each real tokenizer on megabytes of multilingual text, against `tokenizers` and `sentencepiece`:
the same ids and the same text back. A small part by default; GRADUS_TOKENIZER_MB=20 (`make
test-nightly`) takes 20 MB for each."""

import gzip
import importlib
import json
import os
import pathlib

import pytest
from multilingual import documents
from test_tokenizer import NORMALIZERS, PRE_TOKENIZERS, bytes_as_tokens, differing

MEGABYTES = float(os.environ.get("GRADUS_TOKENIZER_MB", "0.3"))
ROOT = pathlib.Path(__file__).resolve().parents[2]
ACCEPTANCE = ROOT / ".." / "shared" / "acceptance" / "tokenizers"
FIXTURES = ROOT / "tests" / "fixtures" / "tokenizers"
NAMES = ["gpt-2", "qwen2", "falcon", "llama-bpe", "llama-spm"]


@pytest.fixture(scope="module")
def texts():
    made = documents(MEGABYTES)
    assert sum(len(text.encode()) for text in made) >= MEGABYTES * 1e6
    return made


class Peer:
    """The outside implementation of the tokenizer in a folder."""

    def __init__(self, folder):
        if (folder / "tokenizer.json").exists():
            tokenizer = importlib.import_module("tokenizers").Tokenizer.from_file(str(folder / "tokenizer.json"))
            self.encode = lambda texts: [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
            self.decode = lambda rows: tokenizer.decode_batch(rows, skip_special_tokens=False)
        else:
            processor = importlib.import_module("sentencepiece").SentencePieceProcessor(
                model_file=str(folder / "tokenizer.model"))
            self.encode, self.decode = processor.encode, processor.decode


def compare(runner, folder, texts):
    peer = Peer(folder)
    runner.load(folder)
    theirs = peer.encode(texts)
    ours = runner.encode(texts)
    assert len(ours) == len(theirs) == len(texts) and sum(map(len, ours)) > len(texts)
    assert [ascii(t)[:200] for t, a, b in zip(texts, ours, theirs) if a != b][:5] == []
    decoded, expected = runner.decode(theirs), peer.decode(theirs)
    assert len(decoded) == len(expected)
    assert [(ascii(a)[:200], ascii(b)[:200]) for a, b in zip(decoded, expected) if a != b][:5] == []


@pytest.mark.parametrize("name", NAMES)
def test_real_tokenizers_on_multilingual_text(runner, tmp_path, texts, name):
    packed, model = ACCEPTANCE / name / "tokenizer.json.gz", ACCEPTANCE / name / "tokenizer.model"
    if packed.exists():
        (tmp_path / "tokenizer.json").write_bytes(gzip.decompress(packed.read_bytes()))
    elif model.exists():
        (tmp_path / "tokenizer.model").write_bytes(model.read_bytes())
    else:
        pytest.skip("../shared/acceptance/tokenizers is absent")
    compare(runner, tmp_path, texts)


@pytest.mark.parametrize("name", sorted(p.stem for p in FIXTURES.glob("*.json")))
def test_small_tokenizers_on_multilingual_text(runner, tmp_path, texts, name):
    document = json.loads((FIXTURES / f"{name}.json").read_text())
    (tmp_path / "tokenizer.json").write_text(json.dumps(document["tokenizer"]))
    compare(runner, tmp_path, texts[:300])


STEP = 1 if MEGABYTES >= 20 else 37  # of the code points


@pytest.mark.parametrize("name", ["nfc", "nfd", "nfkc", "nfkd", "lowercase", "strip_accents", "nmt", "bert", "digits", "whitespace",
                                  "punctuation_isolated", "split_isolated", "o200k"])
def test_every_character(runner, tmp_path, name):
    points = [c for c in [*range(0x32400), *range(0xE0000, 0xE0200)] if not 0xD800 <= c < 0xE000]
    points = [chr(c) for i, c in enumerate(points) if i % STEP == 0 or c < 0x3000]
    inputs = ["b".join(points[i : i + 128]) for i in range(0, len(points), 128)]
    tokenizer = bytes_as_tokens(prefix=None if name in NORMALIZERS else "#")
    if name in NORMALIZERS:
        tokenizer.normalizer = NORMALIZERS[name]
    else:
        tokenizer.pre_tokenizer = PRE_TOKENIZERS[name]
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    theirs = [e.ids for e in tokenizer.encode_batch(inputs, add_special_tokens=False)]
    runner.load(tmp_path)
    assert differing(runner.encode(inputs), theirs, inputs) == []
