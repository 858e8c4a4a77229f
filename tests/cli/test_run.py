# SPDX-License-Identifier: Apache-2.0
"""gradus run and gradus store with the real commands on a tiny model: what runs again and what does
not, being killed at any moment, two processes at once, a full disk."""

import json
import os
import random
import resource
import shutil
import signal
import subprocess
import time

import gguf_models
import pytest
import tiny_models
import train_models
from conftest import BINARY

ROUNDS = 6
PIPELINE = """
out: {root}/out
vars: {{steps: 6, group: 16}}
stages:
  - name: l0
    command: model import
    recipe: {{file: {root}/tiny.gguf, output: "${{out}}/l0", dtype: float32}}
  - name: l1
    command: pretrain-continue
    recipe:
      model: ${{out}}/l0
      output: ${{out}}/l1
      device: cpu
      dtype: float32
      threads: 1
      data:
        context_length: 64
        on_overflow: split
        cache_dir: {root}/cache
        sources: [{{name: text, path: {root}/texts.jsonl, licence: CC0}}]
      batch: {{tokens_per_step: 128, tokens_per_micro_batch: 64, steps: "${{steps}}"}}
      checkpoint: {{every_steps: 1}}
      peak_tflops: 1.0
  - name: small
    command: quantize
    recipe: {{model: "${{out}}/l1/model", out: "${{out}}/small", scheme: int4, group_size: "${{group}}", threads: 1}}
  - name: eval
    command: eval
    recipe:
      model: ${{out}}/small
      out: ${{out}}/eval
      device: cpu
      threads: 1
      speed: null
      tasks: [{{name: text, data: {root}/held.jsonl, context_length: 64, perplexity: {{}}}}]
"""
STAGES = ["l0", "l1", "small", "eval"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    root = tmp_path_factory.mktemp("inputs")
    model = tiny_models.make("llama", root / "model")
    gguf_models.write_gguf(root / "tiny.gguf", model, "llama")
    train_models.write_texts(root / "texts.jsonl")
    train_models.write_texts(root / "held.jsonl", count=4, seed=9)
    return root


@pytest.fixture
def world(inputs, tmp_path):
    for name in ["tiny.gguf", "texts.jsonl", "held.jsonl"]:
        os.link(inputs / name, tmp_path / name)
    (tmp_path / "pipeline.yaml").write_text(PIPELINE.format(root=tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def undisturbed(gradus, inputs, tmp_path_factory):
    """A finished run: (its folder, its result, seconds)."""
    root = tmp_path_factory.mktemp("undisturbed")
    for name in ["tiny.gguf", "texts.jsonl", "held.jsonl"]:
        os.link(inputs / name, root / name)
    (root / "pipeline.yaml").write_text(PIPELINE.format(root=root))
    start = time.monotonic()
    result = run(gradus, root)
    return root, result, time.monotonic() - start


def run(gradus, world, *arguments):
    done = gradus("run", world / "pipeline.yaml", "--json", "--quiet", *arguments)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def start(world):
    return subprocess.Popen(
        [str(BINARY), "run", str(world / "pipeline.yaml"), "--quiet"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def statuses(result):
    return {stage["name"]: stage["status"] for stage in result["stages"]}


def digests(result):
    return {stage["name"]: stage["outputs"] for stage in result["stages"]}


def wait_for(condition):
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.002)


def kill_everything(process):
    """SIGKILL to the pipeline and to its stage, which has a process group of its own."""
    children = subprocess.run(["ps", "-o", "pid=", "--ppid", str(process.pid)], capture_output=True, text=True)
    for pid in [process.pid, *map(int, children.stdout.split())]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.wait()


def test_a_finished_pipeline_runs_nothing_again(gradus, undisturbed):
    root, first, _ = undisturbed
    assert statuses(first) == dict.fromkeys(STAGES, "ran")
    again = run(gradus, root)
    assert statuses(again) == dict.fromkeys(STAGES, "up to date")
    assert digests(again) == digests(first)


def test_a_changed_key_runs_its_stage_and_what_depends_on_it(gradus, undisturbed):
    root, _, _ = undisturbed
    plan = run(gradus, root, "--dry-run", "vars.group=32")
    assert statuses(plan) == {"l0": "up to date", "l1": "up to date", "small": "would run", "eval": "may run"}
    assert "recipe group_size" in str(plan["stages"][2]["reasons"])
    refused = gradus("run", root / "pipeline.yaml", "vars.gruop=32")
    assert refused.returncode == 1 and "did you mean group?" in refused.stderr


def test_a_finished_pipeline_still_checks(gradus, undisturbed):
    root, _, _ = undisturbed
    assert set(statuses(run(gradus, root, "--check")).values()) <= {"ok", "recipe ok"}


def test_the_store_walks_a_model_back_to_its_file(gradus, undisturbed):
    root, result, _ = undisturbed
    done = gradus("store", "lineage", root / "out/small", "--json")
    assert done.returncode == 0, done.stderr
    step, chain = json.loads(done.stdout), []
    while step:
        chain.append((step["lineage"]["kind"] if step["lineage"] else step["role"], step["state"]))
        step = step["parents"][0] if step["parents"] else None
    assert chain == [("quantize", "ok"), ("pretrain-continue", "ok"), ("imported", "ok"), ("source", "ok")]
    assert gradus("store", "verify", root / "out/small").returncode == 0
    digest = gradus("store", "digest", root / "out/small").stdout.strip()
    assert [digest] == list(digests(result)["small"].values())
    evaluations = json.loads((root / "out/small/lineage.json").read_text())["evaluations"]
    assert len(evaluations) == 1


def test_a_model_made_again_with_the_same_content_keeps_its_evaluations(gradus, undisturbed):
    root, first, _ = undisturbed
    before = json.loads((root / "out/small/lineage.json").read_text())["evaluations"]
    again = run(gradus, root, "--force", "small")
    assert statuses(again) == {"l0": "up to date", "l1": "up to date", "small": "ran", "eval": "up to date"}
    assert digests(again) == digests(first)
    after = json.loads((root / "out/small/lineage.json").read_text())["evaluations"]
    assert [{**each, "created": None} for each in after] == [{**each, "created": None} for each in before]


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_killed_at_any_moment_the_same_result_comes_out(gradus, world, undisturbed, round_number):
    _, expected, seconds = undisturbed
    moment = (round_number + random.Random(round_number).random()) / ROUNDS * seconds
    process = start(world)
    time.sleep(moment)
    kill_everything(process)
    assert digests(run(gradus, world)) == digests(expected)
    left = [path.name for path in world.rglob("*") if ".tmp-" in path.name or ".old-" in path.name]
    assert not left


def test_killed_while_its_first_recipe_is_written_a_run_goes_on(gradus, world):
    folder = world / "out" / "l1"
    run(gradus, world, "--only", "l0")
    process = start(world)
    try:
        wait_for(lambda: folder.exists())
    finally:
        kill_everything(process)
    shutil.rmtree(folder)
    folder.mkdir()
    (folder / ".lock").write_text("999999999")
    (folder / "recipe.yaml.tmp-999999999").write_text("model: ")
    run(gradus, world, "--only", "l1")


def test_a_second_process_on_the_same_folder_is_refused(gradus, world):
    process = start(world)
    try:
        wait_for(lambda: (world / "out/stages/l0/started.json").exists())
        second = gradus("run", world / "pipeline.yaml")
    finally:
        code = process.wait()
    assert second.returncode == 1
    assert f"is in use by another gradus process (pid {process.pid})" in second.stderr
    assert code == 0


def small_files_only():
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))


def test_a_full_disk_is_one_clear_line_and_leaves_nothing(gradus, world):
    limited = {"preexec_fn": small_files_only, "restore_signals": False}  # EFBIG instead of SIGXFSZ
    done = gradus("model", "import", world / "tiny.gguf", "--out", world / "l0", "--dtype", "float32", **limited)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1 and "model.safetensors" in done.stderr
    assert [path.name for path in world.iterdir() if path.name.startswith("l0")] == []
    failed = gradus("run", world / "pipeline.yaml", "--quiet", **limited)
    assert failed.returncode == 1 and "stage 'l0'" in failed.stderr
    assert sorted(path.name for path in (world / "out").iterdir()) == [".lock", "stages"]
    run(gradus, world, "--only", "l0")
