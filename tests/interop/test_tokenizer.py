# SPDX-License-Identifier: Apache-2.0
"""Tokenizers against the `tokenizers` and `sentencepiece` packages: in one process for many cases, and
`gradus tokenizer encode | decode` where files and flags count."""

import base64
import gzip
import importlib
import io
import json
import pathlib
import random
import unicodedata

import pytest

tokenizers = importlib.import_module("tokenizers")
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models  # noqa: E402
from tokenizers import normalizers as norm, pre_tokenizers as pre, processors  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parents[2]
ACCEPTANCE = ROOT / ".." / "shared" / "acceptance" / "tokenizers"
REAL = ["gpt-2", "qwen2", "falcon", "llama-bpe"]
RANGES = [
    (0x20, 0x7F), (0x20, 0x7F), (0, 0x20), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x600),
    (0x900, 0xA00), (0x1100, 0x1200), (0x1E00, 0x2100), (0x2E80, 0x3100), (0x4E00, 0x9FFF),
    (0xAC00, 0xD7A3), (0xF900, 0xFFFF), (0x10000, 0x12000), (0x1F300, 0x1FA00), (0, 0x110000),
]
MIXED_IN = [" ", "  ", "\n", " \n", "\t", "\u3000", "<s>", "</s>", "<mask>", "[WORD]", "don't"]
FIXED = [
    "", " ", "\n", "Hello world", "don't WE'LL I'Ve 'S 'ſ", "  two  spaces ", "\t\ttabs\n\n\r\nx ",
    "12345 6789 ²³¼ ٣٤", "x" * 3000, " " * 3000, "\n" * 999, "ab" * 2000, "é" * 500,
    "e\u0301 A\u030a \ufb01", "日本語テキスト、漢字。", "🎉👨‍👩‍👧", "\u180e x\u200b", "Straße İI ΑΣ",
]


def random_texts(seed, count):
    source = random.Random(seed)
    for _ in range(count):
        parts, length = [], source.choice([1, 3, 8, 20, 80])
        while len(parts) < length:
            low, high = source.choice(RANGES)
            for _ in range(source.choice([1, 1, 2, 4])):
                point = source.randrange(low, high)
                if not 0xD800 <= point < 0xE000:
                    parts.append(chr(point))
            if source.random() < 0.3:
                parts.append(source.choice(MIXED_IN))
        yield "".join(parts)


def texts(seed, count=400):
    return FIXED + list(random_texts(seed, count))


def run_json(gradus, folder, action, value, *flags):
    path = folder / "input.json"
    path.write_text(json.dumps(value))
    done = gradus("tokenizer", action, "--model", folder, "--file", path, *flags)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def differing(ours, theirs, inputs):
    assert len(ours) == len(theirs)
    return [ascii(x)[:80] for x, a, b in zip(inputs, ours, theirs) if a != b]


def check(runner, folder, tokenizer, seed=1):
    inputs = texts(seed)
    runner.load(folder)
    for special in (True, False):
        theirs = [tokenizer.encode(t, add_special_tokens=special).ids for t in inputs]
        assert differing(runner.encode(inputs, special), theirs, inputs) == []
    expected = [tokenizer.decode(ids, skip_special_tokens=False) for ids in theirs]
    assert differing(runner.decode(theirs), expected, inputs) == []


@pytest.fixture
def save(tmp_path):
    def write(tokenizer):
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        return tmp_path

    return write


@pytest.mark.parametrize("name", REAL)
def test_real_tokenizers(runner, tmp_path, name):
    packed = ACCEPTANCE / name / "tokenizer.json.gz"
    if not packed.exists():
        pytest.skip("../shared/acceptance is absent")
    (tmp_path / "tokenizer.json").write_bytes(gzip.decompress(packed.read_bytes()))
    check(runner, tmp_path, Tokenizer.from_file(str(tmp_path / "tokenizer.json")), seed=2)


def test_sentencepiece(runner, tmp_path):
    sentencepiece = importlib.import_module("sentencepiece")
    model = ACCEPTANCE / "llama-spm" / "tokenizer.model"
    if not model.exists():
        pytest.skip("../shared/acceptance is absent")
    (tmp_path / "tokenizer.model").write_bytes(model.read_bytes())
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    inputs = [text for text in texts(3) if "\0" not in text]
    theirs = [processor.encode(text) for text in inputs]
    runner.load(tmp_path)
    assert differing(runner.encode(inputs), theirs, inputs) == []
    decoded = [processor.decode(ids) for ids in theirs]
    assert differing(runner.decode(theirs), decoded, inputs) == []


