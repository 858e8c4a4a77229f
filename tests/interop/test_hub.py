# SPDX-License-Identifier: Apache-2.0
"""hf:// references against a local hub, and the cache against Python's huggingface_hub."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import conftest
import hub_server
import pytest
import test_adapter
import tiny_models
import train_models

NAME = "acme/tiny"
CONTENT = bytes(range(256)) * 800  # 200 KB


@pytest.fixture(scope="module")
def model_files(tmp_path_factory):
    """A tiny llama in two shards, with what else a repository holds."""
    folder = tmp_path_factory.mktemp("hub-model")
    model = tiny_models.make("llama", folder)
    (folder / "model.safetensors").unlink()
    model.save_pretrained(folder, max_shard_size="200KB")
    files = {p.name: p.read_bytes() for p in folder.iterdir()}
    assert sum(name.endswith(".safetensors") for name in files) > 1
    files |= {
        "README.md": b"---\nlanguage: en\nlicense: cc-by-4.0\n---\n# Tiny\n",
        ".gitattributes": b"*.safetensors filter=lfs\n",
        "pytorch_model.bin": b"pickle",
        "onnx/model.onnx": b"onnx",
    }
    return files


@pytest.fixture
def hub():
    server = hub_server.Hub()
    yield server
    server.stop()


@pytest.fixture
def environment(hub, tmp_path):
    """The environment of a machine that knows this hub only."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "TRANSFORMERS_", "HUGGING"))}
    return kept | {"HF_HOME": str(tmp_path / "home"), "HF_ENDPOINT": hub.endpoint, "no_proxy": "127.0.0.1"}


@pytest.fixture
def fetch(gradus, environment):
    def run(reference, code=0, **variables):
        result = gradus("model", "fetch", reference, env=environment | variables)
        assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
        return pathlib.Path(result.stdout.strip()) if code == 0 else result.stderr.strip().splitlines()[-1]

    return run


def python(code, environment):
    result = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_only_what_is_needed_is_fetched_into_pythons_layout(hub, fetch, model_files):
    commit = hub.add(NAME, model_files)
    folder = fetch(f"hf://{NAME}")
    assert folder.name == commit and folder.parent.name == "snapshots"
    there = {p.name for p in folder.iterdir()}
    assert there == set(model_files) - {"pytorch_model.bin", ".gitattributes", "onnx/model.onnx"}
    for name in there:
        assert (folder / name).read_bytes() == model_files[name]
        target = pathlib.Path(os.readlink(folder / name))
        digest = hub_server.sha256 if hub_server.is_lfs(name) else hub_server.git_sha1
        assert target == pathlib.Path("../../blobs") / digest(model_files[name])
    assert (folder.parents[1] / "refs" / "main").read_text() == commit
    assert not list(folder.parents[1].glob("blobs/*.incomplete"))


def test_python_offline_finds_what_gradus_fetched(hub, fetch, environment, model_files):
    hub.add(NAME, model_files)
    folder = fetch(f"hf://{NAME}")
    code = (
        "import huggingface_hub, transformers\n"
        f"print(huggingface_hub.snapshot_download('{NAME}', local_files_only=True))\n"
        f"model = transformers.AutoModelForCausalLM.from_pretrained('{NAME}')\n"
        "print(sum(p.numel() for p in model.parameters()) > 1000)\n"
        "info = huggingface_hub.scan_cache_dir()\n"
        "print([repo.repo_id for repo in info.repos], info.warnings)\n"
    )
    lines = python(code, environment | {"HF_HUB_OFFLINE": "1"}).splitlines()
    assert lines == [str(folder), "True", f"['{NAME}'] []"]


def test_gradus_uses_what_python_cached(hub, fetch, environment, model_files):
    hub.add(NAME, model_files)
    code = f"import huggingface_hub; print(huggingface_hub.snapshot_download('{NAME}'))"
    theirs = python(code, environment)
    before = hub.count("/resolve/")
    assert before >= len(model_files)
    assert str(fetch(f"hf://{NAME}")) == theirs
    assert str(fetch(f"hf://{NAME}", HF_HUB_OFFLINE="1")) == theirs
    assert hub.count("/resolve/") == before


