# SPDX-License-Identifier: Apache-2.0
"""The fixtures and helpers of tests/interop, for tests of the command line."""

import pathlib
import sys

INTEROP = pathlib.Path(__file__).resolve().parents[1] / "interop"
sys.path.insert(0, str(INTEROP))

import importlib.util  # noqa: E402

_spec = importlib.util.spec_from_file_location("interop_conftest", INTEROP / "conftest.py")
_module = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(_module)
gradus = _module.gradus
l0_gguf = _module.l0_gguf
BINARY = _module.BINARY
