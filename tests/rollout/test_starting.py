"""How the start of an engine looks from outside: its log, its phases, its errors, the download of its model."""

import hashlib
import json
import os
import shutil
import subprocess
import sys
from http.server import BaseHTTPRequestHandler

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from processes import titled
from servers import LocalServer

from rollout.config import EngineConfig
from rollout.engine_actor import EngineStart
from rollout.engine_spec import EngineSpec
from rollout.fleet import await_ready, start_fleet
from rollout.start_errors import EngineStartFailed
from rollout.starting import BEGINNING, PLACING, fetch_model, phase_of, wanted_files

LOG = """INFO 11-29 10:11:12 [core.py:134] Initializing a V1 LLM engine (v0.32.0) with config: model='me/it'
(EngineCore pid=7) INFO 11-29 10:11:13 [gpu_model_runner.py:5040] Starting to load model me/it...
(EngineCore pid=7) INFO 11-29 10:11:20 [default_loader.py:502] Loading weights took 2.31 seconds
(EngineCore pid=7) INFO 11-29 10:11:21 [gpu_model_runner.py:5150] Model loading took 1.12 GiB memory and 3.1 seconds
(EngineCore pid=7) INFO 11-29 10:11:30 [backends.py:1167] Dynamo bytecode transform time: 4.20 s
(EngineCore pid=7) INFO 11-29 10:11:50 [kv_cache_utils.py:2435] GPU KV cache size: 540,000 tokens
Capturing CUDA graphs (mixed prefill-decode, PIECEWISE):   0%|          | 0/51\rCapturing CUDA graphs (decode):  9%|
(EngineCore pid=7) INFO 11-29 10:11:55 [gpu_model_runner.py:6582] Graph capturing finished in 5 secs, took 0.41 GiB
(EngineCore pid=7) INFO 11-29 10:11:56 [core.py:386] init engine (profile, create kv cache, warmup model) took 35 s
"""


def test_phases_follow_the_log():
    lines = LOG.splitlines()
    reached = [phase_of("\n".join(lines[: n + 1])) for n in range(len(lines))]
    assert reached == [
        BEGINNING, "loading weights", "loading weights", "measuring memory", "compiling", "compiling",
        "capturing graphs", "capturing graphs", "warming up", "warming up",
    ]  # fmt: skip


@settings(max_examples=50, deadline=None)
@given(st.text(max_size=300))
def test_any_log_has_a_phase(log):
    assert phase_of(log) in {
        BEGINNING, "loading weights", "measuring memory", "compiling", "capturing graphs", "warming up",
    }  # fmt: skip


def broken(student, folder, change=None, drop=(), cut=(), **config):
    """A copy of the student with something wrong."""
    shutil.copytree(student, folder)
    for name in drop:
        (folder / name).unlink()
    for name in cut:
        (folder / name).write_bytes((folder / name).read_bytes()[:-5000])
    settings = json.loads((folder / "config.json").read_text()) | (change or {})
    (folder / "config.json").write_text(json.dumps(settings))
    return EngineSpec(str(folder), EngineConfig(max_model_len=128, max_sequences=4, **config))


CASES = {
    "architecture": ({"change": {"architectures": ["FooForCausalLM"], "model_type": "qwen2"}}, "FooForCausalLM"),
    "model type": ({"change": {"model_type": "foo9"}}, "foo9"),
    "damaged weights": ({"cut": ["model.safetensors"]}, "are damaged"),
    "no weights": ({"drop": ["model.safetensors"]}, "has no weights"),
    "other shapes": ({"change": {"intermediate_size": 512}}, "do not fit its config.json"),
    "no tokenizer": ({"drop": ["tokenizer.json"]}, "no tokenizer"),
    "no room": ({"kv_cache_gib": 1e-5}, "keys and values"),
    "too long": ({"max_model_len": 100_000}, "set max_model_len"),
}


@pytest.mark.parametrize("case", CASES)
def test_an_engine_that_cannot_start_says_why(case, random_model, tmp_path):
    wrong, says = CASES[case]
    wrong = dict(wrong)
    longest = wrong.pop("max_model_len", 128)
    spec = broken(random_model, tmp_path / "model", **wrong)
    spec = EngineSpec(spec.model, spec.config.model_copy(update={"max_model_len": longest}))
    with pytest.raises(EngineStartFailed) as caught:
        EngineStart(spec, "engine").open()
    assert caught.value.known and says in str(caught.value), f"{caught.value}\n{caught.value.log}"
    assert "\n" not in str(caught.value)


def test_a_process_reads_what_it_and_its_children_write_wherever_that_goes(tmp_path):
    script = (
        "import os, sys, time; from rollout.starting import OwnLog; print('before', file=sys.stderr); log = OwnLog();"
        "print('mine', file=sys.stderr); os.system('echo child >&2'); time.sleep(0.5); read = log.read();"
        "assert 'mine' in read and 'child' in read and 'before' not in read, read;"
        "assert log.read(6) == 'child\\n'; print('passed', file=sys.stderr); time.sleep(0.5)"
    )
    command = [sys.executable, "-c", script]
    with open(tmp_path / "err", "w") as file:
        assert subprocess.run(command, stderr=file, check=False).returncode == 0, (tmp_path / "err").read_text()
    done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert [done.stderr.count(word) for word in ("before", "mine", "child", "passed")] == [1, 1, 1, 1]


