#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Checks what recipes/quickstart/data/README.md promises; exit code 1 when a promise is broken.

    python3 scripts/check_quickstart_data.py [FOLDER]
"""

import json
import sys
from collections import Counter
from pathlib import Path

from quickstart_data import bayes, files, near, routing

DEFAULT_FOLDER = Path(__file__).resolve().parent.parent / "recipes" / "quickstart" / "data"
MAX_COMMITTED_BYTES = 5_000_000
MAX_PASSAGE_CHARS = 420
ROUTE_ROWS = {"route_train": 2000, "route_validation": 200, "route_test": 400}
BALANCED_PREFIXES = (100, 200, 500, 1000)
BAYES_ACCURACY = (0.6, 0.9)  # words alone: well above one label in ten, well below all
MAX_NAMING_LABEL = 0.1


class Checks:
    def __init__(self):
        self.failures = []

    def expect(self, condition, message):
        if not condition:
            self.failures.append(message)


def pages_of(rows):
    return {row["page"] for row in rows}


def check_files(checks, folder, rows):
    size = sum(path.stat().st_size for path in folder.iterdir())
    checks.expect(size <= MAX_COMMITTED_BYTES, f"{size} bytes, limit {MAX_COMMITTED_BYTES}")
    listed = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))["files"]
    for name in files.ROW_FILES:
        checks.expect(listed.get(name) == files.describe(rows[name]), f"{name}: not as in manifest")
        texts = [files.text_of(row) for row in rows[name]]
        checks.expect(len(set(texts)) == len(texts), f"{name}: a text occurs twice")


def check_pages(checks, rows):
    names = ("route_test", "route_validation", "domain_heldout")
    for i, name in enumerate(names):
        for other in names[i + 1 :] + ("route_train", "domain_train", "route_fewshot"):
            shared = pages_of(rows[name]) & pages_of(rows[other])
            checks.expect(not shared, f"{name} and {other} share pages: {sorted(shared)[:3]}")
    known = {row["id"] for row in rows["route_train"]}
    checks.expect(
        all(row["id"] in known for row in rows["route_fewshot"]), "few-shot row not in route_train"
    )
    titles = [{row["title"] for row in rows[f"general_{part}"]} for part in ("train", "heldout")]
    checks.expect(not titles[0] & titles[1], "general_train and general_heldout share titles")


def check_labels(checks, folder, rows):
    labels = [row["label"] for row in json.loads((folder / "labels.json").read_text("utf-8"))]
    first_words = {label.split()[0] for label in labels}
    checks.expect(len(first_words) == len(labels), "two labels begin with the same word")
    for name, wanted in ROUTE_ROWS.items():
        checks.expect(len(rows[name]) == wanted, f"{name}: {len(rows[name])} rows, not {wanted}")
        for prefix in BALANCED_PREFIXES + (wanted,):
            counts = Counter(row["label"] for row in rows[name][: min(prefix, wanted)])
            even = set(counts) == set(labels) and max(counts.values()) - min(counts.values()) <= 1
            checks.expect(even, f"{name}: the first {prefix} rows are not balanced")
    fewshot = [row["label"] for row in rows["route_fewshot"]]
    checks.expect(fewshot == labels, "route_fewshot: not one row per label in their order")


def check_shapes(checks, rows):
    for name in (*ROUTE_ROWS, "route_fewshot"):
        for row in rows[name]:
            roles = [message["role"] for message in row["messages"]]
            fits = len(files.text_of(row)) <= MAX_PASSAGE_CHARS
            answer = row["messages"][-1]["content"] == row["label"]
            good = roles == ["system", "user", "assistant"] and fits and answer
            checks.expect(good, f"{name}: bad row {row['id']}")


def check_repeats(checks, rows, name, others):
    """No text of `name` may be nearly repeated by one text of the other files."""
    index = near.ShingleIndex()
    for row in rows[name]:
        index.add(files.text_of(row), name)
    for other in others:
        for row in rows[other]:
            repeated = index.repeated_in(files.text_of(row), other)
            checks.expect(not repeated, f"{name}: {len(repeated)} texts nearly repeated in {other}")


def check_difficulty(checks, rows):
    low, high = BAYES_ACCURACY
    accuracy = bayes.accuracy(rows["route_train"], rows["route_test"])
    checks.expect(low <= accuracy <= high, f"naive Bayes accuracy {accuracy:.3f}")
    naming = routing.share_naming_label(rows["route_test"])
    checks.expect(naming <= MAX_NAMING_LABEL, f"{naming:.3f} of the test set names its label")


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else DEFAULT_FOLDER
    rows = {name: files.read_rows(folder, name) for name in files.ROW_FILES}
    checks = Checks()
    check_files(checks, folder, rows)
    check_pages(checks, rows)
    check_labels(checks, folder, rows)
    check_shapes(checks, rows)
    check_repeats(
        checks, rows, "route_test", ("route_train", "route_validation", "domain_train")
    )
    check_repeats(checks, rows, "route_validation", ("route_train", "domain_train"))
    check_repeats(checks, rows, "domain_heldout", ("domain_train",))
    check_repeats(checks, rows, "general_heldout", ("general_train",))
    check_difficulty(checks, rows)
    for failure in checks.failures:
        print(f"check_quickstart_data: {failure}", file=sys.stderr)
    if not checks.failures:
        print(f"check_quickstart_data: {sum(map(len, rows.values()))} rows in {folder}: ok")
    return 1 if checks.failures else 0


if __name__ == "__main__":
    sys.exit(main())
