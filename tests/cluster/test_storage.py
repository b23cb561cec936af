"""Folders on a real S3 server: mirrored as they change, checkpoints whole or unseen, and one line where it fails."""

import os
import pickle
import subprocess
import sys

import pytest

from cluster import storage
from cluster.checkpoint_store import CheckpointStore
from cluster.storage import Mirror, Storage, StorageError, try_storage, url_of
from tests.object_store import SECRET, s3_server

HEAD = "checkpoint.json"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The environment by which the server is reached, which is this process's too."""
    with s3_server(tmp_path_factory.mktemp("s3")) as environment, pytest.MonkeyPatch.context() as patch:
        for name, value in environment.items():
            patch.setenv(name, value)
        yield environment


@pytest.fixture
def url(server, request):
    """A place of its own for each test."""
    return f"s3://bucket/{request.node.name}"


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(storage, "PATIENCE", 0.0)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("s3://bucket/runs", "s3://bucket/runs"),
        ("s3:/bucket/runs/", "s3://bucket/runs"),
        ("gs://b", "gs://b"),
        ("runs", None),
        ("/mnt/nfs/runs", None),
        ("C:relative", None),
    ],
)
def test_urls_are_told_from_paths(path, expected):
    assert url_of(path) == expected


def test_a_scheme_that_is_not_served_is_refused():
    with pytest.raises(StorageError, match=r"ftp:// is no storage for runs; use s3://"):
        url_of("ftp://host/runs")


def test_files_go_there_and_come_back(url, tmp_path):
    there = Storage(url)
    assert there.names() == {} and there.read("a") is None
    (tmp_path / "big").write_bytes(os.urandom(12 << 20))
    there.upload(tmp_path / "big", "deep/er/big")
    there.write("empty", b"")
    assert there.names() == {"deep/er/big": 12 << 20, "empty": 0}
    there.download(["deep/er/big", "empty"], tmp_path / "back")
    assert (tmp_path / "back/deep/er/big").read_bytes() == (tmp_path / "big").read_bytes()
    there.delete(["empty", "never-was"])
    assert set(there.names()) == {"deep/er/big"}


def test_a_mirror_sends_what_changed_and_nothing_else(url, tmp_path, monkeypatch):
    sent = []
    upload = Storage.upload
    monkeypatch.setattr(Storage, "upload", lambda self, path, name: (sent.append(name), upload(self, path, name)))
    for name in ("samples/a", "samples/b", "metrics", ".lock", "c.partial", "ray/x"):
        (tmp_path / "run" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "run" / name).write_text(name)
        os.utime(tmp_path / "run" / name, ns=(len(sent), 1000 * (1 + len(list((tmp_path / "run").rglob("*"))))))
    mirror = Mirror(tmp_path / "run", Storage(url), without=["ray"])
    mirror.push()
    assert sent == ["samples/a", "samples/b", "metrics"], "the oldest first"
    mirror.push()
    (tmp_path / "run/metrics").write_text("more metrics")
    (tmp_path / "run/samples/b").unlink()
    mirror.changed()
    mirror.close()
    assert sent[3:] == ["metrics"]
    assert set(Storage(url).names()) == {"samples/a", "metrics"}

    other = Mirror(tmp_path / "elsewhere", Storage(url))
    other.pull()
    assert (tmp_path / "elsewhere/metrics").read_text() == "more metrics"
    sent.clear()
    other.push()
    assert sent == []


def checkpoint(folder, step, text):
    path = folder / f"{step:06d}"
    (path / "adapter").mkdir(parents=True)
    for name in ("adapter/weights", "state.pt", HEAD):
        (path / name).write_text(f"{name} {text}")
    return path


def test_the_newest_checkpoint_comes_back_and_old_ones_go(url, tmp_path):
    store = pickle.loads(pickle.dumps(CheckpointStore(url, HEAD)))
    for step in (2, 4, 6):
        store.push(checkpoint(tmp_path / "a", step, "first"), keep=2)
    assert {name.split("/")[0] for name in Storage(url).names()} == {"000004", "000006"}
    store.pull(tmp_path / "b")
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["000006"]
    assert (tmp_path / "b/000006/state.pt").read_text() == "state.pt first"
    store.clear()
    assert not Storage(url).names()


def test_a_course_that_was_rolled_back_is_gone_everywhere(url, tmp_path):
    store = CheckpointStore(url, HEAD)
    for step in (2, 4, 6):
        store.push(checkpoint(tmp_path / "a", step, "first"), keep=3)
    store.push(checkpoint(tmp_path / "b", 4, "second"), keep=3)
    assert {name.split("/")[0] for name in Storage(url).names()} == {"000002", "000004"}
    store.pull(tmp_path / "a")
    assert sorted(path.name for path in (tmp_path / "a").iterdir()) == ["000002", "000004"]
    assert (tmp_path / "a/000004/state.pt").read_text() == "state.pt second", "not what this machine had"


@pytest.mark.parametrize("fails_at", [0, 1, 2])
def test_a_push_that_dies_half_way_leaves_the_checkpoint_before_it(url, tmp_path, monkeypatch, impatient, fails_at):
    store = CheckpointStore(url, HEAD)
    store.push(checkpoint(tmp_path / "a", 2, "first"), keep=2)
    sent, upload = [], Storage.upload

    def dies(self, path, name):
        if len(sent) == fails_at:
            raise StorageError("died")
        sent.append(name)
        upload(self, path, name)

    monkeypatch.setattr(Storage, "upload", dies)
    with pytest.raises(StorageError):
        store.push(checkpoint(tmp_path / "a", 4, "first"), keep=2)
    monkeypatch.undo()
    store.pull(tmp_path / "b")
    assert [path.name for path in (tmp_path / "b").iterdir()] == ["000002"]
    store.push(tmp_path / "a" / "000004", keep=2)
    store.pull(tmp_path / "b")
    assert (tmp_path / "b/000004" / HEAD).exists()


@pytest.mark.parametrize(
    ("change", "url"),
    [
        ({"AWS_SECRET_ACCESS_KEY": "wrong"}, "s3://bucket/x"),
        ({"AWS_ENDPOINT_URL": "http://127.0.0.1:9"}, "s3://bucket/x"),
        ({}, "s3://no-such-bucket/x"),
    ],
)
def test_a_store_that_cannot_be_used_is_one_line_that_tells_no_secret(server, change, url):
    script = f"from cluster.storage import try_storage; print(try_storage({url!r}))"
    environment = {**os.environ, **server, **change}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    output = done.stdout.strip()
    assert output.startswith(f"cannot write {url} (") and "credentials" in output and "\n" not in output
    assert SECRET not in done.stdout + done.stderr


def test_a_store_that_can_be_used(url):
    assert try_storage(url) == "" and Storage(url).names() == {}
