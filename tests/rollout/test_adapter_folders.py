"""Where adapters lie as files: in a memory that is large enough, beside one that is not."""

import os
import subprocess
from collections import namedtuple

import pytest

from rollout import adapter_folders
from rollout.adapter_folders import AdapterFolders
from rollout.policy import ADAPTER_WEIGHTS, PolicyVersion

MB = 10**6


@pytest.fixture
def small_memory(tmp_path):
    """A real tmpfs of 64 MB, as a container's /dev/shm."""
    folder = tmp_path / "shm"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", folder], capture_output=True)
    if mounted.returncode:
        pytest.skip("this user may not mount a tmpfs")
    yield folder
    subprocess.run(["umount", folder], check=True)


@pytest.fixture
def beside(tmp_path):
    folder = tmp_path / "beside"
    folder.mkdir()
    return folder


def adapter(megabytes, number=1):
    return PolicyVersion("run", number, os.urandom(MB) * megabytes, {"r": 8})


def test_a_large_adapter_lies_beside_a_memory_of_64_mb(small_memory, beside):
    folders = AdapterFolders(small_memory, beside)
    small, large = adapter(1, 1), adapter(132, 2)
    inside, outside = folders.write(small, "1"), folders.write(large, "2")
    assert inside.is_relative_to(small_memory) and outside.is_relative_to(beside)
    assert (outside / ADAPTER_WEIGHTS).read_bytes() == large.weights
    assert oct(outside.parent.parent.stat().st_mode)[-3:] == "700"
    assert folders.kept() == {inside.parent, outside.parent}
    folders.remove()
    assert not list(small_memory.iterdir()) and not list(beside.iterdir())


def test_memory_is_not_filled_to_the_brim(small_memory, beside):
    folders = AdapterFolders(small_memory, beside)
    written = [folders.write(adapter(20, number), str(number)) for number in range(4)]
    assert [path.is_relative_to(small_memory) for path in written] == [True, True, False, False]


Usage = namedtuple("Usage", "total used free")


def test_a_memory_that_others_fill_meanwhile_is_given_up(small_memory, beside, monkeypatch):
    monkeypatch.setattr(adapter_folders.shutil, "disk_usage", lambda _: Usage(2**40, 0, 2**40))
    path = AdapterFolders(small_memory, beside).write(adapter(132), "1")
    assert path.is_relative_to(beside)
    assert not [one for folder in small_memory.iterdir() for one in folder.iterdir()], "and what was written is gone"


def test_where_there_is_no_room_at_all_the_line_says_what_helps(small_memory, tmp_path):
    (nested := small_memory / "tmp").mkdir()
    with pytest.raises(OSError, match=r"neither .* nor .* has room for the 132 MB of adapter run-v1-.*; set TMPDIR"):
        AdapterFolders(small_memory, nested).write(adapter(132), "1")


def test_a_version_is_hashed_once_wherever_it_goes(monkeypatch):
    import pickle

    made = adapter(1)
    sent = pickle.dumps(made)
    monkeypatch.setattr("rollout.policy.hashlib", None)
    arrived = pickle.loads(sent)
    assert arrived.adapter_hash == made.adapter_hash and made.adapter_hash in arrived.name
