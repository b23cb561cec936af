"""Publishing as a run does it: the real client of the Hub against a server of our own, read back with `datasets`."""

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hub_server import TOKEN, FakeHub
from job import crucible, crucible_apart, grpo, start, wait_for_step
from publishing_job import adapter, main, row

from pipelines.artifacts.run_folder import RunFolder
from pipelines.artifacts.traces import write_traces
from pipelines.cli import dispatch
from pipelines.jobs.teacher_job_config import SFTJobConfig
from pipelines.jobs.undo.config import UndoConfig
from pipelines.jobs.undo.dataset import DATASET_SCHEMA
from pipelines.publish import hub as hub_module
from pipelines.publish import publisher

ROOT = Path(__file__).resolve().parents[2]
MOMENTS = ("POST .*/preupload/", "POST .*/commit/", "PUT /", "POST .*objects/batch", "HEAD /me", "GET /me")
READ = """\
import json, sys
from datasets import load_dataset, get_dataset_config_names
names = get_dataset_config_names(sys.argv[1])
rows = {name: load_dataset(sys.argv[1], name, split="train").to_list() for name in names}
print(json.dumps({name: [len(found), sorted(found[0])] for name, found in rows.items()}))
"""


@pytest.fixture
def hub(monkeypatch, tmp_path):
    with FakeHub() as server:
        monkeypatch.setenv("HF_ENDPOINT", server.url)
        monkeypatch.setenv("HF_TOKEN", TOKEN)
        monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda _: None)
        monkeypatch.setattr(hub_module, "_PAUSES", (0.01, 0.01))
        monkeypatch.setattr(publisher, "_FIRST_PAUSE", 0.01)
        monkeypatch.setattr(publisher, "_LONGEST_PAUSE", 0.02)
        yield server


def toy(tmp_path, *more, status=0):
    arguments = ["--runs", str(tmp_path / "runs"), "--name", "mine", "--push", "me/toy"]
    assert main([*arguments, *map(str, more)]) == status


def client(hub, tmp_path, **more):
    """The environment of a process that uses the Hub's own client."""
    return os.environ | {"HF_ENDPOINT": hub.url, "HF_TOKEN": TOKEN, "HF_HUB_DISABLE_XET": "1",
                         "HF_HOME": str(tmp_path / "hf"), "HF_HUB_DISABLE_PROGRESS_BARS": "1", **more}  # fmt: skip


