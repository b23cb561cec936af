"""Folders in places where another user may have been first: uid 65534 plays that one, where root runs this."""

import os
import stat
import subprocess
import sys

import pytest

from cluster.handover import pack
from cluster.private import (
    LockHeld,
    NotPrivate,
    cache_folder,
    locked,
    private_folder,
    take_lock,
    temporary_folder,
    write_private,
)
from rollout.policy import PolicyVersion

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="plays another user")
OTHER = 65534


@pytest.fixture
def shared(tmp_path, monkeypatch):
    """A folder as /tmp is, and the temporary directory of this process."""
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(0o1777)
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    return folder


@pytest.fixture
def umask():
    before = os.umask(0)
    yield os.umask
    os.umask(before)


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.parametrize("mask", [0, 0o002, 0o022, 0o077, 0o777])
def test_it_is_private_whatever_the_umask(shared, umask, mask):
    umask(mask)
    path = temporary_folder("a", "b")
    assert path == shared / f"crucible-{os.geteuid()}" / "a" / "b"
    assert {mode(each) for each in (path, path.parent, path.parent.parent)} == {0o700}
    assert temporary_folder("a", "b") == path, "the same for all processes"
    assert mode(write_private(path / "file", b"x")) == 0o600


def test_one_that_was_open_to_all_is_closed(shared):
    (own := shared / f"crucible-{os.geteuid()}").mkdir()
    own.chmod(0o777)
    (own / "mine").touch()
    assert mode(temporary_folder()) == 0o700


@as_root
def test_one_of_another_user_is_refused(shared):
    own = shared / f"crucible-{os.geteuid()}"
    for depth in (own, own / "run"):
        depth.mkdir()
        os.chown(depth, OTHER, OTHER)
        with pytest.raises(NotPrivate, match=f"belongs to user {OTHER}") as error:
            temporary_folder("run")
        assert "\n" not in str(error.value)
        os.chown(depth, 0, 0)


@as_root
def test_what_another_user_put_into_an_open_one_is_found(shared):
    own = temporary_folder()
    own.chmod(0o777)
    (own / "planted").touch()
    os.chown(own / "planted", OTHER, OTHER)
    with pytest.raises(NotPrivate, match=f"user {OTHER} put something there"):
        temporary_folder()


@pytest.mark.parametrize("planted", ["link", "dangling", "file", "fifo"])
def test_links_and_other_things_in_its_place_are_refused(shared, tmp_path, planted):
    own, victim = shared / f"crucible-{os.geteuid()}", tmp_path / "victim"
    victim.mkdir()
    if planted == "file":
        own.touch()
    elif planted == "fifo":
        os.mkfifo(own)
    else:
        own.symlink_to(victim if planted == "link" else tmp_path / "nowhere")
    with pytest.raises(NotPrivate, match="no folder of this user"):
        temporary_folder("run")
    assert not list(victim.iterdir())


@pytest.mark.parametrize("name", ["..", "a/b", "", "/etc"])
def test_its_names_are_names(tmp_path, name):
    with pytest.raises(ValueError, match="the folder"):
        private_folder(tmp_path, name)


def test_the_cache_may_lie_behind_a_link_of_the_users_own(tmp_path, monkeypatch):
    (tmp_path / "disk").mkdir()
    (tmp_path / "cache").symlink_to(tmp_path / "disk")
    monkeypatch.setenv("CRUCIBLE_CACHE", str(tmp_path / "cache"))
    assert cache_folder("sweeps") == tmp_path / "disk" / "sweeps"


@pytest.mark.parametrize("planted", ["symbolic", "hard", "fifo", "folder"])
def test_a_lock_is_taken_of_nothing_but_a_lock_file(tmp_path, planted):
    precious, path = tmp_path / "precious", tmp_path / ".lock"
    precious.write_text("years of work\n")
    if planted == "symbolic":
        path.symlink_to(precious)
    elif planted == "hard":
        path.hardlink_to(precious)
    elif planted == "fifo":
        os.mkfifo(path)
    else:
        path.mkdir()
    with pytest.raises(NotPrivate, match="cannot be a lock"):
        take_lock(path)
    assert precious.read_text() == "years of work\n"


def test_a_lock_names_its_holder_and_ends_with_it(tmp_path):
    path = tmp_path / ".lock"
    path.write_text("\x1b[31m not a process id, and of many words " * 9)
    other = f"import sys; from cluster.private import *; take_lock(Path({str(path)!r})); print(); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", other], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        with pytest.raises(LockHeld) as error:
            take_lock(path)
        assert error.value.holder == str(process.pid)
    with locked(path), pytest.raises(LockHeld):
        take_lock(path)
    os.pwrite(descriptor := take_lock(path), b"\x1b[2J\n", 0)
    with pytest.raises(LockHeld, match="another process"):
        take_lock(path)
    os.close(descriptor)


def test_handed_over_secrets_are_the_users_alone_in_the_package(tmp_path, umask):
    umask(0)
    path = pack(tmp_path, {"HF_TOKEN": "secret"})
    assert mode(path) == 0o700 and {mode(file) for file in path.iterdir()} == {0o600}


def test_an_adapter_is_written_below_its_folder_whatever_its_run_is_called(tmp_path):
    for run in ("../../elsewhere", "/etc", "a\0b", "x" * 5000, "..", "a/b"):
        written = PolicyVersion(run, 3, b"weights").write(tmp_path / "adapters")
        assert written.parent == tmp_path / "adapters" and written.is_dir()
    assert [path.name for path in tmp_path.iterdir()] == ["adapters"]
