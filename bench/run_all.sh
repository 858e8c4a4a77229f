#!/usr/bin/env bash
# Builds and runs every benchmark; each prints one JSON line last.
#   bench/run_all.sh [BUILD_DIR]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
cmake --build "$build" --target bench_all
for source in bench/bench_*.cpp; do
  name=$(basename "$source" .cpp)
  echo "== $name"
  "$build/bench/$name"
done
