# SPDX-License-Identifier: Apache-2.0
"""A tiny random model with a tokenizer and a chat template, and a running server for it."""

import contextlib
import json
import os
import pathlib
import signal
import subprocess
import time
import urllib.error
import urllib.request

import tiny_models
import tokenizers
import torch
import transformers

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def train_tokenizer():
    """Byte-level BPE of 320 tokens, with BOS added to plain text."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE())
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        vocab_size=tiny_models.COMMON["vocab_size"],
        special_tokens=SPECIAL,
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    lines = ["user assistant system the quick brown fox", "Grüße aus 世界, the other one"] * 20
    tokenizer.train_from_iterator(lines, trainer)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        chat_template=CHAT_TEMPLATE,
    )


def make(folder):
    """The model and tokenizer, saved to `folder`."""
    model = tiny_models.make("llama", folder)
    tokenizer = train_tokenizer()
    tokenizer.save_pretrained(folder)
    return model, tokenizer


def greedy(model, ids, count, stop_ids=()):
    """What transformers generates after `ids`, up to the first of stop_ids."""
    with torch.no_grad():
        out = model.generate(
            torch.tensor([ids]),
            attention_mask=torch.ones(1, len(ids), dtype=torch.long),
            max_new_tokens=count,
            do_sample=False,
            eos_token_id=list(stop_ids) or None,
            pad_token_id=0,
        )[0].tolist()[len(ids) :]
    return out[:-1] if out and out[-1] in stop_ids else out


class Server:
    """A running `gradus serve`."""

    def __init__(self, process, url, context=None):
        self.process, self.url, self.context = process, url, context
        self.port = int(url.rsplit(":", 1)[1].split("/")[0])
        self.log = []

    def get(self, path, **headers):
        """Status, headers and text of a GET."""
        request = urllib.request.Request(self.root + path, headers=headers)
        return self._open(request)

    def post(self, path, body, **headers):
        """Status, headers and text of a POST; a body that is not bytes is sent as JSON."""
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **headers}
        return self._open(urllib.request.Request(self.root + path, data=data, headers=headers))

    def _open(self, request):
        try:
            with urllib.request.urlopen(request, timeout=60, context=self.context) as response:
                return response.status, response.headers, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read().decode()

    @property
    def root(self):
        return self.url.removesuffix("/v1")

    def metric(self, name, **headers):
        for line in self.get("/metrics", **headers)[2].splitlines():
            if line.startswith(name + " "):
                return float(line.split()[-1])
        raise AssertionError(f"no metric {name}")

    def idle_within(self, seconds, **headers):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            running = self.metric("gradus_running", **headers)
            if running == 0 and self.metric("gradus_queued", **headers) == 0:
                return True
            time.sleep(0.05)
        return False

    def stop(self, number=signal.SIGTERM, timeout=30):
        self.process.send_signal(number)
        return self.process.wait(timeout)


def binary():
    root = pathlib.Path(__file__).resolve().parents[2]
    return os.environ.get("GRADUS_BINARY", str(root / "build" / "gradus"))


@contextlib.contextmanager
def serving(folder, *overrides, context=None):
    """Starts a server on a free port and waits for its ready line."""
    command = [binary(), "serve", f"model={folder}", "served_model_name=tiny", "port=0"]
    process = subprocess.Popen([*command, *overrides], stderr=subprocess.PIPE, text=True)
    log = []
    try:
        for line in process.stderr:
            log.append(line)
            if "ready: " in line:
                break
        assert log and "ready: tiny at " in log[-1], "".join(log)
        server = Server(process, log[-1].split(" at ")[1].strip(), context)
        server.log = log
        yield server
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        log.extend(process.stderr)
        process.stderr.close()
