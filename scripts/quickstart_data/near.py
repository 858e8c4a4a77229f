# SPDX-License-Identifier: Apache-2.0
"""Near duplicates by word shingles (Broder 1997), on exact sets.

A text nearly repeats another one when more than MAX_SHARED of its shingles occur in it. This share
is never below the Jaccard similarity of the two, so a bound on it also bounds Jaccard.
"""

import re
from collections import Counter

WORD = re.compile(r"[a-z0-9_]+")
SHINGLE_WORDS = 4
MAX_SHARED = 0.4


def words(text):
    return WORD.findall(text.lower())


def shingles(text):
    tokens = words(text)
    if len(tokens) < SHINGLE_WORDS:
        return {tuple(tokens)} if tokens else set()
    return {tuple(tokens[i : i + SHINGLE_WORDS]) for i in range(len(tokens) - SHINGLE_WORDS + 1)}


class ShingleIndex:
    """Short texts with an owner each; finds those that a longer text nearly repeats."""

    def __init__(self):
        self.owners = []
        self.sizes = []
        self.postings = {}

    def add(self, text, owner):
        mine = shingles(text)
        for shingle in mine:
            self.postings.setdefault(shingle, []).append(len(self.sizes))
        self.owners.append(owner)
        self.sizes.append(len(mine))

    def repeated_in(self, text, owner):
        """Numbers of the added texts, other owners' only, that text nearly repeats."""
        shared = Counter()
        for shingle in shingles(text):
            shared.update(self.postings.get(shingle, ()))
        return {
            i
            for i, count in shared.items()
            if self.owners[i] != owner and count > MAX_SHARED * self.sizes[i]
        }


def without_repeats(texts):
    """Keeps the texts, in order, that do not nearly repeat the ones kept before."""
    kept, seen = [], set()
    for text in texts:
        mine = shingles(text)
        if len(mine & seen) <= MAX_SHARED * len(mine):
            kept.append(text)
            seen |= mine
    return kept
