"""A model's folder on its way to nodes that do not have it: whole or not there, once, and never in use removed."""

import os
import shutil
import subprocess
import sys
from collections import namedtuple

import pytest

from pipelines import model_copies
from pipelines.model_copies import FolderSource, ModelError, copied, listing_of
from rollout import model_files
from rollout.model_files import load_tokenizer, place_of, read_from

Usage = namedtuple("Usage", "total used free")


@pytest.fixture(autouse=True)
def own_places(monkeypatch):
    monkeypatch.setattr(model_copies, "_KEPT", [])
    monkeypatch.setattr(model_files, "_COPIES", {})
    monkeypatch.setattr(model_copies, "PIECE_BYTES", 1000)
    yield
    for descriptor in model_copies._KEPT:
        os.close(descriptor)


@pytest.fixture
def model(tmp_path):
    """With a file of another folder, as the Hub's cache has them, and what nobody loads."""
    folder = tmp_path / "model"
    (folder / "original").mkdir(parents=True)
    (tmp_path / "blob").write_bytes(os.urandom(4321))
    (folder / "model.safetensors").symlink_to(tmp_path / "blob")
    for name in ("config.json", "tokenizer.json", "chat_template.jinja", "prompt.json"):
        (folder / name).write_text(name)
    (folder / "original" / "consolidated.pth").write_bytes(b"x" * 10_000)
    (folder / "pytorch_model.bin").write_bytes(b"x" * 10_000)
    (folder / "empty.txt").touch()
    return folder


class Spoilt(FolderSource):
    """A folder whose files are written while they are read."""

    def __init__(self, folder, change):
        super().__init__(folder)
        self._change = change

    def read(self, name, offset):
        return self._change(super().read(name, offset), offset)


def fetch(model, copies, source=None, told=None):
    copies.mkdir(exist_ok=True)
    listing = listing_of(model)
    return copied(str(model), source or FolderSource(str(model)), listing, copies, told or (lambda done, total: None))


def test_what_is_loaded_is_copied_and_nothing_else(model, tmp_path):
    told = []
    folder = fetch(model, tmp_path / "copies", told=lambda done, total: told.append((done, total)))
    names = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert names == {"config.json", "tokenizer.json", "chat_template.jinja", "model.safetensors", "empty.txt"}
    assert all((folder / name).read_bytes() == (model / name).read_bytes() for name in names)
    total = sum((folder / name).stat().st_size for name in names)
    assert told[-1] == (total, total) and told == sorted(told) and len(told) > 5
    assert listing_of(folder) == listing_of(model), "a copy is known for one"


def test_a_copy_is_made_once_and_anew_when_the_model_changes(model, tmp_path):
    def refused(name, offset):
        raise AssertionError("it was there")

    first = fetch(model, tmp_path / "copies")
    source = FolderSource(str(model))
    source.read = refused
    assert fetch(model, tmp_path / "copies", source) == first
    (model / "config.json").write_text("changed")
    assert fetch(model, tmp_path / "copies") != first
    assert (first / "config.json").read_text() == "config.json", "who reads the old one is not disturbed"


@pytest.mark.parametrize(
    "change",
    [
        lambda piece, offset: piece + b"more",
        lambda piece, offset: piece[:-1],
        lambda piece, offset: b"",
        lambda piece, offset: b"without end",
    ],
    ids=["longer", "shorter", "gone", "endless"],
)
def test_a_model_that_changes_on_the_way_leaves_nothing(model, tmp_path, change):
    with pytest.raises(ModelError, match="changed while it was copied to this node; run the job again"):
        fetch(model, tmp_path / "copies", Spoilt(str(model), change))
    assert not [path for path in (tmp_path / "copies").iterdir() if path.is_dir()]


@pytest.mark.parametrize("name", ["../config.json", "/etc/passwd", "a/../../b.json", "a\nb.json"])
def test_a_name_that_leads_out_of_the_folder_is_refused(model, tmp_path, name):
    source = FolderSource(str(model))
    (tmp_path / "copies").mkdir()
    with pytest.raises(ValueError):
        source.read(name, 0)
    with pytest.raises(ValueError):
        copied(str(model), source, {name: (3, 0)}, tmp_path / "copies", lambda done, total: None)


def test_what_a_killed_process_left_goes_with_the_next_one(model, tmp_path):
    folder = fetch(model, tmp_path / "copies")
    left = folder.parent / f".{folder.name}-killed"
    shutil.move(folder, left)
    assert fetch(model, tmp_path / "copies") == folder and not left.exists()


def test_copies_that_nobody_uses_make_room(model, tmp_path, monkeypatch):
    """Used by another process, by this one, by nobody: only the last goes, and only where the disk is nearly full."""
    copies = tmp_path / "copies"
    held = fetch(model, copies)
    (model / "config.json").write_text("second")
    unused = fetch(model, copies)
    os.close(model_copies._KEPT.pop())
    program = "import fcntl, os, sys\nfcntl.flock(os.open(sys.argv[1], os.O_RDONLY), fcntl.LOCK_SH)\n"
    program += "print(flush=True)\nsys.stdin.read()"
    (model / "config.json").write_text("third")
    elsewhere = fetch(model, copies)
    os.close(model_copies._KEPT.pop())
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", program, elsewhere], **pipes) as other:
        other.stdout.readline()
        (model / "config.json").write_text("with room")
        fetch(model, copies)
        assert unused.exists()
        monkeypatch.setattr(model_copies.shutil, "disk_usage", lambda path: Usage(10**6, 0, 90_000))
        (model / "config.json").write_text("without")
        fetch(model, copies)
        assert not unused.exists() and held.exists() and elsewhere.exists()
        other.stdin.close()
    monkeypatch.setattr(model_copies.shutil, "disk_usage", lambda path: Usage(10**6, 0, 3))
    (model / "config.json").write_text("none at all")
    with pytest.raises(ModelError, match=r"takes 0 MiB and .* has room for 0; free some, or set CRUCIBLE_CACHE"):
        fetch(model, copies)
    assert not elsewhere.exists() and held.exists()


def test_a_process_reads_a_model_from_its_copy_under_its_own_name(tiny_student, tmp_path):
    import torch

    from train.base_model import load_base
    from train.config import TrainConfig

    folder = fetch(tiny_student, tmp_path / "copies")
    name = "/a/folder/of/another/machine"
    read_from(name, str(folder))
    assert place_of(name) == str(folder) and place_of("owner/model") == "owner/model"
    assert load_tokenizer(name)("a b")["input_ids"] == load_tokenizer(tiny_student)("a b")["input_ids"]
    base = load_base(name, TrainConfig(), torch.device("cpu"))
    assert base.name_or_path == name, "what an adapter records"
