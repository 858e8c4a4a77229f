# SPDX-License-Identifier: Apache-2.0
"""`gradus tokenizer chat` against transformers' own rendering of the same templates."""

import importlib
import json
import pathlib

import pytest
from template_cases import CONVERSATION, SNIPPETS

TOKENS = {"bos_token": "<s>", "eos_token": "</s>"}
ACCEPTANCE = pathlib.Path(__file__).resolve().parents[3] / "shared/acceptance/chat_templates"


def render_by_transformers(template, **variables):
    utils = importlib.import_module("transformers.utils.chat_template_utils")
    return utils._compile_jinja_template(template).render(**variables)


def render_by_gradus(gradus, folder, template, cases):
    (folder / "template.jinja").write_bytes(template.encode())
    (folder / "cases.json").write_text(json.dumps({"cases": cases, **TOKENS}))
    return gradus(
        "tokenizer", "chat", "--template", folder / "template.jinja", "--file", folder / "cases.json"
    )


def render_each(runner, template, cases):
    """A text for each case, or the line with which it is refused as {"error": …}."""
    answer = runner.ask(do="render", template=template, cases=cases, **TOKENS)
    return answer["result"] if "result" in answer else [answer] * len(cases)


@pytest.mark.parametrize("name", SNIPPETS)
def test_snippet_renders_or_fails_as_in_jinja2(runner, name):
    template = SNIPPETS[name]
    try:
        expected = {"text": render_by_transformers(template, **CONVERSATION, **TOKENS)}
    except Exception:  # whatever Python raises, we refuse with one line that names the place
        expected = None
    answer = render_each(runner, template, [CONVERSATION])[0]
    if expected is None:
        assert "template.jinja:" in answer.get("error", ""), answer
        assert "\n" not in answer["error"]
    else:
        assert answer == expected


CHATML = """{%- for message in messages %}
<|im_start|>{{ message.role }}
{% if message.role == 'assistant' %}{% generation %}{{ message.content }}<|im_end|>{% endgeneration %}
{% else %}{{ message.content }}<|im_end|>
{% endif %}
{%- endfor %}
{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def test_conversations_render_as_apply_chat_template_does(gradus, tmp_path):
    utils = importlib.import_module("transformers.utils.chat_template_utils")
    turns = [("user", "Hi"), ("assistant", "Hello 你好"), ("user", " and\n\nbye ")]
    messages = [{"role": role, "content": content} for role, content in turns]
    cases = {
        f"{count} turns, prompt {prompt}": {"messages": messages[:count], "add_generation_prompt": prompt}
        for count in range(1, 4)
        for prompt in (False, True)
    }
    result = render_by_gradus(gradus, tmp_path, CHATML, cases)
    assert result.returncode == 0, result.stderr
    rendered = json.loads(result.stdout)
    for name, case in cases.items():
        expected, _ = utils.render_jinja_template(
            [case["messages"]],
            chat_template=CHATML,
            add_generation_prompt=case["add_generation_prompt"],
            **TOKENS,
        )
        assert rendered[name] == expected[0]


@pytest.mark.skipif(not ACCEPTANCE.exists(), reason="../shared/acceptance/chat_templates is absent")
def test_real_templates_render_as_recorded(runner):
    recorded = json.loads((ACCEPTANCE / "expected.json").read_text())
    wrong = []
    by_template, compared = {}, 0
    for entry in recorded["expected"]:
        by_template.setdefault(entry["template"], {})[entry["case"]] = entry["output"]
    for template, outputs in by_template.items():
        text = (ACCEPTANCE / f"{template}.jinja").read_text()
        if "strftime_now" in text:  # these show the clock; the unit test fixes it
            continue
        rendered = render_each(runner, text, [recorded["cases"][case] for case in outputs])
        wrong += [(template, case) for case, ours in zip(outputs, rendered) if ours != {"text": outputs[case]}]
        compared += len(rendered)
    assert wrong == [] and compared > 100


def test_an_error_names_the_file_and_the_case(gradus, tmp_path):
    template = "{% for m in messages %}{{ raise_exception('no ' + m.role) }}{% endfor %}"
    good, bad = {"messages": []}, {"messages": [{"role": "system", "content": "x"}]}
    result = render_by_gradus(gradus, tmp_path, template, {"good": good, "bad one": bad})
    assert result.returncode == 1 and result.stdout == "" and result.stderr.count("\n") == 1
    for part in ("cases.json, case bad one", "template.jinja:1:", "no system"):
        assert part in result.stderr
    (tmp_path / "list.json").write_text(json.dumps([[], bad["messages"]]))
    result = gradus("tokenizer", "chat", "--template", tmp_path / "template.jinja", "--file",
                    tmp_path / "list.json")
    assert result.returncode == 1 and "list.json, entry 1" in result.stderr