@pytest.mark.slow
def test_the_drivers_error_is_that_of_the_engines_core(ray_local, random_model, tmp_path):
    spec = broken(random_model, tmp_path / "model", cut=["model.safetensors"], backend="async")
    engines = start_fleet(spec, 1, "broken", {"num_cpus": 0.5})
    seen = []
    try:
        with pytest.raises(EngineStartFailed, match=r"the weights of .*model are damaged") as caught:
            await_ready(engines, watch=lambda reports: seen.append(reports[0].phase), poll=0.1, model="it")
    finally:
        ray_local.kill(engines[0])
    assert "EngineCore" in caught.value.log and "SafetensorError" in caught.value.log
    assert seen[0] == PLACING and "loading weights" in seen, "phases are told while it is waited for"


@pytest.mark.slow
def test_a_process_that_is_killed_and_one_that_is_late_are_named(ray_local, random_model):
    spec = EngineSpec(str(random_model), EngineConfig(max_model_len=128))
    engines = start_fleet(spec, 1, "killed", {"num_cpus": 0.5})
    try:
        with pytest.raises(TimeoutError, match=r"engine number 0 of 1 was not up after 0 s \("):
            await_ready(engines, 0.01)

        def kill(reports):
            if reports[0].phase != PLACING:
                for process in titled("EngineActor"):
                    process.kill()

        with pytest.raises(EngineStartFailed, match="its process ended; the kernel may"):
            await_ready(engines, watch=kill, poll=0.1)
    finally:
        ray_local.kill(engines[0])


# --- the download


class Hub(LocalServer):
    """As much of the hub as the download of a model needs."""

    def __init__(self, files, gated=False):
        self.files, self.gated, self.sent = files, gated, []
        super().__init__(_Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET(body=False)

    def do_GET(self, body=True):
        path, commit = self.path.partition("?")[0], "c" * 40
        if self.server.gated and path.endswith("/auth-check"):
            return self._send(b"Access to model me/it is restricted", body, 403, {"X-Error-Code": "GatedRepo"})
        if path.startswith("/api/models/me/it"):
            siblings = [{"rfilename": name, "size": len(data)} for name, data in self.server.files.items()]
            tree = [{"type": "file", "path": s["rfilename"], "size": s["size"], "oid": "0" * 40} for s in siblings]
            info = {"id": "me/it", "sha": commit, "siblings": siblings, "tags": [], "private": False}
            info["gated"] = "auto" if self.server.gated else False
            return self._send(json.dumps(tree if "/tree/" in path else info).encode(), body)
        if self.server.gated:
            return self._send(b"Access to model me/it is restricted", body, 403, {"X-Error-Code": "GatedRepo"})
        name = path.rpartition(f"/resolve/{commit}/")[2]
        data = self.server.files[name]
        if body:
            self.server.sent.append(name)
        self._send(data, body, 200, {"X-Repo-Commit": commit, "ETag": f'"{hashlib.sha256(data).hexdigest()}"'})

    def _send(self, data, body, status=200, headers=None):
        self.send_response(status)
        for name, value in (
            {"content-type": "application/json", "content-length": str(len(data))} | (headers or {})
        ).items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            self.wfile.write(data)


FILES = {
    "config.json": b"{}",
    "model.safetensors": os.urandom(300_000),
    "pytorch_model.bin": b"x" * 1000,
    "original/consolidated.safetensors": b"y" * 1000,
    "README.md": b"z",
}
FETCH = """
import json, sys
from rollout.starting import fetch_model
told = []
try:
    fetch_model("me/it", lambda done, total: told.append((done, total)))
except Exception as error:
    from rollout.start_errors import start_failure
    print(json.dumps(str(start_failure("me/it", "", error))))
else:
    print(json.dumps(told))
"""


CHECK = """
import json
from pipelines.session import check_hub_model
try:
    print(json.dumps(check_hub_model("me/it")))
except ValueError as error:
    print(json.dumps(str(error)))
"""


def fetched(hub, tmp_path, script=FETCH):
    """What a fresh process makes of it: the Hub's client reads its environment as it is imported."""
    environment = os.environ | {"HF_ENDPOINT": hub.url, "HF_HOME": str(tmp_path), "HF_HUB_DISABLE_PROGRESS_BARS": "1"}
    environment.pop("HF_HUB_OFFLINE", None)
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False, timeout=100
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_a_model_is_downloaded_once_and_its_progress_is_told(tmp_path):
    with Hub(FILES) as hub:
        told = fetched(hub, tmp_path)
        assert sorted(hub.sent) == ["config.json", "model.safetensors"]
        assert told[-1] == [300_002, 300_002] and told == sorted(told)
        assert fetched(hub, tmp_path) == [] and len(hub.sent) == 2
    with Hub(FILES) as gone:
        gone.shutdown()
        gone.server_close()
        assert fetched(gone, tmp_path) == [], "without the hub, what is cached serves"


def test_a_gated_repository_is_named(tmp_path):
    with Hub(FILES, gated=True) as hub:
        lines = fetched(hub, tmp_path), fetched(hub, tmp_path, CHECK)
    assert all("me/it is a gated repository" in line and "https://huggingface.co/me/it" in line for line in lines)
    with Hub(FILES) as hub:
        assert fetched(hub, tmp_path, CHECK) is None


def test_weights_of_one_kind_are_enough():
    assert wanted_files(list(FILES)) == ["config.json", "model.safetensors"]
    assert wanted_files(["config.json", "pytorch_model.bin", "optimizer.bin"]) == ["config.json", "pytorch_model.bin"]
    assert wanted_files([]) == []


def test_a_folder_needs_no_download(random_model):
    fetch_model(str(random_model), lambda *_: pytest.fail("a folder was downloaded"))