def bytes_as_tokens(prefix=None):
    """Every character becomes its bytes, a character inside a piece after `prefix`: the ids show
    each change of the text and each cut."""
    vocabulary = {f"<0x{byte:02X}>": byte for byte in range(256)}
    options = {"continuing_subword_prefix": prefix} if prefix else {}
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=[], byte_fallback=True, **options))
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    return tokenizer


NORMALIZERS = {
    "nfc": norm.NFC(), "nfd": norm.NFD(), "nfkc": norm.NFKC(), "nfkd": norm.NFKD(),
    "lowercase": norm.Lowercase(), "strip": norm.Strip(), "strip_accents": norm.StripAccents(),
    "nmt": norm.Nmt(), "bert": norm.BertNormalizer(), "prepend": norm.Prepend("_x"),
    "replace": norm.Replace(" ", "▁"), "replace_regex": norm.Replace(Regex(r"\s+"), "_"),
    "sequence": norm.Sequence([norm.NFD(), norm.StripAccents(), norm.Replace("a", "bb")]),
}


@pytest.mark.parametrize("name", NORMALIZERS)
def test_normalizers(runner, save, name):
    tokenizer = bytes_as_tokens()
    tokenizer.normalizer = NORMALIZERS[name]
    check(runner, save(tokenizer), tokenizer)


BEHAVIORS = ["isolated", "removed", "merged_with_previous", "merged_with_next", "contiguous"]
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re)?"
    r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re)?"
    r"|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
PRE_TOKENIZERS = {
    "digits": pre.Digits(), "single_digits": pre.Digits(True), "whitespace": pre.Whitespace(),
    "whitespace_split": pre.WhitespaceSplit(), "bert": pre.BertPreTokenizer(),
    "delimiter": pre.CharDelimiterSplit("a"), "byte_level": pre.ByteLevel(False),
    "byte_level_prefix": pre.ByteLevel(True), "byte_level_whole": pre.ByteLevel(True, use_regex=False),
    "sequence": pre.Sequence([pre.Digits(True), pre.Punctuation(), pre.ByteLevel(True)]),
    "o200k": pre.Split(Regex(O200K), "isolated"),
    "intersection": pre.Split(Regex(r"[\p{L}&&[^\p{Han}]]+|\p{Han}+"), "isolated"),
    "literal": pre.Split("<s>", "merged_with_next"),
    "words_in_parts": pre.Sequence([pre.WhitespaceSplit(), pre.Metaspace(prepend_scheme="first")]),
}
PRE_TOKENIZERS |= {f"punctuation_{b}": pre.Punctuation(b) for b in BEHAVIORS}
PRE_TOKENIZERS |= {f"split_{b}": pre.Split(Regex(r"\w+"), b) for b in BEHAVIORS}
PRE_TOKENIZERS |= {f"inverted_{b}": pre.Split(Regex(r"\s*"), b, invert=True) for b in BEHAVIORS}
PRE_TOKENIZERS |= {
    f"metaspace_{scheme}_{split}": pre.Metaspace(prepend_scheme=scheme, split=split)
    for scheme in ("always", "never", "first") for split in (True, False)
}


@pytest.mark.parametrize("name", PRE_TOKENIZERS)
def test_pre_tokenizers(runner, save, name):
    tokenizer = bytes_as_tokens(prefix="#")
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[name]
    check(runner, save(tokenizer), tokenizer)


def test_unicode_scripts_of_every_character(runner, save):
    tokenizer = bytes_as_tokens(prefix="#")
    tokenizer.pre_tokenizer = pre.UnicodeScripts()
    every = [chr(c) for c in range(0x30000) if not 0xD800 <= c < 0xE000]
    inputs = ["".join(every[i : i + 512]) for i in range(0, len(every), 512)]
    inputs += ["a".join(every[i : i + 64]) for i in range(0, 0x3000, 64)]
    theirs = [tokenizer.encode(text).ids for text in inputs]
    runner.load(save(tokenizer))
    assert differing(runner.encode(inputs), theirs, inputs) == []


