# SPDX-License-Identifier: Apache-2.0
"""Model folders without a tokenizer.json, as `transformers`' AutoTokenizer reads them: vocab.json
and merges.txt, or vocab.txt."""

import importlib
import json
import random

import pytest
from multilingual import documents
from test_tokenizer import differing, ranks_by_merging, texts

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<s>", "</s>", "<unk>", "<mask>", "<extra>", "[INST]",
            "[CLS]", "[SEP]", "[MASK]", "<bos>", "<eos>", "<start_of_turn>"]


def inputs(seed, count=150):
    source, out = random.Random(seed), texts(seed, count)
    for text in documents(0.01, seed):
        words = text.split(" ")
        for _ in range(3):
            at = source.randrange(len(words) + 1)
            words.insert(at, source.choice(SPECIALS))
            words[at - 1] += source.choice(["", "", " ", "  "]) + source.choice(SPECIALS)
        out.append(source.choice([" ", "", ""]).join(words) if source.random() < 0.3 else " ".join(words))
    return out + ["".join(SPECIALS), " ".join(SPECIALS), " <s> a", "<s>a", "a</s> b", " a", "  a", "▁a", "<s> ▁"]


def write(folder, files):
    for name, content in files.items():
        (folder / name).write_text(content if isinstance(content, str) else json.dumps(content))


def check(runner, folder, seed, decode=True):
    peer = importlib.import_module("transformers").AutoTokenizer.from_pretrained(str(folder))
    rows, asked = [], inputs(seed)
    runner.load(folder)
    for special in (False, True):
        theirs = [peer.encode(text, add_special_tokens=special) for text in asked]
        assert differing(runner.encode(asked, special), theirs, asked) == []
        rows = theirs
    assert len({i for row in rows for i in row}) > 50
    if decode:
        for skip in (False, True):
            expected = [peer.decode(row, skip_special_tokens=skip) for row in rows]
            assert differing(runner.decode(rows, skip), expected, rows) == []
    return peer


