#!/usr/bin/env python3
"""Includes point downward only. This table is the architecture; docs/architecture.md explains it."""
import pathlib
import re
import sys

LEVELS = [
    {"base"},
    {"recipe", "text"},
    {"data", "hub", "tensor"},
    {"model"},
    {"dist"},
    {"train", "quant", "infer"},
    {"eval", "serve"},
    {"store", "pipeline"},
]
NO_TORCH = {"base", "recipe", "text", "data", "hub", "store", "pipeline"}
# Folders inside a level that may be used from anywhere above `level of the key`, with the reason.
EXCEPTIONS = {
    # The weight formats need no torch and no model; they only live beside the model.
}


def level_of(folder):
    for number, names in enumerate(LEVELS):
        if folder in names:
            return number
    return None


def problems_in(path, folder, text):
    for number, line in enumerate(text.splitlines(), 1):
        match = re.match(r'\s*#\s*include\s+[<"]([^">]+)[">]', line)
        if not match:
            continue
        target = match.group(1)
        top = target.split("/")[0]
        if folder in NO_TORCH and top in {"ATen", "torch", "c10"}:
            yield f"{path}:{number}: {folder} must not include torch ({target})"
        if top in {"torch"} and target in {"torch/torch.h", "torch/extension.h"} or target == "ATen/ATen.h":
            yield f"{path}:{number}: include narrow headers, not {target}"
        other = level_of(top)
        if other is None or top == folder:
            continue
        if other >= level_of(folder) and (folder, top) not in EXCEPTIONS:
            yield f"{path}:{number}: {folder} must not include {target}: arrows point downward only"


def main():
    root = pathlib.Path(__file__).resolve().parent.parent / "lib"
    found = []
    for path in sorted(root.rglob("*")):
        if path.suffix not in {".h", ".cpp", ".cu", ".cuh"}:
            continue
        folder = path.relative_to(root).parts[0]
        if level_of(folder) is None:
            found.append(f"{path}: folder {folder} is not in the table of {__file__}")
            continue
        found += problems_in(path.relative_to(root.parent), folder, path.read_text())
    print("\n".join(found) if found else "include directions: fine")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
