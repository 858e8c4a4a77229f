# SPDX-License-Identifier: Apache-2.0
"""The committed files: gzip JSON Lines with fixed bytes, and the manifest that lists them."""

import gzip
import hashlib
import io
import json
from pathlib import Path

ROW_FILES = (
    "domain_train", "domain_heldout", "general_train", "general_heldout",
    "route_train", "route_validation", "route_test", "route_fewshot",
)


def row_path(folder, name):
    return Path(folder) / f"{name}.jsonl.gz"


def to_lines(rows):
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def write_rows(folder, name, rows):
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=9, fileobj=packed, mtime=0) as out:
        out.write(to_lines(rows))
    row_path(folder, name).write_bytes(packed.getvalue())


def write_json(path, value):
    Path(path).write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_lines(folder, name):
    """The uncompressed bytes of a file of rows."""
    return gzip.decompress(row_path(folder, name).read_bytes())


def read_rows(folder, name):
    return [json.loads(line) for line in read_lines(folder, name).splitlines()]


def text_of(row):
    return row["text"] if "text" in row else row["messages"][1]["content"]


def describe(rows):
    """The manifest's entry of one file; the digest is of the uncompressed lines."""
    return {
        "rows": len(rows),
        "pages": len({row.get("page") or row.get("title") for row in rows}),
        "characters": sum(len(text_of(row)) for row in rows),
        "sha256": hashlib.sha256(to_lines(rows)).hexdigest(),
    }
