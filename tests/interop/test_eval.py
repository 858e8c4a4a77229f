# SPDX-License-Identifier: Apache-2.0
"""gradus eval against lm-evaluation-harness's rules: re-implemented here on transformers, and the
package itself."""

import json
import math
import re
import shutil

import numpy
import pytest
import tokenizers
import torch
import transformers

import tiny_models

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
WORDS = "the index of a table holds keys and rows which a query reads when it plans a scan".split()
LABELS = ["query planning", "indexes", "file storage", "files"]
CONTEXT = 48


def sentence(seed, count):
    return " ".join(WORDS[(seed * 7 + i * i + seed * i) % len(WORDS)] for i in range(count))


def write_lines(path, rows):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
    return path


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A tiny model with a byte-level tokenizer that adds BOS, and the data of all tasks."""
    root = tmp_path_factory.mktemp("eval")
    tiny_models.make("llama", root / "model", seed=3)
    bpe = tokenizers.Tokenizer(tokenizers.models.BPE())
    bpe.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = tokenizers.decoders.ByteLevel()
    special = ["<s>", "<|im_start|>", "<|im_end|>"]
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    bpe.train_from_iterator([sentence(i, 30) for i in range(50)] + LABELS, trainer)
    bpe.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", bpe.token_to_id("<s>"))]
    )
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=bpe, bos_token="<s>", eos_token="<|im_end|>"
    )
    tokenizer.chat_template = TEMPLATE
    tokenizer.save_pretrained(root / "model")

    lengths = [5, 47, 48, 49, 130, 1]
    texts = [sentence(i, n) for i, n in enumerate(lengths)] + ["  zwei\n\nZeilen \u00fc\u4e2d ", "x"]
    write_lines(root / "texts.jsonl", [{"text": text} for text in texts])
    questions = [
        {"prompt": sentence(i, 6 + 2 * i) + (" " if i % 3 == 0 else ""), "choices": choices,
         "gold": i % len(choices)}
        for i, choices in enumerate(
            [["a scan", "a table of keys", "rows"], ["plans", "plan"], ["\u4e2d\u6587", "scan"], LABELS] * 3
        )
    ]
    questions.append({"prompt": sentence(9, 80), "choices": ["rows", "a scan"], "gold": 1})  # cut
    questions.append({"prompt": "", "choices": ["rows", "a scan"], "gold": 0})
    write_lines(root / "questions.jsonl", questions)
    chats = [
        {"messages": [{"role": "system", "content": "Route."},
                      {"role": "user", "content": sentence(i, 3)},
                      {"role": "assistant", "content": LABELS[i % 4]}],
         "page": str(i // 3)}
        for i in range(12)
    ]
    write_lines(root / "chats.jsonl", chats)
    return root


@pytest.fixture(scope="module")
def reference(folder):
    return Reference(folder / "model", CONTEXT)


@pytest.fixture(scope="module")
def evaluated(gradus, folder):
    """results.json and samples.jsonl of one run over all tasks."""
    recipe = {
        "model": str(folder / "model"),
        "out": str(folder / "out"),
        "dtype": "float32",
        "batch_tokens": 200,
        "speed": {"prompt_tokens": 8, "new_tokens": 4, "repeats": 1},
        "tasks": [
            {"name": "ppl", "data": str(folder / "texts.jsonl"), "context_length": CONTEXT,
             "perplexity": {}},
            {"name": "choose", "data": str(folder / "questions.jsonl"), "context_length": CONTEXT,
             "multiple_choice": {"prompt": {"answer_key": "gold"}}},
            {"name": "route", "data": str(folder / "chats.jsonl"), "cluster_key": "page",
             "multiple_choice": {"labels": LABELS, "end_of_turn": True, "prompt": {"chat": True}}},
            {"name": "plain", "data": str(folder / "chats.jsonl"),
             "multiple_choice": {"labels": LABELS, "prompt": {"chat": True}}},
            {"name": "write", "data": str(folder / "chats.jsonl"),
             "generation": {"prompt": {"chat": True}, "max_tokens": 12}},
        ],
    }
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    done = gradus("eval", folder / "recipe.yaml")
    assert done.returncode == 0, done.stderr
    return read_out(folder / "out")


def read_out(out):
    results = json.loads((out / "results.json").read_text())
    samples = {}
    for line in (out / "samples.jsonl").read_text().splitlines():
        sample = json.loads(line)
        samples.setdefault(sample["task"], []).append(sample)
    return results["tasks"], samples, results


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


class Reference:
    """lm_eval/api/model.py, lm_eval/models/huggingface.py and lm_eval/utils.py (0.4.13), in short."""

    def __init__(self, model, max_length):
        self.model = transformers.AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        self.tokenizer = transformers.AutoTokenizer.from_pretrained(model)
        self.max_length = max_length
        self.prefix = self.tokenizer.bos_token_id

    def encode(self, text, special=None):
        if special is None:
            special = not text.startswith(self.tokenizer.decode([self.prefix]))
        return self.tokenizer.encode(text, add_special_tokens=special)

    @torch.no_grad()
    def score(self, context, continuation):
        ids = (context + continuation)[-(self.max_length + 1):]
        logits = self.model(torch.tensor([ids[:-1]])).logits[0]
        log_probs = logits.log_softmax(-1)[-len(continuation):]
        target = torch.tensor(continuation)
        value = log_probs.gather(1, target[:, None]).double().sum().item()
        return value, bool((log_probs.argmax(-1) == target).all())

    def whole_turn(self, context, continuation):
        whole, start = self.encode(context + continuation), self.encode(context)
        return self.score(start, whole[len(start):])

    def loglikelihood(self, context, continuation):
        if context == "":
            ids = self.encode(continuation, special=False)
            if ids[0] == self.prefix:
                return self.score(ids[:1], ids[1:])
            return self.score([self.prefix], ids)
        spaces = len(context) - len(context.rstrip())
        if spaces:
            continuation = context[-spaces:] + continuation
            context = context[:-spaces]
        whole, start = self.encode(context + continuation), self.encode(context)
        return self.score(start, whole[len(start):])

    def rolling(self, text):
        tokens, length, total, done = self.encode(text), self.max_length, 0.0, 0
        while done < len(tokens):
            count = min(len(tokens) - done, length)
            end = done + count
            if done == 0:
                inputs = [self.prefix] + tokens[: count - 1]
            else:
                inputs = tokens[end - length - 1: end - 1]
            total += self.score(inputs[: len(inputs) - (count - 1)], tokens[done:end])[0]
            done = end
        return total, len(tokens)


def test_rolling_perplexity_equals_the_rules(evaluated, reference, folder):
    tasks, samples, _ = evaluated
    texts = [row["text"] for row in rows_of(folder / "texts.jsonl")]
    nll = tokens = words = size = 0
    for text, sample in zip(texts, samples["ppl"], strict=True):
        value, count = reference.rolling(text)
        assert sample["scores"]["nll"] == pytest.approx(-value, abs=1e-4, rel=1e-5)
        assert sample["scores"]["tokens"] == count
        assert sample["scores"]["words"] == len(re.split(r"\s+", text))
        assert sample["scores"]["bytes"] == len(text.encode())
        nll, tokens = nll - value, tokens + count
        words, size = words + len(re.split(r"\s+", text)), size + len(text.encode())
    metrics = {name: metric["value"] for name, metric in tasks["ppl"]["metrics"].items()}
    assert metrics["token_perplexity"] == pytest.approx(math.exp(nll / tokens), rel=1e-5)
    assert metrics["word_perplexity"] == pytest.approx(math.exp(nll / words), rel=1e-4)
    assert metrics["byte_perplexity"] == pytest.approx(math.exp(nll / size), rel=1e-5)
    assert metrics["bits_per_byte"] == pytest.approx(nll / size / math.log(2), rel=1e-5)
    assert tasks["ppl"]["windows"] > len(texts)


def check_choices(samples, requests, score):
    """requests: per row (context, [(continuation, choice)], gold)."""
    for sample, (context, continuations, gold) in zip(samples, requests, strict=True):
        scored = [score(context, text) for text, _ in continuations]
        sums = numpy.array([value for value, _ in scored])
        assert sample["log_likelihoods"] == pytest.approx(sums.tolist(), abs=1e-4, rel=1e-5)
        characters = numpy.array([len(choice) for _, choice in continuations])
        size = numpy.array([len(choice.encode()) for _, choice in continuations])
        scores = sample["scores"]
        assert scores["acc"] == (sums.argmax() == gold)
        assert scores["acc_norm"] == ((sums / characters).argmax() == gold)
        assert scores["acc_bytes"] == ((sums / size).argmax() == gold)
        assert scores["exact_match"] == scored[gold][1]


def test_multiple_choice_equals_the_rules(evaluated, reference, folder):
    tasks, samples, _ = evaluated
    requests = [
        (row["prompt"], [(" " + choice, choice) for choice in row["choices"]], row["gold"])
        for row in rows_of(folder / "questions.jsonl")
    ]
    check_choices(samples["choose"], requests, reference.loglikelihood)
    assert tasks["choose"]["truncated_prompts"] == 1


@pytest.mark.parametrize("task, end", [("plain", ""), ("route", "<|im_end|>")])
def test_chat_choices_equal_the_rules(evaluated, reference, folder, task, end):
    tasks, samples, _ = evaluated
    full = Reference(folder / "model", 256)
    full.encode = lambda text, special=None: full.tokenizer.encode(text, add_special_tokens=False)
    requests = []
    for row in rows_of(folder / "chats.jsonl"):
        prompt = full.tokenizer.apply_chat_template(
            row["messages"][:-1], tokenize=False, add_generation_prompt=True
        )
        gold = LABELS.index(row["messages"][-1]["content"])
        requests.append((prompt, [(label + end, label) for label in LABELS], gold))
    check_choices(samples[task], requests, full.whole_turn if end else full.loglikelihood)
    predicted = [int(sample["scores"]["predicted"]) for sample in samples[task]]
    golds = [gold for _, _, gold in requests]
    f1 = []
    for label in range(len(LABELS)):
        right = sum(p == g == label for p, g in zip(predicted, golds))
        f1.append(2 * right / (predicted.count(label) + golds.count(label)))
    assert tasks[task]["metrics"]["macro_f1"]["value"] == pytest.approx(sum(f1) / len(f1))
    assert tasks[task]["majority"]["acc"] == 0.25


@torch.no_grad()
def test_greedy_generation_equals_transformers(evaluated, folder):
    _, samples, _ = evaluated
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "model")
    ends = {tokenizer.eos_token_id, model.config.eos_token_id}
    for row, sample in zip(rows_of(folder / "chats.jsonl"), samples["write"], strict=True):
        prompt = tokenizer.apply_chat_template(
            row["messages"][:-1], tokenize=False, add_generation_prompt=True
        )
        ids = tokenizer.encode(prompt, add_special_tokens=False)
        answer = []
        for _ in range(12):
            best = model(torch.tensor([ids + answer])).logits[0, -1].argmax().item()
            if best in ends:
                break
            answer.append(best)
        assert sample["predicted_answer"] == tokenizer.decode(answer, skip_special_tokens=True)


@torch.no_grad()
def test_answers_end_at_the_tokens_of_generation_config_too(gradus, evaluated, folder, tmp_path):
    shutil.copytree(folder / "model", tmp_path / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    model = transformers.AutoModelForCausalLM.from_pretrained(folder / "model", dtype=torch.float32)
    for row in rows_of(folder / "chats.jsonl"):
        prompt = tokenizer.apply_chat_template(row["messages"][:-1], tokenize=False, add_generation_prompt=True)
        ids, answer = tokenizer.encode(prompt, add_special_tokens=False), []
        for _ in range(12):
            answer.append(model(torch.tensor([ids + answer])).logits[0, -1].argmax().item())
        end = next((i for i in range(1, 12) if answer[i] not in answer[:i]), 0)
        if end > 0:
            break
    assert end > 0 and tokenizer.eos_token_id not in answer[: end + 1]
    path = tmp_path / "model" / "generation_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"eos_token_id": [2, answer[end]]}))
    write_lines(tmp_path / "row.jsonl", [row])
    done = gradus("eval", folder / "recipe.yaml", f"model={tmp_path / 'model'}", f"out={tmp_path / 'out'}",
                  f"tasks.4.data={tmp_path / 'row.jsonl'}")
    assert done.returncode == 0, done.stderr
    tasks, cut, _ = read_out(tmp_path / "out")
    assert cut["write"][0]["predicted_answer"] == tokenizer.decode(answer[:end], skip_special_tokens=True)
    assert tasks["write"]["generated_tokens"] == end and tasks["write"]["unfinished_answers"] == 0


@torch.no_grad()
def test_long_prompts_are_one_sequence_where_the_length_counts(gradus, folder, tmp_path):
    """longrope: prompts on both sides of the original length, with a common beginning, in small passes."""
    rope = tiny_models.PHI3_ROPE | {"long_factor": [2.0, 5.0, 12.0, 25.0, 40.0, 64.0]}  # far from the short ones
    model = tiny_models.make("phi3_longrope", tmp_path / "model", seed=5, rope_parameters=rope)
    for name in ["tokenizer.json", "tokenizer_config.json"]:
        shutil.copy(folder / "model" / name, tmp_path / "model")
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path / "model")
    rows = [{"prompt": sentence(1, 24) + " " + sentence(i, n), "answer": "x"} for i, n in enumerate([1, 60, 3, 70, 2, 80, 90, 110])]
    write_lines(tmp_path / "rows.jsonl", rows)
    recipe = {"model": str(tmp_path / "model"), "dtype": "float32", "speed": None, "out": str(tmp_path / "out"), "batch_tokens": 16,
              "tasks": [{"name": "write", "data": str(tmp_path / "rows.jsonl"), "generation": {"prompt": {"answer_key": "answer"}, "max_tokens": 8}}]}
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    done = gradus("eval", tmp_path / "recipe.yaml")
    assert done.returncode == 0, done.stderr
    lengths = []
    for row, sample in zip(rows, read_out(tmp_path / "out")[1]["write"], strict=True):
        ids = tokenizer.encode(row["prompt"])
        lengths.append(len(ids))
        out = model(torch.tensor([ids]), use_cache=True)
        answer = []
        while len(answer) < 8:
            answer.append(out.logits[0, -1].argmax().item())
            out = model(torch.tensor([[answer[-1]]]), past_key_values=out.past_key_values, use_cache=True)
        assert sample["predicted_answer"] == tokenizer.decode(answer, skip_special_tokens=True), len(ids)
    assert min(lengths) < 56 and max(lengths) > 100, lengths


def test_a_stop_text_cuts_the_answer(gradus, evaluated, folder):
    whole = [sample["predicted_answer"] for sample in evaluated[1]["write"]]
    stop = next(match.group() for text in whole if (match := re.search("[a-z]{2}", text)))
    done = gradus("eval", folder / "recipe.yaml", f"out={folder / 'stopped'}",
                  f"tasks.4.generation.stop={json.dumps([stop])}")
    assert done.returncode == 0, done.stderr
    cut = [sample["predicted_answer"] for sample in read_out(folder / "stopped")[1]["write"]]
    assert cut == [text.split(stop)[0] for text in whole] and cut != whole


def test_the_package_itself_agrees(evaluated, folder):
    from lm_eval.api.instance import Instance
    from lm_eval.models import huggingface

    model = huggingface.HFLM(pretrained=str(folder / "model"), dtype="float32", device="cpu",
                             max_length=CONTEXT, batch_size=1)

    def ask(kind, arguments):
        requests = [Instance(request_type=kind, doc={}, arguments=a, idx=i)
                    for i, a in enumerate(arguments)]
        return getattr(model, kind)(requests)

    _, samples, _ = evaluated
    texts = [(row["text"],) for row in rows_of(folder / "texts.jsonl")]
    rolling = ask("loglikelihood_rolling", texts)
    own = [-sample["scores"]["nll"] for sample in samples["ppl"]]
    assert own == pytest.approx([float(value) for value in rolling], abs=1e-4, rel=1e-5)
    pairs, values = [], []
    for row, sample in zip(rows_of(folder / "questions.jsonl"), samples["choose"], strict=True):
        pairs += [(row["prompt"], " " + choice) for choice in row["choices"]]
        values += sample["log_likelihoods"]
    theirs = [float(value) for value, _ in ask("loglikelihood", pairs)]
    assert values == pytest.approx(theirs, abs=1e-4, rel=1e-5)


def test_a_second_run_gives_the_same_bytes_and_other_batches_the_same_numbers(
        gradus, evaluated, folder):
    for name, override in (("again", "threads=1"), ("batches", "batch_tokens=1")):
        done = gradus("eval", folder / "recipe.yaml", f"out={folder / name}", override)
        assert done.returncode == 0, done.stderr
    again, _, again_results = read_out(folder / "again")
    assert again.keys() == evaluated[0].keys()
    _, batched, _ = read_out(folder / "batches")
    for task, samples in evaluated[1].items():
        for sample, other in zip(samples, batched[task], strict=True):
            assert other["scores"] == pytest.approx(sample["scores"], rel=1e-5, abs=1e-5)
    done = gradus("eval", folder / "recipe.yaml", f"out={folder / 'same'}")
    assert done.returncode == 0, done.stderr
    for name in ("results.json", "samples.jsonl"):
        assert (folder / "same" / name).read_bytes() == (folder / "out" / name).read_bytes()


@pytest.fixture(scope="module")
def gated(gradus, evaluated, folder):
    """The same evaluation with gates, compared with the first one: a finished process."""
    gates = [
        {"metric": "route.acc", "minimum": 0.0},
        {"metric": "ppl.token_perplexity", "maximum": 1.5, "name": "fluent"},
        {"metric": "choose.acc", "no_worse_than": {"baseline": "first"}},
        {"metric": "model.weight_bytes", "maximum": 10},
        {"metric": "performance.decode_tokens_per_second", "minimum": 0.001},
    ]
    return gradus("eval", folder / "recipe.yaml", f"out={folder / 'gated'}",
                  f"baselines={{first: {folder / 'out'}}}", f"gates={json.dumps(gates)}")


def test_gates_name_the_number_that_failed(gated, folder):
    assert gated.returncode == 4
    assert "'fluent' refused: ppl.token_perplexity = " in gated.stderr and "1.5" in gated.stderr
    assert "model.weight_bytes" in gated.stderr and "choose.acc" not in gated.stderr
    _, _, results = read_out(folder / "gated")
    assert [gate["passed"] for gate in results["gates"]] == [True, False, True, False]
    performance = json.loads((folder / "gated" / "performance.json").read_text())
    assert [gate["passed"] for gate in performance["gates"]] == [True]
    same = results["comparisons"]["first"]["tasks"]["route"]["acc"]
    assert same["difference"] == same["low"] == same["high"] == 0 and same["mcnemar_p"] == 1


def test_compare_writes_one_table(gradus, gated, folder):
    out = folder / "report"
    done = gradus("compare", folder / "out", folder / "gated", "--out", out)
    assert done.returncode == 0, done.stderr
    report = json.loads((out / "report.json").read_text())
    assert [row["label"] for row in report["rows"]] == ["majority label", "out", "gated"]
    assert report["rows"][0]["metrics"]["route.acc"]["value"] == 0.25
    assert report["rows"][2]["refused_gates"]
    page = (out / "report.html").read_text()
    assert "http" not in page and "<table" in page and "gated" in page
    assert "route acc" in done.stdout


@pytest.mark.parametrize("change, message", [
    ("tasks.0.name=route", "is taken"),
    ("tasks.0.data=/nowhere.jsonl", "/nowhere.jsonl"),
    ("tasks.0.context_length=100000", "longer than the model's positions"),
    ("tasks.1.multiple_choice.prompt.answer_key=nothing", "nothing"),
    ("tasks.1.multiple_choice.choices_key=nothing", "nothing"),
    ("tasks.0.perplexity.text_key=nothing", "texts.jsonl:1"),
    ("gates=[{metric: rout.acc, minimum: 0}]", "did you mean route"),
    ("gates=[{metric: route.ac, minimum: 0}]", "did you mean acc"),
    ("gates=[{metric: route.acc}]", "exactly one of"),
    ("gates=[{metric: choose.macro_f1, minimum: 0}]", "labels"),
    ("gates=[{metric: model.weight_byte, minimum: 0}]", "did you mean weight_bytes"),
    ("gates=[{metric: performance.decode_tokens, minimum: 0}]", "no such number"),
    ("tasks.4.generation.stop=['']", "may not be empty"),
    ("baselines={b: .}", "not the out folder"),
])
def test_bad_recipes_are_refused_in_one_line(gradus, evaluated, folder, change, message):
    done = gradus("eval", folder / "recipe.yaml", f"out={folder / 'refused'}", change)
    assert done.returncode == 1
    assert message in done.stderr
    assert not (folder / "refused").exists()
