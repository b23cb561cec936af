"""Addresses that are none, or where nobody answers; and temporary folders with long names."""

import contextlib
import os
import socket
import threading
import time
import zipfile
from pathlib import Path

import pytest
from shared_folder import cases

from cluster import address
from cluster.address import NoCluster, check_answer, check_cluster, check_dashboard, named_address
from cluster.jobs import Cluster, JobError
from cluster.sockets import IN_A_SESSION, LONGEST, short_temp_dir
from cluster.upload import pack_directory, select
from pipelines import cli
from pipelines.remote import jobs

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def silent():
    """The port of a server that takes connections and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)
        yield server.getsockname()[1]


@pytest.fixture(scope="module")
def talker():
    """The port of a server that speaks another protocol."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(50)

        def talk():
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = server.accept()
                    with connection:
                        connection.sendall(b"SSH-2.0-nobody\r\n")

        threading.Thread(target=talk, daemon=True).start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(address, "ANSWER", 1.0)
    monkeypatch.setattr(address, "CONNECT", 2.0)


@pytest.mark.parametrize("case", cases("cluster"))
def test_a_case_from_practice(case, tmp_path, capsys, monkeypatch):
    if "files" in case:
        for name, text in case["files"].items():
            (tmp_path / "work" / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "work" / name).write_text(text)
        assert names(pack_directory(tmp_path / "work", tmp_path / "up.zip")) == {
            "main.py", "exp/config.yaml", "exp/code.py"
        }  # fmt: skip
        return
    monkeypatch.setenv("RAY_ADDRESS", case["environment"]["RAY_ADDRESS"])
    monkeypatch.chdir(tmp_path)
    began = time.monotonic()
    assert cli.dispatch(["grpo", "--name", "mine"]) == 2
    output = capsys.readouterr().err
    assert time.monotonic() - began < 15 and output.count("\n") == 1 and "RAY_ADDRESS" in output
    assert ("HOST:PORT" if case["id"] == "cluster-02" else "no Ray cluster answers at [::1]:6399 (") in output
    assert not (tmp_path / "runs").exists()


def names(package):
    with zipfile.ZipFile(package) as packed:
        return {name for name in packed.namelist() if not name.endswith("/")}


@pytest.mark.parametrize(
    "verb", ["grpo", "evaluate", "distil", "sft", "hard-distil", "lrl", "undo", "expert-iteration", "sweep"]
)
def test_every_job_names_a_bad_address_before_it_makes_a_run_folder(verb, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1")
    assert cli.dispatch([verb]) == 2
    output = capsys.readouterr().err
    assert output.startswith("crucible: RAY_ADDRESS is '127.0.0.1'") and output.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "given",
    ["127.0.0.1", "::1:6399", "[::1]", "x", "host:port", "1.2.3.4:0", "1.2.3.4:70000", ":6379", "a b:1", "redis://x:1",
     "ray://", "http://127.0.0.1:8265", "1.2.3.4:6379/path", "user@host:1", "1.2.3.4:6379,5.6.7.8:6379"],
)  # fmt: skip
def test_what_is_no_address_is_named_with_its_form(given, monkeypatch):
    with pytest.raises(NoCluster, match=r"^--address is '.*', which is no address.*HOST:PORT"):
        check_cluster(given)
    monkeypatch.setenv("RAY_ADDRESS", given)
    with pytest.raises(NoCluster, match=r"^RAY_ADDRESS is '") as error:
        check_cluster(None)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "where",
    ["127.0.0.1:9", "[::1]:9", "ray://127.0.0.1:9", "ray://[::1]:9", "localhost:9", "no.such.host.invalid:6379",
     "10.255.255.1:6379", "ray://10.255.255.1", "{silent}", "ray://{silent}", "{talker}", "ray://{talker}"],
)  # fmt: skip
def test_nobody_behind_an_address_is_one_line_in_time(where, silent, talker):
    where = where.format(silent=f"127.0.0.1:{silent}", talker=f"127.0.0.1:{talker}")
    began = time.monotonic()
    with pytest.raises(NoCluster, match="no Ray cluster answers at") as error:
        check_answer(where)
    assert "\n" not in str(error.value) and where in str(error.value) and time.monotonic() - began < 12


@pytest.mark.parametrize(
    "where",
    ["http://127.0.0.1:9", "http://[::1]:9", "https://127.0.0.1:9", "http://no.such.host.invalid:8265",
     "http://{silent}", "https://{silent}", "http://{talker}"],
)  # fmt: skip
def test_nobody_behind_a_dashboards_address_is_one_line_in_time(where, silent, talker, capsys):
    where = where.format(silent=f"127.0.0.1:{silent}", talker=f"127.0.0.1:{talker}")
    began = time.monotonic()
    assert jobs.main(["list", "--address", where]) == 2
    output = capsys.readouterr().err
    assert output.startswith(f"crucible: no Ray cluster answers at {where} (") and output.count("\n") == 1
    assert "--address http://HOST:8265" in output and time.monotonic() - began < 12


@pytest.mark.parametrize("where", ["http://", "http://h:abc", "http://127.0.0.1:99999", "https://:1", "http://a b"])
def test_what_is_no_dashboards_address_is_named(where):
    with pytest.raises(NoCluster, match="is no address of a Ray dashboard; give --address http://HOST:8265"):
        check_dashboard(where, "--address")