def test_what_is_cached_is_not_asked_for_again(hub, fetch, model_files):
    commit = hub.add(NAME, model_files)
    folder = fetch(f"hf://{NAME}")
    requests = len(hub.requests)
    assert fetch(f"hf://{NAME}@{commit}") == folder
    assert len(hub.requests) == requests
    assert fetch(f"hf://{NAME}") == folder
    assert len(hub.requests) == requests + 1  # where main stands


def test_a_new_commit_shares_unchanged_blobs(hub, fetch, model_files):
    hub.add(NAME, model_files)
    first = fetch(f"hf://{NAME}")
    hub.add(NAME, model_files | {"README.md": b"new"})
    before = hub.count("/resolve/")
    second = fetch(f"hf://{NAME}")
    assert second != first and (second / "README.md").read_bytes() == b"new"
    assert hub.count("/resolve/") == before + 1
    assert fetch(f"hf://{NAME}@{first.name}") == first


def test_listings_come_in_pages_and_faults_of_the_api_are_tried_again(hub, fetch, model_files):
    hub.page_size = 3
    hub.add(NAME, model_files)
    hub.faults[f"api:models/{NAME}"] = [("status", 503, {"Retry_After": "0"}), ("status", 429, {"Retry_After": "0"})]
    folder = fetch(f"hf://{NAME}")
    assert (folder / "config.json").exists()
    assert hub.count("cursor=") >= 2