def byte_chars():
    """GPT-2's characters for bytes."""
    keep = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in keep]
    return {**{b: chr(b) for b in keep}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


def byte_level_vocabulary(seed, extra=()):
    chars, ranks = byte_chars(), ranks_by_merging(seed)
    spell = {token: "".join(chars[b] for b in token) for token in ranks}
    vocab = {text: i for i, text in enumerate(spell.values())}
    merges = []
    for token, rank in ranks.items():
        cuts = [(token[:i], token[i:]) for i in range(1, len(token)) if token[:i] in ranks and token[i:] in ranks]
        if cuts:
            left, right = min(cuts, key=lambda pair: max(ranks[pair[0]], ranks[pair[1]]))
            merges.append(f"{spell[left]} {spell[right]}")
    for token in extra:
        vocab.setdefault(token, len(vocab))
    return {"vocab.json": vocab, "merges.txt": "#version: 0.2\n" + "\n".join(merges) + "\n"}


def flags(content, **changes):
    return {"content": content, "lstrip": False, "rstrip": False, "single_word": False, "normalized": False,
            "special": True, **changes}


BYTE_LEVEL = {
    "gpt2": ({"tokenizer_class": "GPT2Tokenizer"}, ["<|endoftext|>"], {}),
    "gpt2_fast": ({"tokenizer_class": "GPT2TokenizerFast", "add_prefix_space": True}, ["<|endoftext|>"], {}),
    "by_model_type": (None, ["<|endoftext|>"], {"config.json": {"model_type": "gpt2"}}),
    "qwen2": ({"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "bos_token": None},
              [], {"added_tokens.json": {"<|endoftext|>": 0, "<|im_start|>": 1, "<|im_end|>": 2, "<extra>": 3},
                   "special_tokens_map.json": {"additional_special_tokens": ["<|im_start|>", "<|im_end|>"],
                                               "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}}),
    "qwen2_decoder": ({"tokenizer_class": "Qwen2Tokenizer", "eos_token": "<|im_end|>", "errors": "replace",
                       "added_tokens_decoder": {"0": flags("<|endoftext|>"), "1": flags("<|im_start|>"),
                                                "2": flags("<|im_end|>"),
                                                "3": flags("<extra>", special=False, normalized=True)},
                       "additional_special_tokens": ["<|im_start|>", "<|im_end|>"]}, [], {}),
    "neox": ({"tokenizer_class": "GPTNeoXTokenizer"}, ["<|endoftext|>", "<|padding|>"],
             {"special_tokens_map.json": {"bos_token": "<|endoftext|>", "unk_token": flags("<|endoftext|>")}}),
    "cohere": ({"tokenizer_class": "CohereTokenizer", "add_bos_token": True},
               ["<PAD>", "<UNK>", "<CLS>", "<SEP>", "<MASK_TOKEN>", "<BOS_TOKEN>", "<|END_OF_TURN_TOKEN|>"], {}),
    "not_in_vocabulary": ({"tokenizer_class": "GPT2Tokenizer", "pad_token": "<extra>",
                           "additional_special_tokens": ["[INST]"]}, [], {}),
}


@pytest.mark.parametrize("name", BYTE_LEVEL)
def test_vocab_json_and_merges(runner, tmp_path, name):
    config, extra, files = BYTE_LEVEL[name]
    files = dict(files)
    vocabulary = byte_level_vocabulary(31, extra)
    size = len(vocabulary["vocab.json"])
    if "added_tokens.json" in files:
        files["added_tokens.json"] = {token: size + i for token, i in files["added_tokens.json"].items()}
    if config and "added_tokens_decoder" in config:
        listed = config["added_tokens_decoder"]
        config = {**config, "added_tokens_decoder": {str(size + int(i)): token for i, token in listed.items()}}
    write(tmp_path, vocabulary | files | ({"tokenizer_config.json": config} if config else {}))
    check(runner, tmp_path, 32)


BERT = {
    "uncased": {"tokenizer_class": "BertTokenizer"},
    "cased": {"tokenizer_class": "BertTokenizerFast", "do_lower_case": False},
    "accents": {"tokenizer_class": "BertTokenizer", "do_lower_case": False, "strip_accents": True,
                "tokenize_chinese_chars": False},
    "distilbert": {"tokenizer_class": "DistilBertTokenizer", "strip_accents": False},
}


@pytest.mark.parametrize("name", BERT)
def test_vocab_txt(runner, tmp_path, name):
    source, tokens = random.Random(33), ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    for text in texts(34, 200):
        for word in text.split():
            at = source.randrange(len(word))
            piece = word[at : at + source.choice([1, 1, 2, 3])]
            tokens += [piece, piece.lower(), "##" + piece.lower()]
    tokens = list(dict.fromkeys(t for t in tokens if t == t.strip() and "\n" not in t and len(t.splitlines()) == 1))
    write(tmp_path, {"vocab.txt": "\n".join(tokens) + "\n", "tokenizer_config.json": BERT[name]})
    check(runner, tmp_path, 35)


@pytest.mark.parametrize("files, said", [
    ({"vocab.json": {"a": 0}, "merges.txt": ""}, "nothing says how this vocabulary cuts text"),
    ({"vocab.json": {"a": 0}, "tokenizer_config.json": {"tokenizer_class": "MysteryTokenizer"}}, "MysteryTokenizer"),
    ({"vocab.json": {"a": 0}, "tokenizer_config.json": {"tokenizer_class": "GPT2Tokenizer"}}, "merges.txt"),
    ({"tekken.json": {"config": {"pattern": "a"}, "vocab": []}}, "special_tokens"),
    ({"tekken.json": {"vocab": []}}, "config"),
])
def test_what_cannot_be_known_is_refused(runner, tmp_path, files, said):
    write(tmp_path, files)
    answer = runner.ask(do="load", folder=str(tmp_path))
    assert said in answer["error"] and "\n" not in answer["error"]
