"""What goes up to a cluster, and above all what does not."""

import os
import subprocess
import sys
import zipfile

import pytest

from cluster import handover, upload
from cluster.upload import UploadError, pack_directory

CODE = {"pipelines/cli.py": "code", "pipelines/configs/demo.yaml": "steps: 3", "README.md": "text"}
OTHER = {
    "runs/demo/config.yaml": "a: 1",
    ".venv/pyvenv.cfg": "",
    ".git/config": "",
    ".env": "KEY=secret",
    "pipelines/__pycache__/cli.pyc": "",
    "weights.safetensors": "",
}
KNOWN_BY_CONTENT = {
    "my-env/pyvenv.cfg": "",
    "my-env/lib/site.py": "",
    "results/one/config.yaml": "",
    "results/one/samples/a.parquet": "",
    "results/one/checkpoints/000001/state.pt": "",
    "qwen/config.json": "{}",
    "qwen/pytorch_model.bin": "",
}


def lay(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def names(package):
    with zipfile.ZipFile(package) as packed:
        return {name for name in packed.namelist() if not name.endswith("/")}


def test_code_goes_up_and_the_rest_stays_here(tmp_path):
    lay(tmp_path / "work", CODE | OTHER | KNOWN_BY_CONTENT | {"mine/notes.txt": ""})
    (tmp_path / "work" / ".gitignore").write_text("runs/\nmine/\n")
    packed = names(pack_directory(tmp_path / "work", tmp_path / "up.zip"))
    assert packed == {*CODE, ".gitignore"}


def test_the_rayignore_serves_plain_ray_job_submit_too(tmp_path):
    from ray._private.runtime_env.packaging import create_package

    root = os.path.dirname(os.path.dirname(handover.__file__))
    lay(tmp_path / "work", CODE | OTHER)
    for name in (".gitignore", ".rayignore"):
        with open(os.path.join(root, name)) as file:
            (tmp_path / "work" / name).write_text(file.read())
    create_package(str(tmp_path / "work"), tmp_path / "up.zip", include_gitignore=True)
    assert names(tmp_path / "up.zip") == {*CODE, ".gitignore", ".rayignore"}


def test_more_than_ray_takes_is_refused_with_the_largest_named(tmp_path, monkeypatch):
    monkeypatch.setattr(upload, "LIMIT", 10_000)
    lay(tmp_path / "work", CODE)
    (tmp_path / "work" / "big.dat").write_bytes(os.urandom(20_000))
    with pytest.raises(UploadError, match=r"the largest: big[.]dat .*[.]rayignore"):
        pack_directory(tmp_path / "work", tmp_path / "up.zip")


def test_handed_over_variables_reach_the_module_and_its_arguments(tmp_path):
    handover.pack(tmp_path, {"SECRET": "päss=wörd\n'"})
    (tmp_path / "job.py").write_text("import os, sys; print(ascii(os.environ['SECRET']), sys.argv[1:], __name__)")
    command = [sys.executable, "-m", "cluster.handover", "job", "--x", "1"]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path), *sys.path])}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ascii("päss=wörd\n'") + " ['--x', '1'] __main__"
    assert (tmp_path / handover.PACKAGE / "values.json").stat().st_mode & 0o077 == 0


def test_no_file_of_what_is_handed_over_is_open_to_others(tmp_path):
    before = os.umask(0)
    try:
        package = handover.pack(tmp_path, {"SECRET": "x"})
    finally:
        os.umask(before)
    assert package.stat().st_mode & 0o077 == 0
    assert not [path for path in package.iterdir() if path.stat().st_mode & 0o077]


def test_the_name_of_an_upload_tells_nothing_of_the_values(tmp_path):
    from ray._private.runtime_env.packaging import get_uri_for_directory

    uris = set()
    for name in "ab":
        (tmp_path / name).mkdir()
        uris.add(get_uri_for_directory(str(handover.pack(tmp_path / name, {"KEY": "1"})), include_gitignore=True))
    assert len(uris) == 2
