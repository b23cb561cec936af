"""What a node has packed is unpacked as plain files in one folder, or not at all."""

import gzip
import io
import tarfile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster import archive, pack
from cluster.archive import ArchiveError, unpack


def member(name, content=b"x", **more):
    info = tarfile.TarInfo(name)
    info.size = len(content)
    for key, value in more.items():
        setattr(info, key, value)
    return info, content


def write(path, *members, **more):
    with tarfile.open(path, "w", **more) as tar:
        for info, content in members:
            tar.addfile(info, io.BytesIO(content))
    return path


LINKS = [
    [member("a", b"", type=tarfile.SYMTYPE, linkname="/etc")],
    [member("a", b"", type=tarfile.LNKTYPE, linkname="../../victim")],
    # CVE-2025-4517: a chain of links whose resolved path is longer than PATH_MAX led out of the folder.
    [member("d" * 100, b"", type=tarfile.DIRTYPE), member("l", b"", type=tarfile.SYMTYPE, linkname="d" * 100 + "/..")],
    *([member("a", b"", type=kind)] for kind in (tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE, tarfile.DIRTYPE)),
    *([member("a", type=kind)] for kind in (tarfile.GNUTYPE_SPARSE, tarfile.CONTTYPE)),
]
NAMES = ["/etc/passwd", "../up", "a/../../b", "", ".", "a\\b", "a\nb", "x" * 300, "a/" * 40 + "b", "nul"]


@pytest.mark.parametrize("members", [*LINKS, *([member(name)] for name in NAMES), [member("a"), member("a")],
                                     [member("a"), member("a/b")]])  # fmt: skip
def test_what_is_no_plain_file_of_the_folder_is_refused(tmp_path, members):
    packed = write(tmp_path / "packed.tar", member("first"), *members)
    with pytest.raises(ArchiveError) as error:
        unpack(packed, tmp_path / "whole")
    assert str(error.value).isprintable()
    assert {path.name for path in tmp_path.iterdir()} == {"packed.tar", "whole"}
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))


def test_neither_modes_nor_owners_are_taken_from_it(tmp_path):
    packed = write(tmp_path / "packed.tar", member("deep/er/file", b"content", mode=0o6777, uid=12345, mtime=1))
    assert unpack(packed, tmp_path / "whole") == 7
    found = (tmp_path / "whole/deep/er/file").stat()
    assert not found.st_mode & 0o6111 and found.st_uid != 12345 and found.st_mtime > 1e9


def test_bombs_are_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr(archive, "MOST_FILES", 5)
    packed = write(tmp_path / "many.tar", *(member(f"f{n}") for n in range(6)))
    with pytest.raises(ArchiveError, match="more than 5 members"):
        unpack(packed, tmp_path / "many")
    (tmp_path / "zipped.tar").write_bytes(gzip.compress(packed.read_bytes()))
    with pytest.raises(ArchiveError, match="damaged"):
        unpack(tmp_path / "zipped.tar", tmp_path / "zipped")
    # A chain of long names makes tarfile call itself; one file says that it is larger than the archive.
    long = tarfile.TarInfo("x" * 200).tobuf(tarfile.GNU_FORMAT)[:1024] * 3000
    (tmp_path / "chain.tar").write_bytes(long)
    with pytest.raises(ArchiveError, match="damaged"):
        unpack(tmp_path / "chain.tar", tmp_path / "chain")
    huge = tarfile.TarInfo("huge")
    huge.size = 1 << 40
    (tmp_path / "huge.tar").write_bytes(huge.tobuf() + b"x" * 2048)
    with pytest.raises(ArchiveError, match=r"damaged|cut off"):
        unpack(tmp_path / "huge.tar", tmp_path / "huge")


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_damage_is_one_error(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damage")
    content = bytearray(write(folder / "a.tar", member("a" * 150, b"y" * 700), member("b/c")).read_bytes())
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, 2500))] = data.draw(st.integers(0, 255))
    (folder / "a.tar").write_bytes(content[: data.draw(st.integers(0, len(content)))])
    try:
        unpack(folder / "a.tar", folder / "whole")
    except ArchiveError as error:
        assert "\n" not in str(error)
    assert {path.name for path in folder.iterdir()} <= {"a.tar", "whole"}


def test_what_pack_packs_is_unpacked_and_links_are_not_packed(tmp_path):
    run = tmp_path / "run"
    (run / "samples").mkdir(parents=True)
    (run / "samples/a").write_text("a")
    (run / "same").hardlink_to(run / "samples/a")
    (tmp_path / "secret").write_text("key")
    (run / "out").symlink_to(tmp_path / "secret")
    (run / "away").symlink_to(tmp_path)
    pack.pack(run, tmp_path / "run.tar")
    assert unpack(tmp_path / "run.tar", tmp_path / "back") == 2
    assert sorted(path.name for path in (tmp_path / "back").rglob("*")) == ["a", "same", "samples"]


def test_a_node_packs_runs_of_the_submitted_folder_alone(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("HERE", str(tmp_path))
    runs, elsewhere = tmp_path / "runs", tmp_path / "elsewhere"
    for folder in (runs / "mine", elsewhere / "mine", runs / "sub" / "mine", runs / "none"):
        folder.mkdir(parents=True)
        (folder / "config.yaml").touch()
    (runs / "none/config.yaml").unlink()
    (runs / "link").symlink_to(elsewhere / "mine")
    for where in ("${HERE}/runs", str(runs), f"{elsewhere}/../runs"):
        assert pack.is_run_in(runs / "mine", where)
        for folder in (elsewhere / "mine", runs / "sub/mine", runs / "none", runs / "link", runs / "../elsewhere/mine"):
            assert not pack.is_run_in(folder, where)
    assert pack.main(str(elsewhere / "mine"), "${HERE}/runs") == 1
    assert "is no run folder in ${HERE}/runs" in capsys.readouterr().out
