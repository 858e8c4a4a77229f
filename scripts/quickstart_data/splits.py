# SPDX-License-Identifier: Apache-2.0
"""Which page serves what, and the order of rows; all by hashes of names, never by a clock."""

import hashlib


def rank(salt, key):
    """A fixed pseudo-random order: sort by rank(salt, key)."""
    return hashlib.sha256(f"{salt}\0{key}".encode()).hexdigest()


def shuffled(salt, keys):
    return sorted(keys, key=lambda key: rank(salt, key))


def take_pages(pages, counts, wanted, page_cap):
    """The first pages that together hold `wanted` passages, at most page_cap from each."""
    taken, total = [], 0
    for page in pages:
        if total >= wanted:
            break
        taken.append(page)
        total += min(counts[page], page_cap)
    if total < wanted:
        raise SystemExit(f"prepare_quickstart_data: only {total} of {wanted} passages in {pages}")
    return taken


def across_pages(passages_by_page, salt):
    """One list that takes a passage of every page in turn, so that any prefix is diverse."""
    queues = [
        shuffled(salt, passages_by_page[page]) for page in shuffled(salt, sorted(passages_by_page))
    ]
    rows = []
    while any(queues):
        rows.extend(queue.pop(0) for queue in queues if queue)
    return rows


def across_labels(rows_by_label, salt):
    """Rounds of one row per label, the labels of each round shuffled: every prefix is balanced."""
    rounds = min(len(rows) for rows in rows_by_label.values())
    ordered = []
    for i in range(rounds):
        ordered.extend(
            rows_by_label[label][i] for label in shuffled(f"{salt}{i}", sorted(rows_by_label))
        )
    return ordered
