#!/bin/bash
# scripts/fuzz.sh [SECONDS [TARGET…]]: builds the fuzz targets with clang and runs each for that
# long, starting from tests/fuzz/corpus/TARGET. What they find on the way stays in build-fuzz; an
# input that crashes, hangs or eats memory is kept there too, and fails the script.
set -euo pipefail
cd "$(dirname "$0")/.."
seconds=${1:-60}
shift || true
build=build-fuzz

command -v clang++ > /dev/null || { echo "fuzz: clang++ is missing: apt-get install clang" >&2; exit 1; }
[ -f $build/build.ninja ] || cmake --preset fuzz > /dev/null
if [ $# -gt 0 ]; then targets=("$@"); else mapfile -t targets < <(basename -s .cpp tests/fuzz/fuzz_*.cpp); fi
cmake --build $build --target "${targets[@]}"

failed=()
for target in "${targets[@]}"; do
  found=$build/corpus/$target
  seeds=tests/fuzz/corpus/$target
  mkdir -p "$found"
  folders=("$found")
  [ ! -d "$seeds" ] || folders+=("$seeds")
  if $build/tests/fuzz/"$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 \
      -print_final_stats=1 -artifact_prefix=$build/"$target"- "${folders[@]}" > $build/"$target".log 2>&1; then
    echo "$target: $(grep -o 'number_of_executed_units: .*' $build/"$target".log | tr -s ' ')"
  else
    grep -E "ERROR|SUMMARY|Test unit written" $build/"$target".log >&2 || tail -5 $build/"$target".log >&2
    failed+=("$target")
  fi
done
[ ${#failed[@]} -eq 0 ] || { echo "fuzz: findings in ${failed[*]}" >&2; exit 1; }