@pytest.mark.parametrize("where", ["10.255.255.1:8265", "127.0.0.1:9", "x", "ray://127.0.0.1:9", "{silent}"])
def test_jobs_take_no_other_address_without_an_answer(where, silent):
    with pytest.raises(JobError, match="give --address http://HOST:8265"):
        Cluster(where.format(silent=f"127.0.0.1:{silent}"))


def test_what_is_given_goes_before_the_environment(monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "http://127.0.0.1:7")
    monkeypatch.setenv("RAY_API_SERVER_ADDRESS", "http://127.0.0.1:8")
    for given, asked in (("http://127.0.0.1:9", ":9 "), ("", ":8 ")):
        with pytest.raises(JobError, match=asked):
            Cluster(given)
    monkeypatch.delenv("RAY_API_SERVER_ADDRESS")
    with pytest.raises(JobError, match=":7 "):
        Cluster()
    assert os.environ["RAY_ADDRESS"] == "http://127.0.0.1:7"
    assert named_address(None) == ("http://127.0.0.1:7", "RAY_ADDRESS")
    monkeypatch.setenv("RAY_ADDRESS", " local ")
    assert named_address("") == ("", "RAY_ADDRESS")
    check_cluster(None)


def test_a_live_ray_answers(ray_local):
    where = ray_local.get_runtime_context().gcs_address
    check_answer(where)
    with pytest.raises(NoCluster, match="something else listens there"):
        check_answer(f"ray://{where}")


# --- temporary folders


@pytest.fixture
def long_folder(tmp_path):
    folder = tmp_path / ("x" * 100)
    folder.mkdir()
    return folder


def test_a_short_folder_is_left_to_ray(monkeypatch):
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    monkeypatch.setenv("TMPDIR", "/tmp")
    with short_temp_dir() as folder:
        assert folder is None


@pytest.mark.parametrize("variable", ["TMPDIR", "RAY_TMPDIR"])
def test_a_long_folder_is_reached_by_a_short_name(variable, long_folder, monkeypatch):
    monkeypatch.setenv("VLLM_RPC_BASE_PATH", "")
    monkeypatch.delenv("VLLM_RPC_BASE_PATH")
    monkeypatch.setenv(variable, str(long_folder))
    with short_temp_dir() as folder:
        assert len(folder + IN_A_SESSION) < LONGEST and os.path.dirname(os.path.realpath(folder)) == str(long_folder)
        assert os.path.samefile(os.environ["VLLM_RPC_BASE_PATH"], long_folder)
        parent = Path(folder).parents[1]
    assert not parent.exists() and long_folder.is_dir()


def test_without_a_place_for_the_short_name_the_variable_is_named(long_folder, monkeypatch):
    monkeypatch.setattr("cluster.sockets.SHORT_FOLDERS", ("/no/such/folder",))
    monkeypatch.setenv("TMPDIR", str(long_folder))
    with pytest.raises(NoCluster, match="set RAY_TMPDIR to a shorter path") as error, short_temp_dir():
        pass
    assert "\n" not in str(error.value)


# --- uploads


def lay(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


@pytest.mark.parametrize(
    ("files", "up"),
    [
        (["exp/config.yaml", "exp/samples/a", "exp/checkpoints/b", "exp/pkg/deep/m.py"],
         ["exp/config.yaml", "exp/pkg/deep/m.py"]),
        (["exp/config.yaml", "exp/samples/a", "exp/checkpoints/b", "exp/metrics.jsonl"], []),
        (["exp/config.yaml", "exp/samples/a.py", "exp/checkpoints/b"], []),
        (["net/config.json", "net/modeling.py", "net/w.bin", "net/t.pt"], ["net/config.json", "net/modeling.py"]),
        (["net/config.json", "net/w.bin"], []),
        (["a b[1]/config.json", "a b[1]/w.bin", "a b1/code.py"], ["a b1/code.py"]),
        (["a#!/config.json", "a#!/w.bin", "a#!/run.sh"], ["a#!/config.json", "a#!/run.sh"]),
        (["outer/net/config.json", "outer/net/w.bin", "outer/code.py"], ["outer/code.py"]),
        (["exp/config.yaml", "exp/samples/a", "exp/checkpoints/b", "exp/code.py", "exp/run/config.yaml",
          "exp/run/samples/c", "exp/run/checkpoints/d"], ["exp/config.yaml", "exp/code.py"]),
        (["e/pyvenv.cfg", "e/lib/a.py"], []),
    ],
)  # fmt: skip
def test_code_goes_up_from_folders_that_look_like_runs_and_models(files, up, tmp_path):
    work = tmp_path / "work"
    lay(work, "main.py", *files)
    assert names(pack_directory(work, tmp_path / "up.zip")) == {"main.py", *up}
    assert "not uploaded: run folders, models or environments: " in select(work).summary()


def test_what_stays_here_is_told_in_one_line(tmp_path):
    lay(tmp_path, *(f"m{n}/{name}" for n in range(5) for name in ("config.json", "w.bin")))
    output = select(tmp_path).summary()
    assert output.startswith("not uploaded: run folders, models or environments: m0, m1, m2 and 2 more (--include")
    assert select(tmp_path / "m0").summary() == ""
