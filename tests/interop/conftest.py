# SPDX-License-Identifier: Apache-2.0
"""What the interop tests share: the program under test and the L0 model file."""

import json
import os
import pathlib
import subprocess

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
BINARY = pathlib.Path(os.environ.get("GRADUS_BINARY", ROOT / "build" / "gradus"))
RUNNER = pathlib.Path(os.environ.get("GRADUS_TEXT_RUNNER", BINARY.parent / "tests" / "text_runner"))


class TextRunner:
    """Tokenizers and templates in one process for many cases (tests/interop/text_runner.cpp)."""

    def __init__(self):
        self.process = subprocess.Popen([str(RUNNER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                                        encoding="utf-8")

    def ask(self, **request):
        """The whole answer: {"result": …} or {"error": …}."""
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        assert line, f"text_runner ended with {self.process.wait()} at {str(request)[:300]}"
        return json.loads(line)

    def run(self, **request):
        answer = self.ask(**request)
        assert "error" not in answer, answer["error"]
        return answer["result"]

    def load(self, folder):
        return self.run(do="load", folder=str(folder))

    def encode(self, texts, special=False):
        return self.run(do="encode", texts=texts, special=special)

    def decode(self, rows, skip=False):
        return self.run(do="decode", rows=rows, skip=skip)


@pytest.fixture(scope="session")
def runner():
    if not RUNNER.exists():
        pytest.fail(f"{RUNNER} is missing: cmake --build build --target text_runner, or set GRADUS_TEXT_RUNNER")
    made = TextRunner()
    yield made
    made.process.stdin.close()
    made.process.wait(timeout=60)


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
