"""No secret goes to a cluster that nobody asked for by name, from a git checkout or from a folder."""

import os
import subprocess
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cluster import secret_files
from cluster.secret_files import FILES, FOLDERS, is_secret_name, secret_in
from cluster.upload import UploadError, pack_directory, select

ROOT = Path(__file__).resolve().parents[2]
CODE = {"pipelines/cli.py": "code", "pipelines/secrets.py": "import secrets", "tokenizer.json": "{}", "keys.md": "a"}
SECRET = [
    "secrets.env", ".env", ".env.production", "prod.env", ".envrc", "deploy/server.pem", "id_rsa", "id_ed25519.pub",
    ".aws/credentials", "deploy/.aws/config", ".netrc", ".pypirc", "kubeconfig", "kubeconfig.yaml", ".kube/config",
    "credentials.json", "gcp-credentials-prod.json", "tls.key", ".git-credentials", ".npmrc", ".docker/config.json",
    "my-service-account.json", "ID_RSA", "Server.PEM", "secrets.env.bak", ".secrets.env.swp", "id_rsa~", "pip.conf",
    "terraform.tfstate", ".ssh/known_hosts", ".envs/production/django", "auth_token", ".ray/auth_token",
]  # fmt: skip
BY_CONTENT = {
    "deploy/key": "-----BEGIN OPENSSH PRIVATE KEY-----\nabc\n",
    "robot.json": '{"type": "service_account", "private_key": "x"}',
    "notes.txt": "sk-ant-" + "api03-" + "x" * 40,
    "config/deploy.yaml": "token: hf_" + "a" * 34,
}


def lay(folder, files):
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)


def git(folder, *arguments):
    identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    subprocess.run(["git", *identity, *arguments], cwd=folder, check=True, capture_output=True)


def packed(folder, target, include=()):
    found = select(folder, include)
    with zipfile.ZipFile(pack_directory(folder, target, found)) as package:
        return {name: package.read(name).decode() for name in package.namelist()}, found


@pytest.fixture(params=["checkout", "folder"])
def work(request, tmp_path):
    """A working directory with secrets in it: all of it tracked by git, or no checkout."""
    folder = tmp_path / "work"
    lay(folder, CODE | dict.fromkeys(SECRET, "secret") | BY_CONTENT)
    if request.param == "checkout":
        git(folder, "init")
        git(folder, "add", "--force", ".")
    return folder


def test_secrets_stay_even_where_git_tracks_them(work, tmp_path):
    files, found = packed(work, tmp_path / "up.zip")
    assert set(files) == set(CODE)
    shown = found.summary()
    assert "\n" not in shown and "secrets: " in shown and "--include" in shown
    lost = set(SECRET) | set(BY_CONTENT)
    # A folder that is hidden is not entered outside of a checkout: it stays all the same.
    assert {s for s in lost if not any(part.startswith(".") for part in Path(s).parts[:-1])} <= set(found.secrets)


def test_what_is_asked_for_by_name_goes_along(work, tmp_path):
    files, found = packed(work, tmp_path / "up.zip", ["secrets.env", "deploy"])
    assert set(files) == {*CODE, "secrets.env"}, "a folder's secrets do not go with the folder"
    assert "secrets.env" not in found.secrets and "deploy/server.pem" in found.secrets


def test_what_git_does_not_track_stays_and_is_named(tmp_path):
    work = tmp_path / "work"
    lay(work, CODE | {"data/new.jsonl": "{}", "mine/.env": "", "ignored/a.py": "", ".gitignore": "ignored/\n"})
    git(work, "init")
    git(work, "add", ".gitignore", "pipelines")
    files, found = packed(work, tmp_path / "up.zip")
    assert set(files) == {".gitignore", "pipelines/cli.py", "pipelines/secrets.py"}
    assert "not tracked by git: data/new.jsonl, keys.md, tokenizer.json" in found.summary()
    assert "secrets: mine/.env" in found.summary()
    files, found = packed(work, tmp_path / "again.zip", ["data", "ignored/a.py"])
    assert {"data/new.jsonl", "ignored/a.py"} < set(files) and "keys.md" not in files
    (work / "pipelines" / "cli.py").unlink()
    files, _ = packed(work / "pipelines", tmp_path / "deeper.zip")
    assert set(files) == {"secrets.py"}, "a folder of a checkout, one of whose files is deleted"