def read_back(hub, tmp_path, repository="me/toy"):
    """Configuration -> (rows, columns), by `datasets` in a process of its own."""
    done = subprocess.run([sys.executable, "-c", READ, repository], env=client(hub, tmp_path), capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    return json.loads(done.stdout)


def everything(folder):
    return "".join(path.read_text(errors="ignore") for path in folder.rglob("*") if path.is_file())


def test_a_run_s_data_and_adapter_are_published_privately_with_cards(hub, tmp_path, capsys):
    toy(tmp_path, "--rounds", 3)
    assert all(found["private"] for found in hub.repositories.values())
    assert sorted(hub.files("dataset", "me/toy")) == ["README.md", "traces/train.parquet"]
    assert sorted(hub.files("model", "me/toy")) == [
        "README.md", "adapter_config.json", "adapter_model.safetensors", "base.json",
    ]  # fmt: skip
    card = hub.text("model", "me/toy", "README.md")
    assert "base_model: owner/base" in card and "library_name: peft" in card
    assert "crucible toy" in card and "\\-\\-rounds 3" not in card and "--rounds 3" in card
    output = "".join(capsys.readouterr())
    assert "pushed to the data set me/toy: 1 files" in output and "pushed to the model me/toy: 3 files" in output
    assert len((tmp_path / "runs/mine/pushes.jsonl").read_text().splitlines()) == 2
    assert hub.store.requests and not any("authorization" in map(str.lower, names) for *_, names in hub.store.requests)


def test_the_token_is_neither_in_the_run_folder_nor_on_the_hub_nor_on_the_screen(hub, tmp_path, capsys):
    hub.fail("POST .*/commit/", 500)
    toy(tmp_path)
    assert TOKEN not in everything(tmp_path / "runs") + "".join(capsys.readouterr())
    for repository in hub.repositories.values():
        assert not any(TOKEN.encode() in hub.content(entry) for entry in repository["files"].values())


@pytest.mark.slow
def test_what_was_published_is_read_back(hub, tmp_path):
    toy(tmp_path, "--rounds", 2, "--publish.path", "runs/first")
    assert main(["--runs", str(tmp_path / "runs"), "--name", "other", "--push", "me/toy", "--rounds", "1"]) == 0
    found = read_back(hub, tmp_path)
    assert {name: count for name, (count, _) in found.items()} == {"runs-first-traces": 2, "traces": 1}
    assert "raw_response" in found["traces"][1]
    script = "import sys; from huggingface_hub import snapshot_download; print(snapshot_download('me/toy'))"
    done = subprocess.run([sys.executable, "-c", script], env=client(hub, tmp_path), capture_output=True, text=True)
    place = Path(done.stdout.strip())
    assert (place / "adapter_model.safetensors").read_bytes() == adapter("owner/base").weights, done.stderr
    assert (place / "runs/first/adapter_model.safetensors").is_file()
    assert not any("authorization" in {n.lower() for n in headers} for _, _, headers in hub.store.requests)


@pytest.mark.slow
def test_each_iteration_of_undo_is_a_configuration_that_datasets_reads(hub, tmp_path):
    settings = UndoConfig(name="run", runs=tmp_path / "runs", push="me/undo")
    with RunFolder.create(tmp_path / "runs/run", settings) as folder:
        for number in (0, 1, 10):
            place = folder.path / "dataset" / f"iteration-{number}"
            place.mkdir(parents=True)
            rows = [{"idx": n, "problem": "p", "signal": None if n else 1.0} for n in range(number + 1)]
            pq.write_table(pa.Table.from_pylist(rows, schema=DATASET_SCHEMA), place / "train.parquet")
    assert dispatch(["push", str(tmp_path / "runs/run")]) == 0
    found = read_back(hub, tmp_path, "me/undo")
    counts = {name: count for name, (count, _) in found.items()}
    assert counts == {"iteration-0": 1, "iteration-1": 2, "iteration-10": 11}
    assert sorted(DATASET_SCHEMA.names) == found["iteration-0"][1]


def test_a_model_whose_weights_were_all_trained_goes_up_whole(hub, tmp_path, capsys):
    settings = SFTJobConfig(name="run", runs=tmp_path / "runs", model="owner/base", push="me/whole", sft={"full": True})
    files = {"config.json": "{}", "model.safetensors": "weights", "prompt.json": "{}", "templates/own.jinja": "x"}
    with RunFolder.create(tmp_path / "runs/run", settings) as folder:
        for name, content in files.items():
            (folder.path / "model" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder.path / "model" / name).write_text(content)
    assert dispatch(["push", str(tmp_path / "runs/run")]) == 0
    assert set(hub.files("model", "me/whole")) == {"README.md", *files}
    text = hub.text("model", "me/whole", "README.md")
    assert "all of whose weights a run trained" in text and "library_name: transformers" in text and "lora" not in text
    assert "base_model: owner/base" in text and "base_model_relation: finetune" in text
    assert dispatch(["push", str(tmp_path / "runs/run"), "--publish.what", "merged"]) == 2
    assert "publish.what merged has no effect with sft.full" in capsys.readouterr().err
    assert dispatch(["export", str(tmp_path / "runs/run")]) == 2
    assert "model is the whole model, to be used as it is" in capsys.readouterr().err


# --- failures on the way


@pytest.mark.parametrize("what", [429, 500, 503, "cut"])
@pytest.mark.parametrize(
    "where", ["POST .*/preupload/", "POST .*/commit/", "PUT /", "POST .*objects/batch", "HEAD /me", "GET /me"]
)
def test_what_fails_for_a_moment_is_tried_again_and_nothing_is_lost(hub, tmp_path, where, what):
    hub.fail(where, what)
    toy(tmp_path)
    assert "traces/train.parquet" in hub.files("dataset", "me/toy")
    assert "adapter_model.safetensors" in hub.files("model", "me/toy")


def test_a_cut_in_the_middle_of_a_large_file_leaves_no_half_of_it(hub, tmp_path):
    hub.fail("PUT /", "cut", times=3)
    toy(tmp_path)
    entry = hub.files("model", "me/toy")["adapter_model.safetensors"]
    assert hub.content(entry) == adapter("owner/base").weights


@pytest.mark.parametrize("resumes", ["--resume", "push"])
def test_what_could_not_be_uploaded_is_said_and_uploaded_later(hub, tmp_path, capsys, resumes):
    hub.fail("POST .*/models/.*/commit/", 403, times=100)
    toy(tmp_path, status=1)
    output = "".join(capsys.readouterr())
    assert "not all is pushed to me/toy: the token may not write to the model me/toy" in output
    assert f"crucible push {tmp_path}/runs/mine" in output and not hub.files("model", "me/toy")
    hub.faults.clear()
    if resumes == "push":
        assert dispatch(["push", str(tmp_path / "runs/mine")]) == 0
    else:
        assert main(["--resume", str(tmp_path / "runs/mine")]) == 0
    assert "adapter_model.safetensors" in hub.files("model", "me/toy")


def test_nothing_is_uploaded_twice(hub, tmp_path):
    toy(tmp_path)
    commits = {key: len(found["commits"]) for key, found in hub.repositories.items()}
    large = len([1 for method, *_ in hub.store.requests if method == "PUT"])
    assert dispatch(["push", str(tmp_path / "runs/mine")]) == 0
    assert {key: len(found["commits"]) for key, found in hub.repositories.items()} == commits
    assert len([1 for method, *_ in hub.store.requests if method == "PUT"]) == large


def test_a_run_that_was_not_told_to_publish_is_published_afterwards(hub, tmp_path, capsys):
    assert main(["--runs", str(tmp_path / "runs"), "--name", "mine"]) == 0
    assert dispatch(["push", str(tmp_path / "runs/mine")]) == 2
    assert "was not given a repository; name one: --push OWNER/NAME" in capsys.readouterr().err
    assert dispatch(["push", str(tmp_path / "runs/mine"), "--push", "team/toy", "--publish.public", "True"]) == 0
    assert hub.repositories["dataset", "team/toy"]["private"] is False


def test_what_others_write_into_the_card_meanwhile_is_kept(hub, tmp_path):
    def other(repository):
        repository["files"]["README.md"] = {"bytes": b"---\nlicense: mit\n---\nWritten meanwhile."}

    hub.meanwhile = [other]
    toy(tmp_path)
    cards = [hub.text(kind, "me/toy", "README.md") for kind in ("dataset", "model")]
    assert sum("Written meanwhile." in text for text in cards) == 1 and all("crucible toy" in text for text in cards)


# --- in the background, and on a signal


def start_toy(hub, tmp_path, *more):
    command = [sys.executable, "-m", "tests.pipelines.publishing_job", "--runs", str(tmp_path / "runs"),
               "--name", "mine", "--push", "me/toy", *map(str, more)]  # fmt: skip
    environment = client(hub, tmp_path, PYTHONPATH=f"{ROOT}:{ROOT}/tests:{ROOT}/tests/pipelines")
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=-1, stderr=subprocess.STDOUT, text=True)