FAULTS = {
    "broken": [("break", 5000), ("break", 5000), ("break", 70000)],
    "rate limit": [("status", 429, {"Retry_After": "0"})] * 3,
    "server error": [("status", 500, {}), ("status", 502, {"Retry_After": "0"})],
    "stalled": [("stall", 1000, 3)],
    "no ranges": [("break", 9000), ("ignore_range",)],
    "damaged once": [("corrupt",)],
    "damaged while broken": [("corrupt",), ("break", 10)],
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_file_survives(hub, fetch, fault):
    hub.add(NAME, {"a.gguf": CONTENT})
    hub.faults["a.gguf"] = list(FAULTS[fault])
    path = fetch(f"hf://{NAME}/a.gguf", HF_HUB_DOWNLOAD_TIMEOUT="1")
    assert path.read_bytes() == CONTENT
    assert not hub.faults["a.gguf"]
    if fault == "broken":
        ranges = [h["Range"] for h in hub.cdn_headers if "Range" in h]
        assert ranges == ["bytes=5000-", "bytes=10000-", "bytes=80000-"]


def test_wrong_content_is_refused_and_not_kept(hub, fetch):
    hub.add(NAME, {"a.gguf": CONTENT, "config.json": b"{}"})
    hub.faults["a.gguf"] = [("corrupt",)] * 9
    line = fetch(f"hf://{NAME}/a.gguf", code=1)
    assert "another digest than the hub lists" in line and hub_server.sha256(CONTENT) in line
    hub.faults["config.json"] = [("corrupt",)] * 9
    assert hub_server.git_sha1(b"{}") in fetch(f"hf://{NAME}/config.json", code=1)
    hub.faults.clear()
    assert fetch(f"hf://{NAME}/a.gguf").read_bytes() == CONTENT


@pytest.mark.parametrize("fault, said", [("long", "more bytes than it lists"), ("wrong_range", "another range")])
def test_answers_that_do_not_fit_are_refused(hub, fetch, fault, said):
    hub.add(NAME, {"a.gguf": CONTENT})
    hub.faults["a.gguf"] = [("break", 100), (fault,)]
    assert said in fetch(f"hf://{NAME}/a.gguf", code=1)


def test_a_killed_fetch_is_continued(hub, fetch, environment):
    hub.add(NAME, {"a.gguf": CONTENT})
    hub.faults["a.gguf"] = [("stall", 60000, 20)]
    command = [str(conftest.BINARY), "model", "fetch", f"hf://{NAME}/a.gguf"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    cache = pathlib.Path(environment["HF_HOME"]) / "hub"
    deadline = time.time() + 20
    while not any(p.stat().st_size == 60000 for p in cache.rglob("*.incomplete")):
        assert time.time() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 143
    assert "the next run continues" in process.stderr.read()
    assert fetch(f"hf://{NAME}/a.gguf").read_bytes() == CONTENT
    assert hub.cdn_headers[-1]["Range"] == "bytes=60000-"


LARGE = b"".join(i.to_bytes(4, "little") for i in range(13 << 18)) + b"end"  # 13 MiB, four parts
PART = 4 << 20


def asked_ranges(hub):
    """The ranges that the CDN was asked for, as (begin, end)."""
    ranges = [h["Range"].removeprefix("bytes=").split("-") for h in hub.cdn_headers if "Range" in h]
    return sorted((int(begin), int(end) + 1) for begin, end in ranges)


def test_a_large_file_comes_over_several_connections(hub, fetch, environment):
    hub.add(NAME, {"a.gguf": LARGE})
    path = fetch(f"hf://{NAME}/a.gguf")
    assert path.read_bytes() == LARGE
    parts = [(i, min(i + PART, len(LARGE))) for i in range(0, len(LARGE), PART)]
    assert asked_ranges(hub) == parts and len(parts) == 4
    assert [p.name for p in path.resolve().parent.iterdir()] == [hub_server.sha256(LARGE)]
    code = (
        "import huggingface_hub\n"
        f"print(huggingface_hub.hf_hub_download('{NAME}', 'a.gguf', local_files_only=True))\n"
        "print(huggingface_hub.scan_cache_dir().warnings)"
    )
    assert python(code, environment).splitlines() == [str(path), "[]"]


@pytest.mark.parametrize("uses", [None, 1])
def test_parts_go_straight_to_where_the_hub_led_until_that_is_refused(hub, fetch, uses):
    content = LARGE * 3  # ten parts, eight connections
    hub.add(NAME, {"a.gguf": content})
    hub.address_uses = uses
    assert fetch(f"hf://{NAME}/a.gguf").read_bytes() == content
    if uses:
        assert hub.count("/resolve/") == 10 and len(hub.cdn_headers) >= 10
    else:
        assert hub.count("/resolve/") <= 8 and len(hub.cdn_headers) == 10


PART_FAULTS = {
    "broken": [("break", 5000), ("break", 1 << 20), ("break", 70000)],
    "rate limit": [("status", 429, {"Retry_After": "0"})] * 3,
    "server error": [("status", 500, {}), ("status", 502, {"Retry_After": "0"})],
    "stalled": [("stall", 1000, 3)],
    "no ranges": [("ignore_range",)] * 5,
    "wrong range": [("wrong_range",)] * 4,
    "too long": [("long",)],
    "damaged once": [("corrupt",)] * 4,
}


@pytest.mark.parametrize("fault", PART_FAULTS)
def test_a_large_file_survives(hub, fetch, fault):
    hub.add(NAME, {"a.gguf": LARGE})
    hub.faults["a.gguf"] = list(PART_FAULTS[fault])
    path = fetch(f"hf://{NAME}/a.gguf", HF_HUB_DOWNLOAD_TIMEOUT="1")
    assert path.read_bytes() == LARGE
    assert [p.name for p in path.resolve().parent.iterdir()] == [hub_server.sha256(LARGE)]


def test_a_large_file_with_wrong_content_is_refused_and_not_kept(hub, fetch, environment):
    hub.add(NAME, {"a.gguf": LARGE})
    hub.faults["a.gguf"] = [("corrupt",)] * 99
    assert "another digest than the hub lists" in fetch(f"hf://{NAME}/a.gguf", code=1)
    assert not list((pathlib.Path(environment["HF_HOME"]) / "hub").glob("*/blobs/*"))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM])
def test_a_killed_fetch_of_parts_asks_only_for_what_is_missing(hub, fetch, environment, how):
    hub.add(NAME, {"a.gguf": LARGE})
    hub.faults["a.gguf"] = [("stall", 60000, 20)]
    command = [str(conftest.BINARY), "model", "fetch", f"hf://{NAME}/a.gguf"]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    cache = pathlib.Path(environment["HF_HOME"]) / "hub"

    def noted():
        notes = [json.loads(p.read_text()) for p in cache.rglob("*.parts.json")]
        return sum(end - begin for note in notes for begin, end in note["there"])

    deadline = time.time() + 20
    while noted() < len(LARGE) - PART:
        assert time.time() < deadline and process.poll() is None
        time.sleep(0.02)
    process.send_signal(how)
    assert process.wait(10) == (143 if how == signal.SIGTERM else -9)
    hub.cdn_headers.clear()
    assert fetch(f"hf://{NAME}/a.gguf").read_bytes() == LARGE
    assert 0 < sum(end - begin for begin, end in asked_ranges(hub)) <= PART