@pytest.mark.parametrize("checkout", [True, False])
def test_links_lead_to_what_goes_up_or_nowhere(tmp_path, checkout):
    work, outside = tmp_path / "work", tmp_path / "outside"
    lay(work, CODE | {"data/a.txt": "a", "prod.env": "secret"})
    lay(outside, {"password.txt": "secret", "deep/password.txt": "secret"})
    links = {
        "l_out": outside / "password.txt", "l_folder_out": outside, "l_secret": "prod.env", "l_up": "../outside/deep",
        "l_loop": "l_loop", "l_self": ".", "l_passwd": "/etc/passwd", "l_root": "/", "l_git": ".git/config",
        "l_good": "data/a.txt", "data/l_good": "../pipelines/cli.py", "l_good_folder": "data", "l_chain": "l_out",
    }  # fmt: skip
    for name, target in links.items():
        (work / name).symlink_to(target)
    os.mkfifo(work / "fifo")
    if checkout:
        git(work, "init")
        git(work, "add", "--force", *CODE, "data", "prod.env", *links)
        # A tracked folder that has since become a link.
        (work / "data" / "sub").mkdir()
        lay(work, {"data/sub/password.txt": "fine"})
        git(work, "add", "data/sub/password.txt")
        (work / "data" / "sub" / "password.txt").unlink()
        (work / "data" / "sub").rmdir()
        (work / "data" / "sub").symlink_to(outside)
    files, found = packed(work, tmp_path / "up.zip")
    good = {"l_good": "a", "data/l_good": "code", "l_good_folder/a.txt": "a"}
    assert {name: text for name, text in files.items() if name not in CODE} == good | {"data/a.txt": "a"}
    assert {"l_out", "l_folder_out", "l_secret", "l_up", "l_loop", "l_passwd", "l_root", "l_chain"} <= set(found.links)
    assert "links that lead out: " in found.summary()


@pytest.mark.parametrize("name", ["../outside.txt", "/etc/passwd", ".", "none.txt", "l_out", "l_dir/x.txt", "a/../.."])
def test_what_is_included_lies_in_the_folder(tmp_path, name):
    work = tmp_path / "work"
    lay(work, CODE)
    lay(tmp_path, {"outside.txt": "", "dir/x.txt": ""})
    (work / "l_out").symlink_to(tmp_path / "outside.txt")
    (work / "l_dir").symlink_to(tmp_path / "dir")
    with pytest.raises(UploadError, match=r"--include .*(is not in|no such file)") as caught:
        select(work, [name])
    assert "\n" not in str(caught.value)


def test_a_checkout_that_git_does_not_read_is_no_folder_without_git(tmp_path):
    lay(tmp_path, CODE)
    git(tmp_path, "init")
    (tmp_path / ".git" / "config").write_text("[core\n")
    with pytest.raises(UploadError, match=r"git cannot list the files") as caught:
        select(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_checkouts_own_configuration_runs_nothing(tmp_path):
    work = tmp_path / "work"
    lay(work, CODE)
    git(work, "init")
    git(work, "add", ".")
    git(work, "config", "core.fsmonitor", f"touch {tmp_path}/ran; false")
    select(work)
    assert not (tmp_path / "ran").exists()


def test_names_with_control_characters_reach_no_terminal(tmp_path):
    lay(tmp_path, CODE | {"a\x1b[31m\nb.pem": ""})
    assert select(tmp_path).summary().isprintable()


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(SECRET), st.sampled_from(["", "a/", "deep/er/", ".hidden/"]), st.sampled_from(["", ".bak", "~"]))
def test_a_secret_is_one_wherever_it_lies(name, folder, copy):
    assert is_secret_name(folder + name + copy)


@pytest.mark.parametrize(
    "name",
    [
        "README.md", "verify/sandbox/syscalls.py", "environment.py", "secrets.py", "tokens.py", "key.py", "monkey.txt",
        "tokenizer.json", "credentials.py", "pipelines/env.py", "turkey", "keys/__init__.py", "a.envelope",
        "config.json",
    ],
)  # fmt: skip
def test_honest_names_go_up(name):
    assert not is_secret_name(name)


def test_every_tracked_file_of_ours_goes_up():
    found = select(ROOT)
    assert not found.secrets and not found.links


@pytest.mark.parametrize("name", [".rayignore", ".dockerignore", "cluster/manifests/launcher.yaml"])
def test_all_lists_name_all_secrets(name):
    text = (ROOT / name).read_text()
    missing = [pattern for pattern in (*FILES, *FOLDERS) if pattern not in text]
    assert not missing


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("--extra-index-url https://me:pw@host/simple", "password in the URL of host"),
        ("a @ https://token@host/a.whl", "password in the URL of host"),
        ("--find-links=http://me:@10.0.0.1/", "password in the URL"),
        ("--teacher.base-url=https://x:y@[::1]:8000", "password in the URL"),
        ("https://host/simple?access_token=abc", "a key in the URL"),
        ("s3://KEY:SECRET@bucket/runs", "password in the URL"),
        ("--teacher.api-key sk-ant-" + "api03-abcdefghijklmnopqrst", "a key"),
        ("git+ssh://me:pw@host/a.git", "password in the URL"),
    ],
)
def test_a_text_that_ray_would_log_with_a_secret_in_it(text, reason):
    assert reason in secret_in(["fine", text])
    assert not any(part in secret_in([text]) for part in ("pw", "SECRET", "abc", "token@"))


@pytest.mark.parametrize(
    "text",
    [
        "--index-url https://pypi.org/simple", "peft==0.21.2", "https://${USER}:${PASSWORD}@host/simple",
        "git+ssh://git@github.com/a/b.git", "a@b.c", "s3://bucket/runs?region=eu", "https://$TOKEN@host/x",
        "https://host/x?token=${TOKEN}", "risk-ant-farm",
    ],
)  # fmt: skip
def test_an_honest_text_passes(text):
    assert secret_in([text]) == ""


@settings(max_examples=60, deadline=1000)
@given(st.text(max_size=3000))
def test_any_text_is_read(text):
    secret_in([text, "https://" + text, text * 20])
    secret_files.is_secret_name(text.replace("\0", "") or "a")
