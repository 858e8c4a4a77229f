# SPDX-License-Identifier: Apache-2.0
"""The routing task: passages with labels, split by page, without near duplicates."""

import hashlib
from collections import defaultdict
from typing import NamedTuple

from quickstart_data import near, splits
from quickstart_data.html_text import page_text
from quickstart_data.labels import LABELS, label_of
from quickstart_data.passages import page_passages

INSTRUCTION = "Name the part of the database manual that this passage comes from."
FEWSHOT_MAX_CHARS = 240
# Pages fit for testing and validation: smaller ones waste a page, larger ones starve training.
MIN_PAGE_PASSAGES = 4
MAX_PAGE_SHARE = 0.1


class Split(NamedTuple):
    """per_label rows, at most page_cap of them from one page."""

    name: str
    per_label: int
    page_cap: int


TEST = Split("test", 40, 8)
VALIDATION = Split("validation", 20, 7)
TRAIN = Split("train", 200, 40)


def labelled_passages(pages):
    """{label: {page: [text]}} without texts that another page of the manuals nearly repeats."""
    index, found = near.ShingleIndex(), []
    for page in pages:
        label = label_of(page)
        for text in near.without_repeats(page_passages(page)) if label else ():
            index.add(text, page.page)
            found.append((label, page.page, text))
    repeated = set()
    for page in pages:
        repeated |= index.repeated_in(page_text(page.blocks), page.page)
    by_label = {label.label: defaultdict(list) for label in LABELS}
    for i, (label, page, text) in enumerate(found):
        if i not in repeated:
            by_label[label][page].append(text)
    return by_label


def split_pages(by_label):
    """{"test": pages, "validation": pages}: sets; every other page is free for training."""
    chosen = {TEST.name: set(), VALIDATION.name: set()}
    for label, by_page in by_label.items():
        counts = {page: len(texts) for page, texts in by_page.items()}
        largest = MAX_PAGE_SHARE * sum(counts.values())
        fit = [page for page in sorted(counts) if MIN_PAGE_PASSAGES <= counts[page] <= largest]
        free = splits.shuffled("page", fit)
        for split in (TEST, VALIDATION):
            taken = splits.take_pages(free, counts, split.per_label, split.page_cap)
            chosen[split.name].update(taken)
            free = [page for page in free if page not in taken]
    return chosen


def split_rows(by_label, split, belongs):
    """Rows of one split from the pages for which belongs(page) holds, balanced in every prefix."""
    rows = {}
    for label, by_page in by_label.items():
        capped = {
            page: splits.shuffled("passage", texts)[: split.page_cap]
            for page, texts in by_page.items()
            if belongs(page)
        }
        owner = {text: page for page, texts in capped.items() for text in texts}
        texts = splits.across_pages(capped, "order")[: split.per_label]
        rows[label] = [row(label, owner[text], text) for text in texts]
    return splits.across_labels(rows, "round")


def row(label, page, text):
    messages = [
        {"role": "system", "content": INSTRUCTION},
        {"role": "user", "content": text},
        {"role": "assistant", "content": label},
    ]
    name = hashlib.sha256(f"{page}\0{text}".encode()).hexdigest()[:12]
    return {"messages": messages, "label": label, "page": page, "id": name}


def fewshot(train):
    """One short training row per label, in the order of LABELS."""
    found = {}
    for candidate in train:
        if len(candidate["messages"][1]["content"]) <= FEWSHOT_MAX_CHARS:
            found.setdefault(candidate["label"], candidate)
    return [found[label.label] for label in LABELS]


def label_rows():
    return [{"label": label.label, "description": label.description} for label in LABELS]


def share_naming_label(rows):
    """Share of rows whose passage holds the words of its label as they stand."""
    return sum(row["label"].lower() in row["messages"][1]["content"].lower() for row in rows) / len(
        rows
    )
