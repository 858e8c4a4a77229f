# SPDX-License-Identifier: Apache-2.0
"""What the interop tests share: the program under test and the L0 model file."""

import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("GRADUS_BINARY", ROOT / "build" / "gradus"))


@pytest.fixture(scope="session")
def gradus():
    """Runs the program with the given arguments and returns its CompletedProcess."""
    if not BINARY.exists():
        pytest.fail(f"{BINARY} is missing: run `make build`, or set GRADUS_BINARY")

    def run(*arguments, timeout=120, **options):
        command = [str(BINARY), *map(str, arguments)]
        return subprocess.run(command, capture_output=True, text=True, timeout=timeout, **options)

    return run


@pytest.fixture(scope="session")
def l0_gguf():
    """SmolLM2-135M-Instruct.Q4_1.gguf, which the quickstart fetches."""
    cached = ROOT / ".cache" / "l0" / "SmolLM2-135M-Instruct.Q4_1.gguf"
    path = pathlib.Path(os.environ.get("GRADUS_L0_GGUF", cached))
    if not path.exists():
        pytest.fail(f"{path} is missing: run `make quickstart`, or set GRADUS_L0_GGUF")
    return path
