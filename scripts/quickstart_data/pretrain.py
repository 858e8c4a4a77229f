# SPDX-License-Identifier: Apache-2.0
"""Text for continued pre-training: sections of the manuals, and general text to replay."""

from quickstart_data import near, splits
from quickstart_data.html_text import page_text

SECTION_CHARS = 1800
MIN_SECTION_CHARS = 300
MAX_BLOCK_CHARS = 3000
MIN_LETTERS = 0.6
DOMAIN_CHARS = 4_000_000
DOMAIN_HELDOUT_CHARS = 90_000
HELDOUT_PAGE_CHARS = (1500, 9000)
HELDOUT_BLOCK_CHARS = 60
GENERAL_CHARS = 2_000_000
GENERAL_HELDOUT_CHARS = 75_000
SUMMARY_CHARS = (200, 2000)
TIGHT_KINDS = ("row", "term")  # no empty line after these


def sections(title, blocks):
    """Texts of about SECTION_CHARS, broken between blocks and, where possible, at headings."""
    found, held = [], title
    for block in blocks:
        if len(block.text) > MAX_BLOCK_CHARS or block.text == title:
            continue
        full = len(held) + len(block.text) > SECTION_CHARS
        if full or (block.kind == "heading" and len(held) > SECTION_CHARS // 2):
            found.append(held)
            held = ""
        held = f"{held}\n{block.text}" if held else block.text
        held += "" if block.kind in TIGHT_KINDS else "\n"
    found.append(held)
    return [text.strip() for text in found if is_prose(text)]


def is_prose(text):
    letters = sum(c.isalpha() or c == " " for c in text)
    return len(text) >= MIN_SECTION_CHARS and letters >= MIN_LETTERS * len(text)


def heldout_pages(pages):
    """Names of whole pages of middling size that together hold DOMAIN_HELDOUT_CHARS."""
    sizes = {page.page: len(page_text(page.blocks)) for page in pages}
    low, high = HELDOUT_PAGE_CHARS
    taken, total = set(), 0
    for name in splits.shuffled("heldout", sorted(sizes)):
        if low <= sizes[name] <= high and total < DOMAIN_HELDOUT_CHARS:
            taken.add(name)
            total += sizes[name]
    return taken


def page_rows(page, blocks):
    return [
        {"text": text, "source": page.source, "page": page.page}
        for text in sections(page.title, blocks)
    ]


def domain_rows(pages, reserved):
    """Sections of all pages that are not reserved, mixed, up to DOMAIN_CHARS."""
    rows = [row for p in pages if p.page not in reserved for row in page_rows(p, p.blocks)]
    once = {row["text"]: row for row in rows}
    return up_to(DOMAIN_CHARS, mixed("domain", once.values()))


def domain_heldout_rows(pages, heldout, reserved):
    """Sections of the held-out pages without the paragraphs that a training page repeats."""
    index, found = near.ShingleIndex(), []
    for page in pages:
        for block in page.blocks if page.page in heldout else ():
            if len(block.text) >= HELDOUT_BLOCK_CHARS:
                index.add(block.text, page.page)
                found.append((page.page, block.text))
    repeated = set()
    for page in pages:
        if page.page not in reserved:
            repeated |= {found[i] for i in index.repeated_in(page_text(page.blocks), page.page)}
    rows = []
    for page in pages:
        if page.page in heldout:
            kept = [block for block in page.blocks if (page.page, block.text) not in repeated]
            rows.extend(page_rows(page, kept))
    return mixed("domain heldout", rows)


def general_rows(summaries):
    """(training rows, held-out rows) of summaries of ordinary length, no text twice."""
    low, high = SUMMARY_CHARS
    usable = {text: title for title, text in summaries if low <= len(text) <= high}
    rows = [
        {"text": text, "source": "wikipedia", "title": title}
        for text, title in sorted(usable.items(), key=lambda item: item[1])
    ]
    rows = mixed("general", rows)
    heldout = up_to(GENERAL_HELDOUT_CHARS, rows)
    rest = rows[len(heldout) :]
    index = near.ShingleIndex()
    for row in heldout:
        index.add(row["text"], row["title"])
    repeated = set().union(*(index.repeated_in(row["text"], row["title"]) for row in rest))
    kept = [row for i, row in enumerate(heldout) if i not in repeated]
    return up_to(GENERAL_CHARS, rest), kept


def mixed(salt, rows):
    return sorted(rows, key=lambda row: splits.rank(salt, row["text"]))


def up_to(chars, rows):
    """The longest prefix of rows that holds at most `chars` characters of text."""
    total = 0
    for i, row in enumerate(rows):
        total += len(row["text"])
        if total > chars:
            return rows[:i]
    return rows
