#!/usr/bin/env bash
# Format, include directions, recipes, data, and clang-tidy on the files changed since a revision.
#   scripts/lint.sh [BUILD_DIR] [REVISION]
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build}
base=${2:-HEAD~1}
status=0

check() {
  local name=$1
  shift
  if "$@"; then echo "[lint] $name: fine"; else echo "[lint] $name: FAILED"; status=1; fi
}

# The project's files with these endings below some folders; all that lie there where git knows none.
files() {
  local ending=$1 patterns=() folder
  shift
  for folder in "$@"; do patterns+=("$folder/*.$ending"); done
  git ls-files -- "${patterns[@]}" 2>/dev/null || find "$@" -name "*.$ending"
}

check_format() {
  local ending
  for ending in cpp h cu cuh; do files $ending lib apps tests bench; done |
    xargs -r clang-format --dry-run -Werror
}

# Whether "# after: PIPELINE" names a pipeline that has not made its models yet.
is_later() {
  local first
  first=$(sed -n 's/^# after: //p' "$1")
  [ -n "$first" ] && [ ! -d "$(sed -n 's/^out: *//p' "$first")" ]
}

check_recipes() {
  local ok=0 recipe command
  while read -r recipe; do
    command=$(sed -n 's/^# *gradus \([a-z-]*\).*/\1/p' "$recipe" | head -1)
    [ -n "$command" ] || { echo "$recipe: the first comment must show the command that runs it"; ok=1; continue; }
    if [ "$command" = serve ]; then  # its model is made by a pipeline: any folder stands for it here
      "$build/gradus" serve "$recipe" model=. --print-config >/dev/null || ok=1
    elif [ "$command" != run ]; then  # its inputs are made by other recipes
      "$build/gradus" "$command" "$recipe" --print-config >/dev/null || ok=1
    elif is_later "$recipe"; then
      echo "[lint] $recipe: not checked before another pipeline has run"
    else
      "$build/gradus" "$command" "$recipe" --check >/dev/null || ok=1
    fi
  done < <(files yaml recipes)
  return $ok
}

# Without the precompiled header, so that a file that leans on it is found. At most two minutes.
check_tidy() {
  local file ok=0 end=$((SECONDS + 120))
  git rev-parse -q --verify "$base" >/dev/null 2>&1 || return 0
  mkdir -p "$build/lint"
  sed -E 's/-fpch-preprocess|-Winvalid-pch -include [^ ]*cmake_pch\.hxx//g' \
    "$build/compile_commands.json" >"$build/lint/compile_commands.json"
  while read -r file; do
    [ $SECONDS -lt $end ] || { echo "[lint] clang-tidy: no time left for $file"; continue; }
    clang-tidy -p "$build/lint" --quiet --extra-arg=-Wno-unknown-warning-option "$file" 2>/dev/null || ok=1
  done < <(git diff --name-only --diff-filter=d "$base" -- 'lib/*.cpp' 'apps/*.cpp')
  return $ok
}

# The generated parts of docs/ are those of this program; if not, they are now.
check_docs() {
  local before
  before=$(cat docs/*.md | sha256sum)
  scripts/generate_docs.sh "$build" || return 1
  [ "$before" = "$(cat docs/*.md | sha256sum)" ] || { echo "docs/ was out of date: commit it"; return 1; }
}

check format check_format
check "generated docs" check_docs
check "include directions" scripts/check_layers.py
check "quickstart data" python3 scripts/check_quickstart_data.py
check recipes check_recipes
check clang-tidy check_tidy
exit $status
