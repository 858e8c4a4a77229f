#!/usr/bin/env bash
# Builds and runs every benchmark; each prints one JSON line last. Nothing else should run.
#   bench/run_all.sh [BUILD_DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
cmake --build "$build" --target gradus bench_all
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"$build/gradus" model import .cache/l0/SmolLM2-135M-Instruct.Q4_1.gguf --out "$scratch/model" --quiet

run() {
  echo "== $1"
  "$build/bench/$@"
}
run bench_start --model "$scratch/model"
run bench_load --model "$scratch/model"
run bench_decode --model "$scratch/model"
run bench_train
run bench_quant_matmul
run bench_wkv
run bench_tokenizer
