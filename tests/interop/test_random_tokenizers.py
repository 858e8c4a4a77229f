# SPDX-License-Identifier: Apache-2.0
"""Random tokenizer.json files against `tokenizers`: ids, decoded text, and what is refused.
GRADUS_RANDOM_TOKENIZERS=N takes N files in place of a few."""

import importlib
import io
import json
import os

import pytest
from random_tokenizers import Maker

FILES = int(os.environ.get("GRADUS_RANDOM_TOKENIZERS", "200"))
FIRST = int(os.environ.get("GRADUS_RANDOM_FIRST", "0"))
GROUP = 40  # files of one test
TEXTS = 40


@pytest.fixture(scope="module")
def charsmap():
    """SentencePiece's map of characters for nmt_nfkc."""
    sentencepiece = importlib.import_module("sentencepiece")
    proto = importlib.import_module("sentencepiece.sentencepiece_model_pb2").ModelProto()
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(["hello world", "abc def"] * 20), model_writer=out,
                                             vocab_size=20, hard_vocab_limit=False, minloglevel=2)
    proto.ParseFromString(out.getvalue())
    return proto.normalizer_spec.precompiled_charsmap


PANIC = "panic"


def attempt(call):
    """The result, None where the peer refuses, or PANIC."""
    try:
        return call()
    except Exception:
        return None
    except BaseException as error:  # a panic of Rust
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        return PANIC


def seen_by_the_model(steps, texts):
    """What normalizer and pre-tokenizer make of texts, from a tokenizer with these steps only."""
    peer = importlib.import_module("tokenizers").Tokenizer
    plain = peer.from_str(json.dumps(steps | {"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"}}))
    out = []
    for text in texts:
        if plain.normalizer:
            text = plain.normalizer.normalize_str(text)
        out += [p for p, _ in plain.pre_tokenizer.pre_tokenize_str(text)] if plain.pre_tokenizer else [text]
    return [piece for piece in out if piece] or ["a"]


def is_clear(peer, document):
    """Whether added tokens differ once normalised: of equal ones the peer takes any."""
    normal = peer.normalizer.normalize_str if peer.normalizer else str
    forms = [normal(token["content"]) for token in document["added_tokens"] if token["normalized"]]
    return len(set(forms)) == len(forms) and "" not in forms


def compare(runner, folder, seed, charsmap):
    """Differences of one random file, and whether there was something to compare."""
    maker = Maker(seed, charsmap)
    steps, texts = maker.steps(), [maker.text() for _ in range(TEXTS)]
    seen = attempt(lambda: seen_by_the_model(steps, texts[:20]))
    if seen in (None, PANIC):
        return [], False
    document = maker.document(steps, seen)
    peer = attempt(lambda: importlib.import_module("tokenizers").Tokenizer.from_str(json.dumps(document)))
    if peer in (None, PANIC) or not is_clear(peer, document):
        return [], False
    (folder / "tokenizer.json").write_text(json.dumps(document))
    answer = runner.ask(do="load", folder=str(folder))
    if "error" in answer:
        return [f"seed {seed}: {answer['error']}"], False
    found, rows = [], []
    for special in (False, True):
        theirs = [attempt(lambda: peer.encode(text, add_special_tokens=special).ids) for text in texts]
        ours = runner.run(do="encode_each", texts=texts, special=special)
        found += [f"seed {seed}: {text!a}: {a} instead of {b}" for text, a, b in zip(texts, ours, theirs) if a != b and b != PANIC]
        rows = [row for row in theirs if row and row != PANIC]
    ids = sorted(peer.get_vocab().values())
    rows += [[maker.source.choice(ids) for _ in range(maker.pick(1, 2, 5, 12))] for _ in range(30)]
    for skip in (False, True):
        expected = [attempt(lambda: peer.decode(row, skip_special_tokens=skip)) for row in rows]
        pairs = zip(rows, runner.decode(rows, skip), expected)
        found += [f"seed {seed}: decode {row}: {a!a} instead of {b!a}" for row, a, b in pairs if b not in (None, PANIC) and a != b]
    return found[:3], len(rows) > 30


@pytest.mark.parametrize("group", range(FILES // GROUP))
def test_random_files(runner, tmp_path, charsmap, group):
    found, compared = [], 0
    for seed in range(FIRST + group * GROUP, FIRST + (group + 1) * GROUP):
        differences, done = compare(runner, tmp_path, seed, charsmap)
        found += differences
        compared += done
    assert found == []
    assert compared > GROUP // 2