def character_map(name):
    """The precompiled map of a SentencePiece model trained with a normalization rule."""
    sentencepiece = importlib.import_module("sentencepiece")
    proto = importlib.import_module("sentencepiece.sentencepiece_model_pb2").ModelProto()
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["hello world", "abc def"] * 20), model_writer=out, vocab_size=20, hard_vocab_limit=False,
        normalization_rule_name=name, minloglevel=2)
    proto.ParseFromString(out.getvalue())
    return proto.normalizer_spec.precompiled_charsmap


@pytest.mark.parametrize("rule", ["nmt_nfkc", "nfkc_cf"])
def test_precompiled(runner, save, rule):
    tokenizer = bytes_as_tokens()
    tokenizer.normalizer = norm.Precompiled(character_map(rule))
    check(runner, save(tokenizer), tokenizer, seed=6)


@pytest.mark.parametrize("fallback", [True, False])
def test_unigram(runner, save, fallback):
    source = random.Random(7)
    pieces = {"<unk>": 0.0} | {f"<0x{byte:02X}>": -9.0 for byte in range(256)}
    for text in texts(8, 200):
        for _ in range(20):
            at = source.randrange(len(text) + 1)
            piece = text[at : at + source.choice([1, 1, 2, 2, 3, 5])].replace(" ", "▁")
            if piece:
                pieces.setdefault(piece, -source.random() * 12)
    tokenizer = Tokenizer(models.Unigram(list(pieces.items()), unk_id=0, byte_fallback=fallback))
    tokenizer.pre_tokenizer = pre.Metaspace(split=False)
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace()])
    folder = save(tokenizer)  # reading the file changes the last bits of some scores
    check(runner, folder, Tokenizer.from_file(str(folder / "tokenizer.json")), seed=8)


DECODERS = {
    "ctc": decoders.CTC(pad_token="a", word_delimiter_token=" "),
    "ctc_plain": decoders.CTC(pad_token="a", word_delimiter_token=" ", cleanup=False),
    "bpe": decoders.BPEDecoder(suffix="b"), "word_piece": decoders.WordPiece(prefix="c"),
    "metaspace": decoders.Metaspace(), "strip": decoders.Strip("a", 1, 0),
    "replace": decoders.Sequence([decoders.Replace(Regex(r"\s"), "_"), decoders.Fuse()]),
    "byte_level": decoders.ByteLevel(), "none": None,
}


@pytest.mark.parametrize("name", DECODERS)
def test_decoders(runner, save, name):
    characters = sorted({c for text in texts(9, 60) for c in text} | set("aabc "))
    vocabulary = {token: i for i, token in enumerate(["?"] + characters)}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="?"))
    tokenizer.pre_tokenizer = pre.Split(Regex(r"[\s\S]"), "isolated")
    if DECODERS[name]:
        tokenizer.decoder = DECODERS[name]
    check(runner, save(tokenizer), tokenizer, seed=9)


@pytest.mark.parametrize("direction", ["left", "right"])
@pytest.mark.parametrize("length", [None, 12])
def test_truncation_and_padding(runner, save, direction, length):
    tokenizer = bytes_as_tokens()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 256), ("</s>", 257)])
    tokenizer.enable_truncation(9, stride=2, direction=direction)
    tokenizer.enable_padding(direction=direction, pad_id=3, length=length, pad_to_multiple_of=8)
    inputs = texts(10, 100)
    runner.load(save(tokenizer))
    for special in (True, False):
        theirs = [e.ids for e in tokenizer.encode_batch(inputs, add_special_tokens=special)]
        assert differing(runner.encode(inputs, special), theirs, inputs) == []


def ranks_by_merging(seed):
    """A tiktoken vocabulary: the bytes, then tokens joined from neighbours in random texts."""
    source, ranks = random.Random(seed), {bytes([byte]): byte for byte in range(256)}
    for text in texts(seed, 150):
        parts = tiktoken_encode(text.encode()[:400], ranks, whole=False)
        for _ in range(6):
            if len(parts) > 1:
                at = source.randrange(len(parts) - 1)
                ranks.setdefault(parts[at] + parts[at + 1], len(ranks))
    return ranks


