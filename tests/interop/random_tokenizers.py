# SPDX-License-Identifier: Apache-2.0
"""tokenizer.json files made at random out of every component, and texts that are hard for them."""

import base64
import random

CHARACTERS = (
    list("aabbcdeABZ") + list("  \n\t\r0129.,!?'-_#") + list("éÉñßſİıǅσΣςжЖ") + list("\u0301\u0308\u0345\u05b0\u0e33\u093f")
    + list("日本語の漢ーカ々") + list("กาไ한글각") + ["\u1112\u1161\u11ab", "\ufb01", "\u2163", "\u00bd", "\u00b2", "\u0663", "\u0e51"]
    + ["\u00a0", "\u3000", "\u2028", "\u200b", "\u200d", "\ufeff", "\u0085", "\u180e", "\u001c", "\x00", "\x07", "\x7f", "\u00ad"]
    + ["👩‍👩‍👧", "🇩🇪", "👍🏽", "\ufe0f", "𝔘", "𠀀", "\U0001e030", "\ufffd", "\ue000", "\U000e0101"]
    + ["▁", "▁a", "Ġ", "Ċ", "<", ">", "<s>", "</s>", "[M]", "<0x41>", "##", "</w>", "don't", "I'LL", "123456", "12", "«x»", "$", "£", "+", "~"]
)
WORDS = ["ab", "abc", "bc", "ba", "cab", "aab", "dea", "é", "日本", "▁a", " a", "  ", "\n\n", "12", "の漢", "'s", "한", "A", "Zz", "e\u0301"]
ADDED = ["<s>", "</s>", "[M]", "<mask>", "ab", "abab", " a", "B", "é", "É", "日", "\n", "do", "don", "▁", "a b", "X", "<0x41>", "ſ", "12"]
CASED = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
CASED_CAPITALS = r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
AFTER_CASED = r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
PATTERNS = [
    r"\s+", r" {2,}", r"[^\S\n]+", r"\w+|[^\w\s]+", r"\p{L}+", r"(?<=a)b", r"a(?!b)", r"(?i)abc|É", r"\d{1,3}(?=(?:\d{3})*\b)", r"\d",
    r"[一-龥぀-ゟ゠-ヿ]+", r"\p{Han}|\p{Hiragana}", r"\p{P}", r"[[:punct:]]+", r"[[:alpha:]]|[[:digit:]]+", r"(\d)(?=\d)", r"(?:a|ab)(?:c|bcd)?",
    r"^.", r".$", r"\A\s|\s\z", r"\b", r"", r"a*", r"(?<!\p{L})\p{L}", r"[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    r"'(?i:[sdmt]|ll|ve|re)|[^\r\n\p{L}\p{N}]?+\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]++[\r\n]*|\s*[\r\n]|\s+(?!\S)|\s+", r"\p{Lu}\p{Ll}*|[a-z&&[^b]]+",
    r"[\p{L}\p{M}]++", r"\X", r"\R", r"\h+", r"(?>a+)b|a", r"(a)(b)?\1", r"[^\p{ASCII}]+", r"\p{^L}", r"\P{Alnum}", r"[\x{4e00}-\x{9fff}]", r"\u0301",
    r"(?m).+", r"(?s:.)b", r"[a\-c.]+", r"[\w&&[^\d]]+", r"\p{Cyrillic}|\p{Greek}+", r"[!-/:-~]", r"\S\s", r"(?x) a b # comment", r"(?i)ß|ss|σ", r"\S{2}?",
    # those written out by hand: Qwen 3.5, Tekken, o200k, DeepSeek-V3
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    f"{CASED}|{CASED_CAPITALS}|{AFTER_CASED}".replace("{1,3}", ""),
    f"{CASED}{CONTRACTION}?|{CASED_CAPITALS}{CONTRACTION}?|{AFTER_CASED}",
    r"[0-9][0-9][0-9]", r"\p{N}{1,3}", r'[!"#$%&' r"'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
]
BEHAVIORS = ["Removed", "Isolated", "MergedWithPrevious", "MergedWithNext", "Contiguous"]


