# SPDX-License-Identifier: Apache-2.0
"""Multinomial naive Bayes on words: how far a passage's words alone reveal its label."""

import math
from collections import Counter, defaultdict

from quickstart_data.near import words

SMOOTHING = 0.3


def passage(row):
    return row["messages"][1]["content"]


class NaiveBayes:
    def __init__(self, rows):
        self.counts = defaultdict(Counter)
        self.labels = Counter(row["label"] for row in rows)
        for row in rows:
            self.counts[row["label"]].update(words(passage(row)))
        self.vocabulary = len(set().union(*self.counts.values()))

    def predict(self, text):
        found = Counter(words(text))
        return max(sorted(self.labels), key=lambda label: self.score(label, found))

    def score(self, label, found):
        counts = self.counts[label]
        total = sum(counts.values()) + SMOOTHING * self.vocabulary
        prior = math.log(self.labels[label])
        return prior + sum(
            n * math.log((counts[word] + SMOOTHING) / total) for word, n in found.items()
        )


def confusion(train, test):
    """{(true label, predicted label): count}."""
    model = NaiveBayes(train)
    return Counter((row["label"], model.predict(passage(row))) for row in test)


def accuracy(train, test):
    found = confusion(train, test)
    return sum(n for (true, guess), n in found.items() if true == guess) / len(test)