def wait_until(holds, process, seconds=60):
    deadline = time.monotonic() + seconds
    while not holds():
        assert process.poll() is None and time.monotonic() < deadline, process.stdout.read()
        time.sleep(0.05)


def rows_of(hub):
    entry = hub.repositories.get(("dataset", "me/toy"), {"files": {}})["files"].get("traces/train.parquet")
    return pq.read_table(io.BytesIO(hub.content(entry))).num_rows if entry else 0


@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_rows_go_up_while_the_run_goes_on_and_the_rest_on_a_signal(hub, tmp_path, sent):
    process = start_toy(hub, tmp_path, "--rounds", 1000, "--pause", 0.2, "--publish.minutes", 0.005)
    try:
        wait_until(lambda: rows_of(hub) >= 2, process)
        hub.fail("POST .*/commit/", 503, times=1)  # the upload that the signal asks for is tried again
        process.send_signal(sent)
        output, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    assert process.returncode == 130, output
    written = len((tmp_path / "runs/mine/attempts.jsonl").read_text().splitlines())
    assert rows_of(hub) == written and "go on with: crucible toy --resume" in output and TOKEN not in output


def test_a_hub_that_hangs_does_not_hold_a_run_that_was_told_to_end(hub, tmp_path, monkeypatch):
    process = start_toy(hub, tmp_path, "--rounds", 1000, "--pause", 0.2, "--publish.minutes", 60)
    try:
        wait_until(lambda: (tmp_path / "runs/mine/attempts.jsonl").is_file(), process)
        hub.fail("POST .*/preupload/", 429, times=1000, headers={"retry-after": "3000"})
        process.send_signal(signal.SIGINT)
        wait_until(lambda: any("preupload" in path for _, path, _ in hub.requests), process)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 130 and "uploads what is missing" in output


