#!/usr/bin/env bash
# Writes docs/reference.md, the --help of every command, so that it can be read without the program,
# docs/models.md, the families of models, and the tables inside docs/formats.md.
#   scripts/generate_docs.sh [BUILD_DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
gradus=${1:-build}/gradus
out=docs/reference.md

{
  echo "# Reference"
  echo
  echo "Made by \`make docs\` from \`gradus <command> --help\`. Do not edit."
  "$gradus" --help | sed -n 's/^  \([a-z][a-z -]*[a-z]\)   *.*/\1/p' | while read -r command; do
    printf '\n## gradus %s\n\n```\n' "$command"
    # shellcheck disable=SC2086  # a command may be two words
    "$gradus" $command --help
    printf '```\n'
  done
} > $out.tmp
mv $out.tmp $out

{
  cat << 'TEXT'
# Models

The families that Gradus loads, trains, quantises and serves. Made by `make docs` from
`gradus model families`. Do not edit.

TEXT
  "$gradus" model families
  cat << 'TEXT'

For each family small random models are compared in fp32: the logits and, for one training step, the
loss and the gradient of every tensor by name, to a relative 1e-4 (`tests/interop/test_model_forward.py`).
The trained folder is read by transformers where it knows the family. Cached decoding, packing and
recomputation are compared with the plain pass (`tests/unit/infer/families_test.cpp`).

A `model_type` that is not in the table, and a key of `config.json` by which other families change the
mathematics and that this family does not know, are refused by name. MPT's `alibi_bias_max` counts, as
in its authors' code; transformers always takes 8. The rotary scalings `dynamic` and `longrope`
depend on a sequence's length: all of a prompt takes the frequencies of the whole prompt's length, each
token of an answer those of the length reached with it, as a forward pass of transformers does; keys
that are cached keep the frequencies that they were made with. (`generate` of transformers makes the
cache of phi3 anew when an answer crosses the original length; Gradus does not.)

RWKV-4 and RWKV-7 keep a state of fixed size in place of keys and values: long answers cost no more
memory than short ones, and `model inspect` tells its size. Training begins every document without a
state. Their recurrences have CPU kernels, forward and backward, for heads of 16, 32, 64 and 128
(RWKV-7) and any number of channels (RWKV-4); elsewhere they run token by token, which was not yet
tried on a GPU. The published `.pth` files are pickles: take the folders made for transformers.

RWKV-4's `rescale_every` is not applied. With it, transformers halves the residual stream every so many
layers whenever it does not train; the authors' code does so in float16 alone. The norms take the
factors out again, except that their epsilon then counts 4 times as much for each halving. Logits
without it are those of transformers in training; a test shows that nothing else differs.

RWKV-7 folders are those of flash-linear-attention, of its first version (`attn.x_x`) or the present one
(`attn.x_r`, …); the present one is written.
TEXT
} > docs/models.md.tmp
mv docs/models.md.tmp docs/models.md

# The lines between the two marks become what the command prints.
awk -v command="$gradus model formats" '
  /^<!-- end/ { inside = 0 }
  !inside { print }
  /^<!-- begin: gradus model formats/ { inside = 1; fflush(); if (system(command)) exit 1 }
' docs/formats.md > docs/formats.md.tmp
mv docs/formats.md.tmp docs/formats.md
