#!/usr/bin/env bash
# Writes docs/reference.md: the --help of every command, so that it can be read without the program.
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