def test_a_beginning_that_another_program_left_is_not_fetched_again(hub, fetch, environment):
    hub.add(NAME, {"a.gguf": LARGE})
    blobs = pathlib.Path(environment["HF_HOME"]) / "hub" / "models--acme--tiny" / "blobs"
    blobs.mkdir(parents=True)
    (blobs / f"{hub_server.sha256(LARGE)}.incomplete").write_bytes(LARGE[: 9 << 20])
    assert fetch(f"hf://{NAME}/a.gguf").read_bytes() == LARGE
    assert asked_ranges(hub) == [(9 << 20, len(LARGE)) if len(LARGE) - (9 << 20) <= PART else (9 << 20, 13 << 20)] + (
        [] if len(LARGE) - (9 << 20) <= PART else [(13 << 20, len(LARGE))]
    )


def test_a_renamed_repository_is_followed_with_the_token(hub, fetch, model_files):
    hub.add("acme/new", model_files, token="hf_secret")
    hub.moved["acme/old"] = "acme/new"
    assert (fetch("hf://acme/old", HF_TOKEN="hf_secret") / "config.json").read_bytes() == model_files["config.json"]
    assert not any("Authorization" in headers for headers in hub.cdn_headers)


REFUSALS = {
    "bad token": (401, {"X_Error_Message": "Invalid credentials in Authorization header"}, "does not accept the access token"),
    "gated 401": (401, {"X_Error_Code": "GatedRepo"}, "is gated"),
    "gated 403": (403, {"X_Error_Code": "GatedRepo"}, "is gated"),
    "forbidden": (403, {"X_Error_Message": "only for members of acme"}, "only for members of acme"),
    "disabled": (403, {"X_Error_Message": "Access to this resource is disabled."}, "is disabled"),
    "private": (401, {"X_Error_Code": "RepoNotFound"}, "is not on the hub, or"),
}


@pytest.mark.parametrize("name", REFUSALS)
def test_refusals_say_what_to_do(hub, fetch, name):
    status, headers, words = REFUSALS[name]
    hub.refusals[NAME] = (status, headers)
    line = fetch(f"hf://{NAME}", code=1, HF_TOKEN="hf_secret")
    assert words in line and "hf_secret" not in line


@pytest.mark.parametrize(
    "variables",
    [{}, {"HF_HUB_CACHE": "a/cache"}, {"HUGGINGFACE_HUB_CACHE": "b"}, {"XDG_CACHE_HOME": "x"}, {"HF_HOME": "h"}, {"HF_TOKEN_PATH": "t"}],
    ids=lambda v: next(iter(v), "HOME"),
)
def test_cache_and_token_are_where_python_has_them(hub, gradus, environment, model_files, tmp_path, variables):
    hub.add(NAME, model_files, token="hf_secret")
    env = {k: v for k, v in environment.items() if k not in ("HF_HOME", "XDG_CACHE_HOME")}
    env |= {"HOME": str(tmp_path / "user")} | {k: str(tmp_path / v) for k, v in variables.items()}
    cache, token = python("import huggingface_hub.constants as c; print(c.HF_HUB_CACHE); print(c.HF_TOKEN_PATH)", env).splitlines()
    pathlib.Path(token).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(token).write_text("hf_secret")
    result = gradus("model", "fetch", f"hf://{NAME}", env=env)
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(cache + "/models--acme--tiny/snapshots/")


def test_an_evaluation_leaves_the_shared_cache_as_it_is(hub, gradus, environment, tmp_path):
    train_models.make(tmp_path / "base")
    made = gradus("quantize", f"model={tmp_path / 'base'}", f"out={tmp_path / 'int8'}", "scheme=int8")
    assert made.returncode == 0, made.stderr
    hub.add(NAME, {p.name: p.read_bytes() for p in (tmp_path / "int8").iterdir()})
    texts = train_models.write_texts(tmp_path / "texts.jsonl", count=2)
    recipe = {"model": f"hf://{NAME}", "out": str(tmp_path / "eval"), "speed": {"prompt_tokens": 8, "new_tokens": 4, "repeats": 1}, "tasks": [{"name": "text", "data": str(texts), "context_length": 64, "perplexity": {}}]}
    (tmp_path / "eval.yaml").write_text(json.dumps(recipe))

    def cached():
        root = pathlib.Path(environment["HF_HOME"]) / "hub"
        return {p: os.readlink(p) if p.is_symlink() else p.read_bytes() for p in root.rglob("*") if not p.is_dir()}

    assert gradus("model", "fetch", f"hf://{NAME}", env=environment).returncode == 0
    before = cached()
    assert any(path.name == "lineage.json" for path in before)
    result = gradus("eval", tmp_path / "eval.yaml", env=environment)
    assert result.returncode == 0, result.stderr
    assert f"the results are in {tmp_path / 'eval'} alone" in result.stderr
    assert (tmp_path / "eval" / "results.json").exists() and cached() == before