# --- refused before anything is done


@pytest.mark.parametrize(
    ("more", "environment", "says"),
    [
        ({}, {"HF_TOKEN": ""}, "push needs a token of the Hugging Face Hub: set HF_TOKEN, or run `hf auth login`"),
        ({}, {"HF_TOKEN": "hf_wrong"}, "the Hub does not know the token"),
        ({"role": "read"}, {}, "the token can only read; make one with write access"),
        ({}, {"HF_ENDPOINT": "http://127.0.0.1:9"}, "cannot be reached"),
        ({}, {"HF_ENDPOINT": "http://hub.example"}, "would travel unencrypted; use https://"),
        ({}, {"HF_ENDPOINT": "https://a:secret@hub.example"}, "HF_ENDPOINT is no address of a Hub"),
        (
            {"push": "nobody/toy"},
            {},
            "belongs to me, team, readers, and nobody is none of them; push to me/toy",
        ),
        ({"push": "readers/toy"}, {}, "may only read in readers"),
        ({"forbidden": "me/toy"}, {}, "the token may not write to the data set me/toy"),
        ({"there": False}, {}, "the data set me/toy is public, and publish.public is False"),
        ({"license": "made-up"}, {}, '"license" must be one of'),
        ({"what": "merged data nothing"}, {}, "publish.what"),
        ({"push": "me"}, {}, "is no repository of the Hugging Face Hub; write OWNER/NAME"),
        ({"path": "../up"}, {}, "publish.path '../up' is no folder of a repository"),
    ],
)
def test_what_cannot_be_published_is_refused_before_the_run_begins(
    hub, tmp_path, monkeypatch, capsys, more, environment, says
):
    hub.role, hub.forbidden = more.get("role", "write"), {more.get("forbidden")}
    if "there" in more:
        hub.add("dataset", "me/toy", private=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    arguments = ["--runs", str(tmp_path / "runs"), "--name", "mine", "--push", more.get("push", "me/toy")]
    for option in ("license", "path"):
        arguments += [f"--publish.{option}", more[option]] if option in more else []
    arguments += ["--publish.what", *more["what"].split()] if "what" in more else []
    assert main(arguments) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("crucible: ") and says in line, line
    assert "secret" not in line and TOKEN not in line and not (tmp_path / "runs").exists()


@pytest.mark.parametrize("what", [429, 503])
def test_a_hub_that_is_busy_for_a_moment_is_asked_again_before_a_run(hub, tmp_path, what):
    hub.fail("GET /api/whoami", what, times=2)
    toy(tmp_path)
    assert "traces/train.parquet" in hub.files("dataset", "me/toy")


def test_a_hub_that_is_switched_off_is_named(hub, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert main(["--runs", str(tmp_path / "runs"), "--name", "mine", "--push", "me/toy"]) == 2
    assert "the Hub is switched off by HF_HUB_OFFLINE; unset it, or leave push out" in capsys.readouterr().err


def test_options_of_publishing_need_a_repository_and_a_job_that_makes_something(hub, capsys):
    assert main(["--publish.public", "True"]) == 2
    assert "publish.public has no effect without push" in capsys.readouterr().err
    assert dispatch(["evaluate", "--push", "me/toy"]) == 2
    assert "push has no effect here: this command makes nothing to publish" in capsys.readouterr().err
    assert dispatch(["sweep", "--grpo.push", "me/toy"]) == 2


# --- where the token goes


@pytest.mark.parametrize("path", ["GET /api/whoami", "POST .*/preupload/", "POST .*/commit/", "POST .*objects/batch"])
def test_a_redirect_to_another_place_takes_no_token_there(hub, tmp_path, path):
    with FakeHub() as elsewhere:
        hub.fail(path, f"{elsewhere.url}/api/whoami-v2", times=100)
        main(["--runs", str(tmp_path / "runs"), "--name", "mine", "--push", "me/toy"])
        assert elsewhere.requests and not any("authorization" in headers for _, _, headers in elsewhere.requests)


def test_a_note_of_what_was_asked_is_not_lost_in_the_rows(hub, tmp_path):
    """Text of a problem or an answer reaches the data, whole, and no card."""
    text = "---\nlicense: mit\n<script>alert(1)</script> | ![x](http://evil)\n```"
    main(["--runs", str(tmp_path / "runs"), "--name", "mine", "--rounds", "1"])
    write_traces(tmp_path / "runs/mine", "traces", [row(0, text)])
    assert dispatch(["push", str(tmp_path / "runs/mine"), "--push", "me/toy"]) == 0
    assert "alert" not in hub.text("dataset", "me/toy", "README.md")
    assert rows_of(hub) == 1


# --- real jobs


@pytest.mark.slow
def test_a_real_training_run_publishes_its_adapter_and_goes_on_after_a_signal(hub, tmp_path, tiny_student):
    """The process with its Ray, its engine and its learner; SIGTERM, which Ray takes too, ends it as Ctrl-C does."""
    given = grpo(tiny_student, tmp_path / "runs", "mine", "--steps=4", "--train.checkpoint-every=1", "--push", "me/toy",
                 "--publish.minutes=0.05")  # fmt: skip
    process = start(*given, env=client(hub, tmp_path))
    try:
        wait_for_step(tmp_path / "runs/mine", 2, process)
        process.send_signal(signal.SIGTERM)
        output, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130 and "go on with: crucible grpo --resume" in output, output
    newest = sorted((tmp_path / "runs/mine/checkpoints").iterdir())[-1] / "adapter/adapter_model.safetensors"
    entry = hub.files("model", "me/toy")["adapter_model.safetensors"]
    assert hub.content(entry) == newest.read_bytes(), output
    output = crucible_apart("grpo", "--resume", tmp_path / "runs/mine", env=client(hub, tmp_path))
    newest = tmp_path / "runs/mine/checkpoints/000004/adapter/adapter_model.safetensors"
    assert hub.content(hub.files("model", "me/toy")["adapter_model.safetensors"]) == newest.read_bytes()
    card = hub.text("model", "me/toy", "README.md")
    assert "pass@1" in card.replace("\\", "") and "--steps 4" in card
    assert str(tiny_student) not in card and TOKEN not in output + everything(tmp_path / "runs")


@pytest.mark.slow
def test_traces_of_a_real_run_are_published_and_read_back(hub, tmp_path, ray_local):
    sizes = ["--problems.families", "lcs", "--problems.difficulties", "3", "--count", "4"]
    crucible("distil", "--runs", tmp_path / "runs", "--name", "mine", *sizes, "--push", "me/traces",
             HF_ENDPOINT=hub.url, HF_TOKEN=TOKEN)  # fmt: skip
    name, (count, columns) = read_back(hub, tmp_path, "me/traces").popitem()
    assert (name, count) == ("traces", 4) and {"problem", "raw_response", "verified"} <= set(columns)
