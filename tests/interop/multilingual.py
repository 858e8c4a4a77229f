# SPDX-License-Identifier: Apache-2.0
"""Multilingual text by formula and from the repository's own files: documents of a few KiB."""

import gzip
import json
import pathlib
import random

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Letters of a script: ranges of code points, and what stands between words.
SCRIPTS = {
    "latin": ([(0x61, 0x7B), (0x61, 0x7B), (0x61, 0x7B), (0x41, 0x5B), (0xC0, 0x250)], " "),
    "latin_rare": ([(0x250, 0x2B0), (0x1D00, 0x1F00), (0x2C60, 0x2C80), (0xA720, 0xA800)], " "),
    "greek": ([(0x386, 0x3CF), (0x3B1, 0x3CA), (0x1F00, 0x1F16)], " "),
    "cyrillic": ([(0x410, 0x450), (0x430, 0x450), (0x400, 0x530)], " "),
    "armenian_georgian": ([(0x531, 0x557), (0x561, 0x588), (0x10D0, 0x10FB)], " "),
    "hebrew": ([(0x5D0, 0x5EB), (0x5D0, 0x5EB), (0x5B0, 0x5C8)], " "),
    "arabic": ([(0x620, 0x64B), (0x64B, 0x660), (0x671, 0x6D4), (0xFE70, 0xFEFD)], " "),
    "devanagari": ([(0x904, 0x93A), (0x93E, 0x950), (0x958, 0x970)], " "),
    "indic": ([(0x985, 0x9CF), (0xB85, 0xBCE), (0xC05, 0xC4E), (0xD05, 0xD4F)], " "),
    "thai": ([(0xE01, 0xE3B), (0xE40, 0xE4F)], ""),
    "khmer_myanmar": ([(0x1780, 0x17D4), (0x1000, 0x1050), (0x0F40, 0x0FBD)], "\u200b"),
    "han": ([(0x4E00, 0x5800), (0x4E00, 0x9FA6)], ""),
    "han_rare": ([(0x3400, 0x4DB6), (0x20000, 0x2A6D7), (0xF900, 0xFA6E)], ""),
    "kana": ([(0x3041, 0x3097), (0x30A1, 0x30FB), (0xFF66, 0xFF9E), (0x4E00, 0x5000)], ""),
    "hangul": ([(0xAC00, 0xD7A4), (0xAC00, 0xD7A4), (0x1100, 0x1113), (0x1161, 0x1176)], " "),
    "digits": ([(0x30, 0x3A), (0x30, 0x3A), (0x660, 0x66A), (0x966, 0x970), (0xB2, 0xB4), (0x2150, 0x218A)], " "),
    "marks": ([(0x61, 0x7B), (0x300, 0x370), (0x1AB0, 0x1AC0), (0x20D0, 0x20F1)], " "),
    "emoji": ([(0x1F600, 0x1F650), (0x1F300, 0x1F5FF), (0x2600, 0x27C0), (0x1F3FB, 0x1F400), (0x1F1E6, 0x1F200)], " "),
    "planes": ([(0x10280, 0x10340), (0x12000, 0x12100), (0x1D400, 0x1D7FF), (0x1F000, 0x1FB00), (0xE0100, 0xE01F0)], " "),
    "private": ([(0xE000, 0xE100), (0xF0000, 0xF0010), (0x10FFF0, 0x10FFFE), (0xFFF9, 0xFFFE), (0xFDD0, 0xFDF0)], " "),
    "controls": ([(0x01, 0x20), (0x7F, 0xA1), (0x2000, 0x2010), (0x2028, 0x2030), (0x205F, 0x2070), (0xFEFF, 0xFF00)], " "),
    "any": ([(0x20, 0xD800), (0xE000, 0x30000)], " "),
}
MARKS = [". ", ", ", "! ", "? ", "\n", "\n\n", " \n", "\t", "  ", "   ", " - ", "—", "…", "'s ", "'LL ", "’re ",
         "。", "，", "、", "！\n", "「", "」", ": ", "; ", "(", ")", "[", "]", "{", "}", "<", ">", "/", "\\", "\u3000",
         "\u00a0", "\u2009", "\u1680", "\r\n", "\r", "\x0b", "\x0c", "\x85", "\u180e", "\u200d", "\ufe0f", "=" * 7,
         "#" * 3, "|", "&&", "~~", "``", "$1,234.50 ", "1e-10 ", "0x1F ", "3.14159 ", "12:30 ", "_", "@", "^"]
EMOJI = ["👨‍👩‍👧‍👦", "🏳️‍🌈", "👍🏽", "🇩🇪🇯🇵", "1️⃣", "☠️", "❤️‍🔥", "🧑🏿‍🚀"]


def word_maker(source, ranges):
    pools = [[chr(c) for c in range(low, high) if not 0xD800 <= c < 0xE000] for low, high in ranges]

    def word():
        pool = source.choice(pools)
        return "".join(source.choices(pool, k=source.choice((1, 2, 2, 3, 4, 5, 7, 11))))

    return word


def script_document(source, name, size=3000):
    ranges, gap = SCRIPTS[name]
    word = word_maker(source, ranges)
    words = [word() for _ in range(120)]  # text repeats its words
    parts, length = [], 0
    while length < size:
        part = source.choice(words) if source.random() < 0.7 else word()
        roll = source.random()
        end = gap if roll < 0.7 else source.choice(MARKS) if roll < 0.98 else source.choice(EMOJI)
        parts += [part, end]
        length += len(part) + len(end)
    return "".join(parts)


def mixed_document(source):
    names = source.sample(list(SCRIPTS), 4)
    return "".join(script_document(source, name, 400) for name in names)


def formula_documents(count, seed, size=1200):
    """Documents that do not depend on the repository: every script in turn, and mixed ones."""
    source, names = random.Random(seed), list(SCRIPTS)
    return [mixed_document(source) if i % 4 == 3 else script_document(source, names[i % len(names)], size)
            for i in range(count)]


def repository_documents(source):
    """Prose, code, tables and numbers, cut anywhere."""
    texts = []
    for path in sorted((ROOT / "recipes" / "quickstart" / "data").glob("*.jsonl.gz")):
        with gzip.open(path, "rt", encoding="utf-8") as lines:
            texts += [json.loads(line).get("text", line) for line in lines]
    for pattern in ("lib/**/*.cpp", "docs/*.md", "tests/**/*.py", "recipes/**/*.yaml", "configs/**/*"):
        texts += [p.read_text() for p in sorted(ROOT.glob(pattern)) if p.is_file()]
    source.shuffle(texts)
    for text in texts:
        at = 0
        while at < len(text):
            size = source.choice((200, 1500, 4000))
            yield text[at : at + size]
            at += size


def documents(megabytes, seed=20):
    """About `megabytes` MB of UTF-8: two thirds by formula, one third from the repository."""
    source = random.Random(seed)
    names, files, used = list(SCRIPTS), repository_documents(source), 0
    out = []
    while used < megabytes * 1e6:
        for text in (script_document(source, names[len(out) % len(names)]), mixed_document(source), next(files, "")):
            out.append(text)
            used += len(text.encode())
    return out
