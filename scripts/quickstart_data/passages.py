# SPDX-License-Identifier: Apache-2.0
"""Short passages of prose from a page, each under the heading that it stands under."""

import re

MIN_CHARS = 200
MAX_CHARS = 340
MAX_HEADING_CHARS = 60
SENTENCE_END = re.compile(r"(?<=[.!?])[\"”)]?\s+(?=[A-Z“\"(])")
ABBREVIATION = re.compile(r"(?:\b(?:e\.g|i\.e|etc|vs|cf|resp|approx|No|Fig)|\b[A-Z])\.$")
# A pointer to a numbered place names the part of the manual, so it would give the answer away.
POINTER = re.compile(
    r"\b(?:Section|Chapter|Appendix|Part|Table|Figure|Example) [0-9A-Z]+\b"
    r"|https?:|lists of Objects"
)
MIN_LETTERS = 0.72
MAX_TERM_CHARS = 60
# A heading that says nothing without the title of its page, which then replaces it.
BARE_HEADINGS = {
    "author", "compatibility", "description", "details", "examples", "introduction", "notes",
    "options", "overview", "parameters", "usage",
}


def sentences(text):
    """Sentences of a paragraph; an end after an abbreviation does not count."""
    found, start = [], 0
    for match in SENTENCE_END.finditer(text):
        piece = text[start : match.end()].strip()
        if not ABBREVIATION.search(piece):
            found.append(piece)
            start = match.end()
    found.append(text[start:].strip())
    return [sentence for sentence in found if sentence]


def usable(sentence):
    letters = sum(c.isalpha() or c == " " for c in sentence)
    return (
        sentence[-1] in ".!?"
        and not POINTER.search(sentence)
        and len(sentence) <= MAX_CHARS
        and letters >= MIN_LETTERS * len(sentence)
    )


def page_passages(page):
    """Passages of MIN_CHARS to MAX_CHARS, each below a line with its heading."""
    found = []
    for heading, blocks in sections(page):
        found.extend(f"{heading}\n{text}" for text in section_passages(blocks))
    return found


def sections(page):
    """[(heading, blocks)]; a bare or long heading gives way to the page's title."""
    found, heading, held = [], page.title, []
    for block in page.blocks:
        if block.kind == "heading":
            found.append((heading, held))
            bare = block.text.lower() in BARE_HEADINGS or len(block.text) > MAX_HEADING_CHARS
            heading, held = (page.title if bare else block.text), []
        else:
            held.append(block)
    return found + [(heading, held)]


def section_passages(blocks):
    """Neighbouring sentences joined up to the wanted length; other blocks break the chain."""
    found, held, term = [], "", ""
    for block in blocks:
        if block.kind != "prose":
            held, term = "", block.text if block.kind == "term" else ""
            continue
        for sentence in sentences(with_term(term, block.text)):
            joined = f"{held} {sentence}".strip()
            held = joined if len(joined) <= MAX_CHARS else sentence
            if not usable(sentence):
                held = ""
            elif len(held) >= MIN_CHARS:
                found.append(held)
                held = ""
        term = ""
    return [text for text in found if starts_well(text)]


def starts_well(text):
    """A capital or the name of something: not the middle of a sentence."""
    first = text.split(" ", 1)[0]
    return text[0].isalpha() and not (first.isalpha() and first.islower())


def with_term(term, text):
    """A definition with the term that it defines, so that it can be read alone."""
    return f"{term}: {text}" if 0 < len(term) <= MAX_TERM_CHARS else text