def tiktoken_encode(piece, ranks, whole=True):
    """The published algorithm: of all neighbours, those whose whole has the lowest rank, the
    leftmost first."""
    if whole and piece in ranks:
        return [piece]
    parts = [piece[i : i + 1] for i in range(len(piece))]
    while len(parts) > 1:
        pairs = [ranks.get(a + b, 1 << 30) for a, b in zip(parts, parts[1:])]
        at = pairs.index(min(pairs))
        if pairs[at] == 1 << 30:
            break
        parts[at : at + 2] = [parts[at] + parts[at + 1]]
    return parts


GLM4 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}"
        r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")


@pytest.mark.parametrize("name", ["qwen.tiktoken", "tokenizer.model", "cl100k_base.tiktoken"])
def test_tiktoken(gradus, tmp_path, name):
    regex = importlib.import_module("regex")
    ranks = ranks_by_merging(11)
    lines = [f"{base64.b64encode(token).decode()} {rank}" for token, rank in ranks.items()]
    (tmp_path / name).write_text("\n".join(lines) + "\n")
    pattern, special, before, form = GLM4, "<|im_start|>", [], None
    if name == "qwen.tiktoken":
        pattern, form, special_id = GLM4.replace("{1,3}", ""), "NFC", len(ranks) + 1
    elif name == "tokenizer.model":
        special, special_id, before = "<|user|>", len(ranks) + 2, [len(ranks), len(ranks) + 1]
        tokens = {len(ranks): "[gMASK]", len(ranks) + 1: "<sop>", special_id: special}
        (tmp_path / "tokenizer_config.json").write_text(json.dumps({
            "tokenizer_class": "ChatGLM4Tokenizer",
            "added_tokens_decoder": {str(i): {"content": t} for i, t in tokens.items()}}))
    else:
        special, special_id = "<|endoftext|>", 100257
        pattern = GLM4.replace(r"(?i:'s|'t|'re|'ve|'m|'ll|'d)", "'(?i:[sdmt]|ll|ve|re)").replace(
            r"|\s*[\r\n]+|\s+(?!\S)|\s+", r"|\s+\Z|\s*[\r\n]|\s+(?!\S)|\s")
    unassigned = regex.compile(r"\p{Cn}")  # Unicode versions differ there
    inputs = [t for t in texts(12) if not unassigned.search(t) and "ſ" not in t]
    theirs = []
    for text in inputs:
        text = unicodedata.normalize(form, text) if form else text
        pieces = regex.findall("(?V1)" + pattern, text)
        assert "".join(pieces) == text
        parts = (part for piece in pieces for part in tiktoken_encode(piece.encode(), ranks))
        theirs.append(before + [ranks[part] for part in parts])
    ours = run_json(gradus, tmp_path, "encode", inputs)
    assert differing(ours, theirs, inputs) == []
    decoded = run_json(gradus, tmp_path, "decode", [ids[len(before):] for ids in ours])
    assert form or decoded == inputs
    assert special_id in run_json(gradus, tmp_path, "encode", [f"a{special}b"])[0]


def rwkv_encode(text, tokens):
    data, at, out = text.encode(), 0, []
    longest = max(map(len, tokens))
    while at < len(data):
        size = next(n for n in range(longest, 0, -1) if data[at : at + n] in tokens)
        out.append(tokens[data[at : at + size]])
        at += size
    return out


def test_rwkv_world(gradus, tmp_path):
    source, tokens = random.Random(13), {bytes([byte]): byte + 1 for byte in range(256)}
    words = {t[i : i + source.choice([1, 2, 4])] for t in texts(13, 100) for i in range(0, 40, 5)}
    literals = {token: repr(token) if len(token) and token[0] > 127 else repr(token.decode())
                for token in tokens}
    for word in sorted(words - {""}):
        if word.encode() not in tokens:
            tokens[word.encode()] = len(tokens) + 1
            literals[word.encode()] = repr(word)
    lines = [f"{i} {literals[token]} {len(token)}" for token, i in tokens.items()]
    (tmp_path / "rwkv_vocab_v20230424.txt").write_text("\n".join(lines) + "\n")
    inputs = texts(14)
    theirs = [rwkv_encode(text, tokens) for text in inputs]
    assert differing(run_json(gradus, tmp_path, "encode", inputs), theirs, inputs) == []
    assert run_json(gradus, tmp_path, "decode", theirs) == inputs


