# SPDX-License-Identifier: Apache-2.0
"""Random chat templates against transformers' Jinja environment: the same text, or both refuse.
GRADUS_RANDOM_TEMPLATES=N takes N templates in place of a few."""

import copy
import importlib
import os

import pytest
from random_templates import TemplateMaker
from template_cases import CONVERSATION

COUNT = int(os.environ.get("GRADUS_RANDOM_TEMPLATES", "1000"))
FIRST = int(os.environ.get("GRADUS_RANDOM_FIRST", "0"))
TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
OBJECTS = (" at 0x", "<function", "<built-in", "<class", "<module", "<jinja2.", "<Macro", "<Cycler", "<bound method", "<method")


def expected_of(template):
    """The text, None where Python raises; "skip" where the text is not a rule of the language."""
    compile_template = importlib.import_module("transformers.utils.chat_template_utils")._compile_jinja_template
    try:
        text = compile_template(template).render(**copy.deepcopy(CONVERSATION), **TOKENS)
    except RecursionError:
        return "skip"
    except Exception:
        return None
    return "skip" if any(part in text for part in OBJECTS) else {"text": text}


def compare(runner, templates):
    """What differs, and how many templates gave a text and how many were refused."""
    found, texts, refused = [], 0, 0
    for seed, template in templates:
        expected = expected_of(template)
        if expected == "skip":
            continue
        answer = runner.ask(do="render", template=template, cases=[CONVERSATION], **TOKENS)
        ours = answer["result"][0] if "result" in answer else answer
        texts, refused = texts + (expected is not None), refused + (expected is None)
        if (ours != expected) if expected else ("text" in ours):
            found.append((seed, template, ours, expected))
    return found, texts, refused


@pytest.mark.parametrize("group", range(10))
def test_random_templates(runner, group):
    share = COUNT // 10
    seeds = range(FIRST + group * share, FIRST + (group + 1) * share)
    found, texts, refused = compare(runner, ((seed, TemplateMaker(seed).template()) for seed in seeds))
    assert found[:3] == []
    assert texts > share // 20 and refused > share // 20


def test_filters_that_lay_out_text(runner):
    seeds = range(FIRST, FIRST + COUNT // 2)
    found, texts, _ = compare(runner, ((seed, TemplateMaker(seed).text_filters()) for seed in seeds))
    assert found[:3] == []
    assert texts > len(seeds) // 2
