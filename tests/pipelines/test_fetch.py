"""`crucible jobs fetch`: the folder is where the job was submitted to put it, not where its output says; what a node or
a store hands out is bounded and checked."""

import json
from types import SimpleNamespace

import pytest

from cluster import storage
from cluster.jobs import Cluster, Job, JobError, Packed
from cluster.storage import Storage, StorageError
from pipelines.remote import jobs
from pipelines.remote.jobs import bring, named_folder
from pipelines.remote.submit import SubmitConfig, recorded


def job(**values):
    return Job("raysubmit_1", "SUCCEEDED", "crucible grpo", "", 0.0, 1.0, "node", **values)


LINES = [
    "/etc", "/", "..", "/root/.ssh", "s3://other/runs/mine", "/srv/runs/..", "/srv/runs/a\x1b[2J", "/srv/runs/-x",
    "gs://b/runs/../mine", "file:///etc", "relative/mine", "",
]  # fmt: skip


@pytest.mark.parametrize("line", LINES)
@pytest.mark.parametrize("runs", ["s3://bucket/runs", ""])
def test_a_folder_that_a_job_only_prints_is_not_followed(line, runs):
    with pytest.raises(JobError) as error:
        named_folder(job(runs=runs), f"run folder: {line}\n")
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("recorded", "output", "folder"),
    [
        ({"runs": "${HOME}/crucible/runs"}, "run folder: /root/crucible/runs/mine\n", "/root/crucible/runs/mine"),
        ({"runs": "/srv/runs"}, "x\nrun folder: /srv/runs/a b\nrun folder: /etc/x\n", "/srv/runs/a b"),
        ({"runs": "/srv/runs", "name": "mine"}, "run folder: /a/other\nrun folder: /a/mine\n", "/a/mine"),
        ({"runs": "s3://b/runs"}, "run folder: s3://evil/x\nrun folder: s3://b/runs/mine\n", "s3://b/runs/mine"),
        ({"runs": "s3://b/${USER}/runs"}, "run folder: s3://b/me/runs/mine\n", "s3://b/me/runs/mine"),
    ],
)
def test_the_first_folder_that_may_be_the_runs_is_taken(recorded, output, folder):
    assert named_folder(job(**recorded), output) == folder


def test_no_line_and_another_name_are_said():
    with pytest.raises(JobError, match="has not named a run folder"):
        named_folder(job(runs="/srv"), "")
    with pytest.raises(JobError, match="as 'mine'"):
        named_folder(job(runs="/srv", name="mine"), "run folder: /srv/other\n")


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        ("grpo", {"runs": "${HOME}/r"}),
        ("grpo --runs /x --name a", {"runs": "/x", "name": "a"}),
        ("grpo --runs=s3://b/p --name=a", {"runs": "s3://b/p", "name": "a"}),
        ("grpo --config c.yaml", {"runs": "/of/the/file", "name": "of-the-file"}),
        ("grpo --config c.yaml --name a", {"runs": "/of/the/file", "name": "a"}),
        ("grpo --config none.yaml", {"runs": "${HOME}/r"}),
        ("grpo --resume s3://b/runs/mine/", {"runs": "s3://b/runs", "name": "mine"}),
    ],
)
def test_what_is_noted_with_a_job_is_what_its_command_says(tmp_path, command, expected):
    (tmp_path / "c.yaml").write_text("runs: /of/the/file\nname: of-the-file\n")
    assert recorded(SubmitConfig(runs="${HOME}/r"), command.split(), tmp_path) == expected


@pytest.fixture
def cluster(monkeypatch):
    """The job service of a hostile cluster, which asks the node for what it is asked."""
    asked = []

    class Hostile:
        def __init__(self, address):
            pass

        def job(self, job_id):
            return job(runs="/srv/runs", name="mine")

        def logs(self, job_id):
            return "run folder: /root/.ssh\nrun folder: /srv/runs/mine\nrun folder: /etc\n"

        def fetch(self, node, folder, target, python, runs):
            asked.append((folder, str(target), runs))
            return 1

    monkeypatch.setattr(jobs, "Cluster", Hostile)
    return asked


def test_the_node_is_asked_to_check_what_the_job_printed(cluster, tmp_path, capsys):
    assert jobs.main(["fetch", "raysubmit_1", "--to", str(tmp_path)]) == 0
    assert jobs.main(["fetch", "raysubmit_1", "--to", str(tmp_path), "--folder", "/any/where"]) == 0
    assert cluster == [
        ("/srv/runs/mine", str(tmp_path / "mine"), "/srv/runs"), ("/any/where", str(tmp_path / "where"), ""),
    ]  # fmt: skip
    for folder in ("/any/..", "/", "/a/\x1b[2J"):
        assert jobs.main(["fetch", "raysubmit_1", "--to", str(tmp_path), "--folder", folder]) == 2
        assert capsys.readouterr().err.count("\n") == 1


