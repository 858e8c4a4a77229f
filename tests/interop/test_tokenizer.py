# SPDX-License-Identifier: Apache-2.0
"""`gradus tokenizer encode | decode` against the `tokenizers` and `sentencepiece` packages."""

import importlib
import gzip
import json
import pathlib
import random

import pytest

tokenizers = importlib.import_module("tokenizers")
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models  # noqa: E402
from tokenizers import normalizers as norm, pre_tokenizers as pre  # noqa: E402

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


def check(gradus, folder, tokenizer, seed=1):
    inputs = texts(seed)
    for special, flags in ((True, []), (False, ["--no-special"])):
        theirs = [tokenizer.encode(t, add_special_tokens=special).ids for t in inputs]
        ours = run_json(gradus, folder, "encode", inputs, *flags)
        assert differing(ours, theirs, inputs) == []
    expected = [tokenizer.decode(ids, skip_special_tokens=False) for ids in theirs]
    assert differing(run_json(gradus, folder, "decode", theirs), expected, inputs) == []


@pytest.fixture
def save(tmp_path):
    def write(tokenizer):
        tokenizer.save(str(tmp_path / "tokenizer.json"))
        return tmp_path

    return write


@pytest.mark.parametrize("name", REAL)
def test_real_tokenizers(gradus, tmp_path, name):
    packed = ACCEPTANCE / name / "tokenizer.json.gz"
    if not packed.exists():
        pytest.skip("../shared/acceptance is absent")
    (tmp_path / "tokenizer.json").write_bytes(gzip.decompress(packed.read_bytes()))
    check(gradus, tmp_path, Tokenizer.from_file(str(tmp_path / "tokenizer.json")), seed=2)


def test_sentencepiece(gradus, tmp_path):
    sentencepiece = importlib.import_module("sentencepiece")
    model = ACCEPTANCE / "llama-spm" / "tokenizer.model"
    if not model.exists():
        pytest.skip("../shared/acceptance is absent")
    (tmp_path / "tokenizer.model").write_bytes(model.read_bytes())
    processor = sentencepiece.SentencePieceProcessor(model_file=str(model))
    inputs = [text for text in texts(3) if "\0" not in text]
    theirs = [processor.encode(text) for text in inputs]
    ours = run_json(gradus, tmp_path, "encode", inputs, "--no-special")
    assert differing(ours, theirs, inputs) == []
    decoded = [processor.decode(ids) for ids in theirs]
    assert differing(run_json(gradus, tmp_path, "decode", theirs), decoded, inputs) == []


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
def test_normalizers(gradus, save, name):
    tokenizer = bytes_as_tokens()
    tokenizer.normalizer = NORMALIZERS[name]
    check(gradus, save(tokenizer), tokenizer)


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
def test_pre_tokenizers(gradus, save, name):
    tokenizer = bytes_as_tokens(prefix="#")
    tokenizer.pre_tokenizer = PRE_TOKENIZERS[name]
    check(gradus, save(tokenizer), tokenizer)


@pytest.mark.parametrize("normalized", [True, False])
def test_added_tokens(gradus, save, normalized):
    tokenizer = bytes_as_tokens()
    tokenizer.normalizer = norm.Sequence([norm.Lowercase(), norm.Replace(" ", "▁")])
    flags = [{}, {"lstrip": True}, {"rstrip": True}, {"lstrip": True, "rstrip": True},
             {"single_word": True}]
    contents = ["<s>", "</s>", "<mask>", " X", "do", "don", "日", "[WORD]", "ab", "abab"]
    tokenizer.add_tokens(
        [AddedToken(content, normalized=normalized, special=i % 2 == 0, **flags[i % 5])
         for i, content in enumerate(contents)]
    )
    check(gradus, save(tokenizer), tokenizer, seed=4)


def test_committed_fixtures(gradus, tmp_path):
    for path in sorted((ROOT / "tests" / "fixtures" / "tokenizers").glob("*.json")):
        document = json.loads(path.read_text())
        (tmp_path / "tokenizer.json").write_text(json.dumps(document["tokenizer"]))
        tokenizer = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
        check(gradus, tmp_path, tokenizer, seed=5)


def test_a_broken_tokenizer_gives_one_line(gradus, tmp_path):
    (tmp_path / "tokenizer.json").write_text('{"model": {"type": "Mystery"}}')
    (tmp_path / "input.json").write_text('["a"]')
    done = gradus("tokenizer", "encode", "--model", tmp_path, "--file", tmp_path / "input.json")
    assert done.returncode == 1 and done.stdout == ""
    assert "Mystery" in done.stderr and done.stderr.count("\n") == 1
