# SPDX-License-Identifier: Apache-2.0
"""Model folders without a tokenizer.json, as `transformers`' AutoTokenizer reads them: vocab.json
and merges.txt, vocab.txt, tokenizer.model with its configuration, tekken.json, tiktoken.model."""

import base64
import importlib
import io
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
    "opt": ({"tokenizer_class": "GPT2Tokenizer", "add_bos_token": True, "bos_token": "</s>", "eos_token": "</s>",
             "unk_token": "</s>", "pad_token": "<pad>"}, ["</s>", "<pad>"], {}),
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
    "roberta": ({"tokenizer_class": "RobertaTokenizer",
                 "mask_token": {"__type": "AddedToken", **flags("<mask>", lstrip=True)}},
                ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], {}),
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


def sentencepiece_model(folder, **options):
    trainer = importlib.import_module("sentencepiece").SentencePieceTrainer
    out = io.BytesIO()
    lines = [line for text in documents(0.15, 36) for line in text.splitlines() if 0 < len(line) < 2000]
    lines = [line for line in lines if max(line) < "\u0250" and "\0" not in line]  # few enough characters
    settings = {"vocab_size": 1500, "model_type": "bpe", "byte_fallback": True, "character_coverage": 0.98,
                "normalization_rule_name": "identity", "remove_extra_whitespaces": False,
                "hard_vocab_limit": False, "minloglevel": 2, **options}
    trainer.train(sentence_iterator=iter(lines), model_writer=out, **settings)
    (folder / "tokenizer.model").write_bytes(out.getvalue())


LLAMA = {
    "llama": {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "add_eos_token": False, "legacy": False,
              "bos_token": {"__type": "AddedToken", **flags("<s>", normalized=True)}},
    "legacy": {"tokenizer_class": "LlamaTokenizerFast", "legacy": True, "add_bos_token": True, "add_eos_token": True},
    "no_prefix": {"tokenizer_class": "LlamaTokenizer", "add_bos_token": False, "add_prefix_space": False},
    "vicuna": {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True, "legacy": False, "pad_token": "<unk>",
               "unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
    "gemma": {"tokenizer_class": "GemmaTokenizer", "add_bos_token": True, "bos_token": "<s>", "eos_token": "</s>",
              "pad_token": None, "mask_token": None},
}


@pytest.mark.parametrize("name", [*LLAMA, "no_bytes"])
def test_tokenizer_model_with_a_configuration(runner, tmp_path, name):
    sentencepiece_model(tmp_path, user_defined_symbols=["<start_of_turn>"], control_symbols=["<|im_start|>"],
                        byte_fallback=name != "no_bytes")
    size = importlib.import_module("sentencepiece").SentencePieceProcessor(
        model_file=str(tmp_path / "tokenizer.model")).get_piece_size()
    files = {"tokenizer_config.json": LLAMA.get(name, LLAMA["llama"]), "config.json": {"model_type": "llama"}}
    if name == "vicuna":
        files["added_tokens.json"] = {"<extra>": size, "[INST]": size + 1}
    write(tmp_path, files)
    check(runner, tmp_path, 37)


def test_a_model_with_python_of_its_own_leaves_segments_to_sentencepiece(runner, tmp_path):
    """InternLM2, Baichuan and others: added tokens are cut out, each part goes to SentencePiece."""
    sentencepiece_model(tmp_path)
    processor = importlib.import_module("sentencepiece").SentencePieceProcessor(
        model_file=str(tmp_path / "tokenizer.model"))
    size = processor.get_piece_size()
    renamed = {size - 1: "<|im_start|>", size: "[INST]"}  # the first one takes the id of a piece
    write(tmp_path, {"tokenizer_config.json": {
        "tokenizer_class": "InternLM2Tokenizer", "add_bos_token": True,
        "added_tokens_decoder": {str(i): flags(t) for i, t in {1: "<s>", 2: "</s>", **renamed}.items()}}})
    assert runner.load(tmp_path) == size + 1
    ids = {"<s>": 1, "</s>": 2, "<|im_start|>": size - 1, "[INST]": size}
    source, asked, expected = random.Random(38), [], []
    for text in texts(39, 100):
        parts = [text.replace("\0", ""), source.choice(list(ids)), "b c", source.choice(list(ids)), " d"]
        if any(token in parts[0] for token in ids):
            continue
        asked.append("".join(parts))
        expected.append([i for p in parts for i in ([ids[p]] if p in ids else processor.encode(p))])
    assert len(asked) > 60
    assert differing(runner.encode(asked), expected, asked) == []
    assert runner.encode(["a"], special=True)[0][0] == 1
    assert runner.decode([[1, *processor.encode("a b"), size, *processor.encode("c")]]) == ["<s>a b[INST]c"]
    assert runner.decode([[1, *processor.encode("a b"), size]], skip=True) == ["a b"]


def test_chatglm_adds_its_tokens_behind_the_pieces(runner, tmp_path):
    sentencepiece_model(tmp_path)
    write(tmp_path, {"tokenizer_config.json": {"tokenizer_class": "ChatGLMTokenizer"}})
    size = runner.load(tmp_path) - 5
    assert runner.encode(["[gMASK]sop"]) == [[size + 1, size + 3]]
    assert runner.encode(["a"], special=True)[0][:2] == [size + 1, size + 3]


def test_tekken(runner, tmp_path):
    ranks = ranks_by_merging(41)
    specials = ["<unk>", "<bos>", "<eos>", "[INST]", "<pad>"]
    o200k = importlib.import_module("test_tokenizer").O200K
    write(tmp_path, {
        "tekken.json": {
            "config": {"pattern": o200k, "num_vocab_tokens": len(ranks), "default_vocab_size": len(ranks) + 6,
                       "default_num_special_tokens": 8, "version": "v7"},
            "vocab": [{"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": None}
                      for token, rank in ranks.items()],
            "special_tokens": [{"rank": i, "token_str": t, "is_control": True} for i, t in enumerate(specials)]},
        "config.json": {"model_type": "llama"}})
    mistral = importlib.import_module("transformers.integrations.mistral.tokenizer")
    peer, asked = mistral.MistralConverter(str(tmp_path / "tekken.json")).converted(), inputs(42)
    runner.load(tmp_path)
    theirs = [peer.encode(text, add_special_tokens=False).ids for text in asked]
    assert differing(runner.encode(asked), theirs, asked) == []
    expected = peer.decode_batch(theirs, skip_special_tokens=False)
    assert differing(runner.decode(theirs), expected, asked) == []
    assert runner.encode(["<SPECIAL_6>[INST]"]) == [[6, 3]]


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


def test_a_class_that_renumbers_pieces_is_refused(runner, tmp_path):
    sentencepiece_model(tmp_path, model_type="unigram")
    write(tmp_path, {"tokenizer_config.json": {"tokenizer_class": "XLMRobertaTokenizer"}})
    assert "XLMRobertaTokenizer" in runner.ask(do="load", folder=str(tmp_path))["error"]