WHOLE = {"file": "crucible-fetch-1.tar", "bytes": 3, "sha256": "x"}


@pytest.mark.parametrize(
    "answer",
    [
        "{", "{}", "[]", '{"error": "no\\nroom"}', "{" * 50_000, json.dumps(WHOLE | {"file": "../../etc/passwd"}),
        json.dumps(WHOLE | {"bytes": -1}), json.dumps(WHOLE | {"bytes": 1e30}), json.dumps(WHOLE | {"bytes": True}),
        json.dumps(WHOLE | {"file": ["x"]}), json.dumps(WHOLE | {"file": None}),
    ],
)  # fmt: skip
def test_a_nodes_word_for_what_it_packed_is_checked(answer):
    with pytest.raises(JobError) as error:
        Packed.read(answer)
    assert "\n" not in str(error.value)
    assert Packed.read(json.dumps(WHOLE)) == Packed(**WHOLE)


@pytest.mark.parametrize("blocks", [[b"abcd"], [b"ab"], [b"a" * 100] * 10_000])
def test_a_download_ends_where_more_comes_than_was_packed(tmp_path, blocks):
    hostile = object.__new__(Cluster)
    answer = SimpleNamespace(iter_content=lambda size: iter(blocks))
    hostile._client = SimpleNamespace(_do_request=lambda *_, **__: answer)
    with pytest.raises(JobError, match="fetch again"):
        hostile._download("node", Packed("x.tar", 3, "0"), tmp_path / "packed.tar")
    assert (tmp_path / "packed.tar").stat().st_size <= 3
    with pytest.raises(JobError, match="has room for"):
        hostile._download("node", Packed("x.tar", 1 << 60, "0"), tmp_path / "other.tar")


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A store of the names and contents that a test gives; pyarrow's own interface, with a hostile server behind it."""
    import io

    from pyarrow.fs import FileType

    contents = {}

    class System:
        def get_file_info(self, selector):
            return [SimpleNamespace(path=path, size=size, type=FileType.File) for path, (size, _) in contents.items()]

        def open_input_stream(self, path):
            return io.BytesIO(contents[path][1])

    monkeypatch.setattr(storage, "_filesystem", lambda *_: (System(), "b/runs/mine"))
    return contents


PATHS = [
    "b/runs/mine/../other/x", "b/runs/mine//etc/passwd", "/etc/passwd", "b/runs/minex", "b/runs/mine/a\\b",
    "b/runs/mine/a\nb", "b/runs/mine/" + "x" * 300, "b/runs/mine/nul", "other/x",
]  # fmt: skip


@pytest.mark.parametrize("path", PATHS)
def test_objects_that_lead_out_of_the_folder_are_refused(store, tmp_path, path):
    store |= {"b/runs/mine/config.yaml": (2, b"{}"), path: (1, b"x")}
    with pytest.raises(StorageError) as error:
        bring(Storage("s3://b/runs/mine"), tmp_path / "here")
    assert str(error.value).isprintable() and not list(tmp_path.iterdir())
    with pytest.raises(StorageError):
        Storage("s3://b/runs/mine").download(["../x"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_download_is_bounded_and_whole_or_not_there(store, tmp_path):
    store |= {"b/runs/mine/a": (3, b"abc"), "b/runs/mine/b/c": (3, b"more than three bytes")}
    with pytest.raises(StorageError, match="larger than the 3 bytes"):
        bring(Storage("s3://b/runs/mine"), tmp_path / "here")
    assert not list(tmp_path.iterdir())
    store["b/runs/mine/b/c"] = (1 << 60, b"")
    with pytest.raises(StorageError, match="has room for"):
        bring(Storage("s3://b/runs/mine"), tmp_path / "here")
    store["b/runs/mine/b/c"] = (0, b"")
    assert bring(Storage("s3://b/runs/mine"), tmp_path / "here") == 3
    assert {path.name for path in (tmp_path / "here").rglob("*")} == {"a", "b", "c"}


def test_a_file_read_whole_is_bounded(store, monkeypatch):
    monkeypatch.setattr(storage, "LARGEST_READ", 10)
    store["b/runs/mine/config.yaml"] = (5, b"x" * 11)
    with pytest.raises(StorageError, match="is larger than"):
        Storage("s3://b/runs/mine").read("config.yaml")