def test_an_adapters_base_is_found_in_the_cache_and_never_fetched_unasked(hub, gradus, environment, model_files, tmp_path):
    hub.add(NAME, model_files)
    tiny_models.make("llama", tmp_path / "base")
    test_adapter.make_adapter(tmp_path, tmp_path / "base", "adapter", target_modules=["q_proj"])
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": NAME}))
    arguments = ["model", "merge", tmp_path / "adapter", "--out", tmp_path / "merged"]
    result = gradus(*arguments, env=environment)
    assert result.returncode == 1 and f"gradus model fetch hf://{NAME}" in result.stderr and not hub.requests
    assert gradus("model", "fetch", f"hf://{NAME}", env=environment).returncode == 0
    requests = len(hub.requests)
    result = gradus(*arguments, env=environment)
    assert result.returncode == 0, result.stderr
    assert len(hub.requests) == requests and "names its base" not in result.stderr
    assert json.loads((tmp_path / "merged" / "lineage.json").read_text())["parents"][0]["hub"].startswith(f"hf://{NAME}@")


def test_two_processes_do_not_collide(hub, environment, model_files):
    commit = hub.add(NAME, model_files | {"model-extra.bin": b"x"})
    command = [str(conftest.BINARY), "model", "fetch", f"hf://{NAME}"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    both = [subprocess.Popen(command, env=environment, **pipes) for _ in range(2)]
    for process in both:
        out, problems = process.communicate(timeout=60)
        assert process.returncode == 0 and commit in out, problems
    shards = [name for name in model_files if hub_server.is_lfs(name)]
    assert len(hub.cdn_headers) == len(shards)  # each came once


def test_the_token_opens_gated_models_and_goes_nowhere_else(hub, fetch, gradus, environment, model_files):
    hub.add(NAME, model_files, token="hf_secret")
    line = fetch(f"hf://{NAME}", code=1)
    assert "is gated" in line and f"{hub.endpoint}/{NAME}" in line and "HF_TOKEN" in line
    assert "is gated" in fetch(f"hf://{NAME}", code=1, HF_TOKEN="hf_other")
    result = gradus("model", "fetch", f"hf://{NAME}", "--verbose", env=environment | {"HF_TOKEN": "hf_secret"})
    assert result.returncode == 0
    assert "hf_secret" not in result.stdout + result.stderr
    assert hub.cdn_headers and not any("Authorization" in headers for headers in hub.cdn_headers)


def test_the_token_file_of_python_is_used(hub, fetch, environment, model_files):
    hub.add(NAME, model_files, token="hf_secret")
    home = pathlib.Path(environment["HF_HOME"])
    home.mkdir()
    (home / "token").write_text("hf_secret\n")
    assert (fetch(f"hf://{NAME}") / "config.json").exists()


def test_mistakes_are_one_clear_line(hub, fetch, model_files):
    hub.add(NAME, model_files)
    assert "is not on the hub, or is private" in fetch("hf://acme/none", code=1)
    assert "has no such revision" in fetch(f"hf://{NAME}@v9", code=1)
    assert "did you mean config.json?" in fetch(f"hf://{NAME}/confg.json", code=1)
    assert "is a pickle" in fetch(f"hf://{NAME}/pytorch_model.bin", code=1)
    assert "is no name on a hub" in fetch("hf://acme", code=1)
    hub.add("acme/gguf", {"x.Q4_0.gguf": CONTENT, "README.md": b""})
    assert "name one of its GGUF files: x.Q4_0.gguf" in fetch("hf://acme/gguf", code=1)


@pytest.mark.parametrize("path", ["../../escaped", "/tmp/escaped", "a/../../b", "a\x00b"])
def test_paths_that_lead_out_are_refused(hub, fetch, environment, path):
    hub.add(NAME, {"config.json": b"{}", "x.txt": b"x"})
    hub.listing_override["x.txt"] = {"path": path}
    assert "path may not be used" in fetch(f"hf://{NAME}/config.json", code=1)
    assert not list(pathlib.Path(environment["HF_HOME"]).parent.rglob("*escaped*"))


def test_files_larger_than_the_disk_are_refused_first(hub, fetch):
    hub.add(NAME, {"a.gguf": CONTENT})
    hub.listing_override["a.gguf"] = {"lfs": {"oid": hub_server.sha256(CONTENT), "size": 1 << 40}}
    assert "the disk has no room" in fetch(f"hf://{NAME}/a.gguf", code=1)
    assert not hub.cdn_headers


def test_offline_says_what_is_missing(hub, fetch, model_files):
    hub.add(NAME, model_files)
    assert "the cache lacks revision 'main'" in fetch(f"hf://{NAME}", code=1, HF_HUB_OFFLINE="1")
    folder = fetch(f"hf://{NAME}")
    shard = next(p for p in folder.iterdir() if p.suffix == ".safetensors")
    shard.unlink()
    line = fetch(f"hf://{NAME}", code=1, HF_HUB_OFFLINE="1")
    assert f"the cache lacks {shard.name}" in line and "HF_HUB_OFFLINE" in line


def test_without_a_network_the_cache_serves(hub, fetch, gradus, environment, model_files):
    hub.add(NAME, model_files)
    folder = fetch(f"hf://{NAME}")
    hub.faults[f"api:models/{NAME}"] = [("status", 503, {"Retry_After": "0"})] * 20
    result = gradus("model", "fetch", f"hf://{NAME}", env=environment)
    assert result.stdout.strip() == str(folder)
    assert "answers 503; using the cache" in result.stderr


def test_data_sets_are_folders_or_files(hub, fetch):
    rows = b'{"text": "a"}\n'
    hub.add("acme/rows", {"README.md": b"#", "train/a.jsonl": rows, "train/b.parquet": b"p"}, kind="datasets")
    folder = fetch("hf://datasets/acme/rows/train")
    assert [p.name for p in folder.iterdir()] == ["a.jsonl"]
    assert fetch("hf://datasets/acme/rows@main/train/a.jsonl").read_bytes() == rows
    assert "holds no data files" in fetch("hf://datasets/acme/rows", code=1)


def test_recipes_take_models_from_the_hub_and_the_lineage_says_which(hub, gradus, environment, model_files, tmp_path):
    commit = hub.add(NAME, model_files)
    out = tmp_path / "int8"
    result = gradus("quantize", f"model=hf://{NAME}", f"out={out}", "scheme=int8", env=environment)
    assert result.returncode == 0, result.stderr
    lineage = json.loads((out / "lineage.json").read_text())
    assert lineage["parents"][0]["hub"] == f"hf://{NAME}@{commit}"
    assert lineage["licences"] == [{"input": "base", "licence": "cc-by-4.0"}]
    assert lineage["recipe"]["model"] == f"hf://{NAME}@{commit}"
    shown = gradus("store", "lineage", out, env=environment)
    assert f"base: hf://{NAME}@{commit}" in shown.stdout


def test_a_pipelines_stage_runs_again_when_the_branch_moves(hub, gradus, environment, model_files, tmp_path):
    hub.add(NAME, model_files)
    recipe = tmp_path / "pipeline.yaml"
    recipe.write_text(
        f"out: {tmp_path / 'run'}\nstages:\n  - name: small\n    command: quantize\n"
        f"    recipe: {{model: 'hf://{NAME}', out: {tmp_path / 'int8'}, scheme: int8}}\n"
    )

    def run(**variables):
        result = gradus("run", recipe, "--json", env=environment | variables)
        assert result.returncode == 0, result.stderr
        return result.stdout + result.stderr

    assert "up to date" not in run()
    assert "up to date" in run(HF_HUB_OFFLINE="1")
    hub.add(NAME, model_files | {"README.md": b"---\nlicense: mit\n---\n"})
    assert "up to date" not in run()