def test_the_command_reads_and_writes_files(gradus, save):
    tokenizer = bytes_as_tokens()
    tokenizer.add_special_tokens(["<s>", "</s>"])
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 256), ("</s>", 257)])
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    folder, inputs = save(tokenizer), texts(15, 40)
    for special, flags in ((True, []), (False, ["--no-special"])):
        theirs = [tokenizer.encode(text, add_special_tokens=special).ids for text in inputs]
        assert differing(run_json(gradus, folder, "encode", inputs, *flags), theirs, inputs) == []
    rows = [[256, *ids, 257] for ids in theirs]
    for skip, flags in ((True, ["--skip-special"]), (False, [])):
        expected = [tokenizer.decode(ids, skip_special_tokens=skip) for ids in rows]
        assert differing(run_json(gradus, folder, "decode", rows, *flags), expected, inputs) == []


def test_rwkv_world_with_the_tokens_that_a_transformers_folder_adds(gradus, tmp_path):
    """fla-hub/rwkv7-*-world: the vocabulary, code and this file; the template writes token 0."""
    end, more = "<|rwkv_tokenizer_end_of_text|>", "<|more|>"
    lines = [f"{byte + 1} {repr(bytes([byte])) if byte > 127 else repr(chr(byte))} 1" for byte in range(256)]
    (tmp_path / "rwkv_vocab_v20230424.txt").write_text("\n".join(lines) + "\n")
    added = {str(i): {"content": text, "lstrip": False, "normalized": False, "rstrip": False, "single_word": False,
                      "special": True} for i, text in ((0, end), (300, more))}
    template = f"{{{{ '{end}' }}}}{{% for m in messages %}}{{{{ m['content'] }}}}{{% endfor %}}"
    settings = {"added_tokens_decoder": added, "eos_token": end, "chat_template": template,
                "tokenizer_class": "RwkvTokenizer", "auto_map": {"AutoTokenizer": ["hf_rwkv_tokenizer.RwkvTokenizer", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(settings))
    inputs = [f"ab{end}c", more + end, "<|end|>", end[:-1], ""]
    expected = [[98, 99, 0, 100], [300, 0], [ord(c) + 1 for c in "<|end|>"], [ord(c) + 1 for c in end[:-1]], []]
    assert run_json(gradus, tmp_path, "encode", inputs) == expected
    assert run_json(gradus, tmp_path, "decode", expected) == inputs
    # What a message says is text, whatever it spells.
    chat = [{"role": "user", "content": f"a{end}"}]
    assert run_json(gradus, tmp_path, "chat", [chat]) == [end + "a" + end]


@pytest.mark.parametrize("normalized", [True, False])
def test_added_tokens(runner, save, normalized):
    tokenizer = bytes_as_tokens()
    tokenizer.normalizer = norm.Sequence([norm.Lowercase(), norm.Replace(" ", "▁")])
    flags = [{}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True},
             {"single_word": True}]
    contents = ["<s>", "</s>", "<mask>", " X", "do", "don", "日", "[WORD]", "ab", "abab"]
    tokenizer.add_tokens(
        [AddedToken(content, normalized=normalized, special=i % 2 == 0, **flags[i % 5])
         for i, content in enumerate(contents)]
    )
    check(runner, save(tokenizer), tokenizer, seed=4)


def test_committed_fixtures(runner, tmp_path):
    for path in sorted((ROOT / "tests" / "fixtures" / "tokenizers").glob("*.json")):
        document = json.loads(path.read_text())
        (tmp_path / "tokenizer.json").write_text(json.dumps(document["tokenizer"]))
        tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        check(runner, tmp_path, tokenizer, seed=5)


def test_a_broken_tokenizer_gives_one_line(gradus, tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Mystery"}}')
    (tmp_path / "input.json").write_text('["a"]')
    done = gradus("tokenizer", "encode", "--model", tmp_path, "--file", tmp_path / "input.json")
    assert done.returncode == 1 and done.stdout == ""
    assert "Mystery" in done.stderr and done.stderr.count("\n") == 1