class Maker:
    """Everything of one random tokenizer comes from one seed."""

    def __init__(self, seed, charsmap):
        self.source, self.charsmap = random.Random(seed), charsmap

    def pick(self, *options):
        return self.source.choice(options)

    def flip(self, chance=0.5):
        return self.source.random() < chance

    def pattern(self):
        if self.flip(0.3):
            return {"String": self.pick(" ", "a", "ab", "▁", ".", "日", "\n", "<s>", "$", "")}
        return {"Regex": self.source.choice(PATTERNS)}

    def text(self):
        length = self.pick(0, 1, 2, 5, 9, 15, 30, 60)
        small = self.flip(0.3)
        return "".join(self.source.choice("ab c" if small else self.pick(CHARACTERS, CHARACTERS, WORDS, ADDED))
                       for _ in range(length))

    def normalizer(self, depth=0):
        kind = self.pick("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "Strip", "StripAccents", "Prepend", "Replace", "Replace", "Nmt",
                         "ByteLevel", "BertNormalizer", "Precompiled", "Sequence", "Sequence")
        if kind == "Strip":
            return {"type": kind, "strip_left": self.flip(), "strip_right": self.flip()}
        if kind == "Prepend":
            return {"type": kind, "prepend": self.pick("▁", "ab", " ", "é")}
        if kind == "Replace":
            return {"type": kind, "pattern": self.pattern(), "content": self.pick("", " ", "▁", "ab", "\\1", "é")}
        if kind == "BertNormalizer":
            return {"type": kind, "clean_text": self.flip(), "handle_chinese_chars": self.flip(),
                    "strip_accents": self.pick(None, True, False), "lowercase": self.flip()}
        if kind == "Precompiled":
            return {"type": kind, "precompiled_charsmap": base64.b64encode(self.charsmap).decode()}
        if kind == "Sequence":
            if depth > 1:
                return {"type": "NFC"}
            return {"type": kind, "normalizers": [self.normalizer(depth + 1) for _ in range(self.pick(0, 1, 2, 2, 3))]}
        return {"type": kind}

    def pre_tokenizer(self, depth=0):
        kind = self.pick("ByteLevel", "Split", "Split", "Split", "Digits", "Punctuation", "Whitespace", "WhitespaceSplit",
                         "CharDelimiterSplit", "BertPreTokenizer", "FixedLength", "Metaspace", "Metaspace", "UnicodeScripts",
                         "Sequence", "Sequence", "Sequence")
        if kind == "ByteLevel":
            return {"type": kind, "add_prefix_space": self.flip(), "trim_offsets": self.flip(), "use_regex": self.flip()}
        if kind == "Split":
            return {"type": kind, "pattern": self.pattern(), "behavior": self.source.choice(BEHAVIORS), "invert": self.flip(0.3)}
        if kind == "Digits":
            return {"type": kind, "individual_digits": self.flip()}
        if kind == "Punctuation":
            return {"type": kind, "behavior": self.source.choice(BEHAVIORS)}
        if kind == "CharDelimiterSplit":
            return {"type": kind, "delimiter": self.pick(" ", "a", "日", "▁")}
        if kind == "FixedLength":
            return {"type": kind, "length": self.pick(1, 2, 3, 5, 7)}
        if kind == "Metaspace":
            scheme = self.pick("always", "never", "first")
            return {"type": kind, "replacement": self.pick("▁", "▁", "_"), "prepend_scheme": scheme, "split": self.flip()}
        if kind == "Sequence":
            if depth > 1:
                return {"type": "WhitespaceSplit"}
            return {"type": kind, "pretokenizers": [self.pre_tokenizer(depth + 1) for _ in range(self.pick(0, 1, 2, 2, 3))]}
        return {"type": kind}

    def decoder(self, depth=0):
        kind = self.pick("ByteLevel", "ByteFallback", "Fuse", "Strip", "Replace", "Metaspace", "WordPiece", "BPEDecoder", "CTC",
                         "Sequence", "Sequence", "Sequence")
        if kind == "Strip":
            return {"type": kind, "content": self.pick(" ", "a", "▁", "日"), "start": self.pick(0, 1, 2), "stop": 0}
        if kind == "Replace":
            return {"type": kind, "pattern": self.pattern(), "content": self.pick("", " ", "b", "é")}
        if kind == "Metaspace":
            return {"type": kind, "replacement": "▁", "prepend_scheme": self.pick("always", "never", "first"), "split": self.flip()}
        if kind == "WordPiece":
            return {"type": kind, "prefix": self.pick("##", "a", ""), "cleanup": self.flip()}
        if kind == "BPEDecoder":
            return {"type": kind, "suffix": self.pick("</w>", "b", "é")}
        if kind == "CTC":
            return {"type": kind, "pad_token": self.pick("a", "<s>", "日"), "word_delimiter_token": self.pick("|", " ", "b"),
                    "cleanup": self.flip()}
        if kind == "Sequence":
            if depth > 1:
                return {"type": "Fuse"}
            return {"type": kind, "decoders": [self.decoder(depth + 1) for _ in range(self.pick(0, 1, 2, 3, 4))]}
        return {"type": kind}

    def post_processor(self, vocab, depth=0):
        names = self.source.sample(sorted(vocab), 2)
        kind = self.pick("TemplateProcessing", "TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel", "Sequence")
        if kind == "TemplateProcessing":
            parts = [{"SpecialToken": {"id": self.source.choice(names), "type_id": 0}} for _ in range(self.pick(0, 1, 2, 3))]
            parts.insert(self.source.randrange(len(parts) + 1), {"Sequence": {"id": "A", "type_id": 0}})
            pair = parts + [{"Sequence": {"id": "B", "type_id": 1}}]
            tokens = {name: {"id": name, "ids": [vocab[name]] * count, "tokens": [name] * count}
                      for name, count in zip(names, (1, self.pick(1, 2)))}
            return {"type": kind, "single": parts, "pair": pair, "special_tokens": tokens}
        if kind in ("BertProcessing", "RobertaProcessing"):
            out = {"type": kind, "sep": [names[0], vocab[names[0]]], "cls": [names[1], vocab[names[1]]]}
            return out | ({"trim_offsets": self.flip(), "add_prefix_space": self.flip()} if kind[0] == "R" else {})
        if kind == "ByteLevel":
            return {"type": kind, "add_prefix_space": self.flip(), "trim_offsets": self.flip(), "use_regex": self.flip()}
        if depth > 0:
            return self.post_processor(vocab, depth)
        return {"type": kind, "processors": [self.post_processor(vocab, 1) for _ in range(self.pick(0, 1, 2))]}

    def pieces(self, seen, count):
        """Pieces of what the steps before the model give."""
        out = []
        for _ in range(count):
            text = self.source.choice(seen)
            at = self.source.randrange(len(text))
            out.append(text[at : at + self.pick(1, 1, 1, 2, 2, 3, 5)])
        return out

    def bpe(self, seen):
        prefix, suffix = self.pick(None, None, None, "##", ""), self.pick(None, None, None, "</w>", "")
        unknown = self.pick(None, "<unk>", "<unk>", "?")
        tokens = ["<unk>"] * self.flip(0.8) + (["?"] if unknown == "?" else [])
        if self.flip():
            tokens += [f"<0x{b:02X}>" for b in range(256) if b < 128 or self.flip(0.97)]
        characters = sorted({c for text in seen for c in text})
        start = [c for c in characters if self.flip(0.9)]
        tokens += start + [(prefix or "") + c for c in start] + [c + (suffix or "") for c in start]
        tokens += [(prefix or "") + c + (suffix or "") for c in start]
        tokens, merges = list(dict.fromkeys(tokens)), []
        for text in self.source.choices(seen, k=60):  # join neighbours, as training does
            parts = [(prefix or "") * (i > 0) + c + (suffix or "") * (i + 1 == len(text)) for i, c in enumerate(text[:40])]
            for _ in range(self.pick(1, 3, 6)):
                joined = set(map(tuple, merges))
                at = next((i for i, pair in enumerate(zip(parts, parts[1:])) if pair in joined), None)
                if at is None and len(parts) > 1:
                    at = self.source.randrange(len(parts) - 1)
                if at is None or parts[at] not in tokens or parts[at + 1] not in tokens:
                    break
                left, right = parts[at], parts[at + 1]
                whole = left + right[len(prefix or ""):]
                tokens += [whole] * (whole not in tokens)
                merges += [[left, right]] * ([left, right] not in merges)
                parts[at : at + 2] = [whole]
        tokens += [p for p in self.pieces(seen, 20) if p not in tokens]
        self.source.shuffle(merges) if self.flip(0.3) else None
        model = {"type": "BPE", "dropout": self.pick(None, 0.0), "unk_token": unknown, "continuing_subword_prefix": prefix,
                 "end_of_word_suffix": suffix, "fuse_unk": self.flip(), "byte_fallback": self.flip(), "ignore_merges": self.flip()}
        spaced = any(" " in part for pair in merges for part in pair)
        legacy = self.flip() and not spaced
        return model | {"vocab": self.numbered(tokens), "merges": [" ".join(m) for m in merges] if legacy else merges}

    def unigram(self, seen):
        tokens = ["<unk>"] + ([f"<0x{b:02X}>" for b in range(256)] if self.flip() else [])
        tokens = list(dict.fromkeys(tokens + self.pieces(seen, 250)))
        even = self.flip(0.3)  # ties
        scores = [[token, -float(len(token)) if even else -self.source.random() * 10] for token in tokens]
        return {"type": "Unigram", "unk_id": self.pick(0, 0, 0, None), "vocab": scores, "byte_fallback": self.flip()}

    def word_piece(self, seen):
        prefix = self.pick("##", "##", "a", "")
        tokens = ["[UNK]"] + [self.pick("", prefix, prefix) + p for p in self.pieces(seen, 300)]
        return {"type": "WordPiece", "unk_token": self.pick("[UNK]", "[UNK]", "none"), "continuing_subword_prefix": prefix,
                "max_input_chars_per_word": self.pick(100, 100, 10, 3), "vocab": self.numbered(dict.fromkeys(tokens))}

    def word_level(self, seen):
        tokens = ["[UNK]"] + seen[::2] + self.pieces(seen, 150)
        return {"type": "WordLevel", "unk_token": self.pick("[UNK]", "[UNK]", "none"), "vocab": self.numbered(dict.fromkeys(tokens))}

    def numbered(self, tokens):
        """Ids in order, or with a hole."""
        hole = self.pick(0, 0, 0, 7)
        return {token: i if i < 5 else i + hole for i, token in enumerate(tokens)}

    def added_tokens(self, vocab):
        contents = self.source.sample(ADDED, self.pick(0, 0, 2, 5, 9))
        if self.flip(0.3):
            contents += self.source.sample(sorted(vocab), min(2, len(vocab)))
        return [{"id": i, "content": c, "single_word": self.flip(0.2), "lstrip": self.flip(0.3), "rstrip": self.flip(0.3),
                 "normalized": self.flip(), "special": self.flip()} for i, c in enumerate(dict.fromkeys(contents)) if c]

    def steps(self):
        return {"version": "1.0", "truncation": None, "padding": None, "added_tokens": [],
                "normalizer": self.normalizer() if self.flip(0.7) else None,
                "pre_tokenizer": self.pre_tokenizer() if self.flip(0.85) else None,
                "post_processor": None, "decoder": None}

    def document(self, steps, seen):
        model = self.pick(self.bpe, self.bpe, self.unigram, self.word_piece, self.word_level)(seen)
        vocab = model["vocab"] if isinstance(model["vocab"], dict) else {t: i for i, (t, _) in enumerate(model["vocab"])}
        return steps | {"model": model, "added_tokens": self.added_tokens(vocab),
                        "post_processor": self.post_processor(vocab) if self.flip() and len(vocab) > 1 else None,
                        "decoder": self.decoder() if self.flip(0.8) else None}
