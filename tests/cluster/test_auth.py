"""The token: made privately, sent unseen, and asked for by the cluster before anything is sent to it."""

import http.server
import os
import stat
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cluster import auth
from cluster.address import open_dashboard
from cluster.auth import TokenError, make_token, read_token, send_token, use_local_token
from pipelines.remote import cluster_token, submit

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    for name in (auth.MODE, auth.TOKEN, auth.PATH, "RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    (tmp_path / "home").mkdir()
    return tmp_path / "home"


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_it_is_this_users_alone_whatever_the_umask(home):
    before = os.umask(0)
    try:
        path = make_token()
    finally:
        os.umask(before)
    assert path == home / ".ray" / "auth_token" and mode(path) == 0o600 and mode(path.parent) == 0o700
    token = path.read_text()
    assert len(token) == 64 and make_token().read_text() == token and make_token(renew=True).read_text() != token


def test_what_ray_left_open_is_closed(home):
    (home / ".ray").mkdir(mode=0o755)
    path = home / ".ray" / "auth_token"
    path.write_text("a" * 64)
    path.chmod(0o644)
    assert make_token().read_text() == "a" * 64 and mode(path) == 0o600 and mode(path.parent) == 0o700


def test_it_is_printed_when_asked_for_alone(home, capsys):
    assert cluster_token.main([]) == 0
    shown = capsys.readouterr()
    token = read_token()
    assert token not in shown.out + shown.err and "export RAY_AUTH_MODE=token" in shown.out
    assert cluster_token.main(["--show"]) == 0 and capsys.readouterr().out == token + "\n"


@pytest.mark.parametrize("case", ["link", "folder", "fifo", "empty", "text", "short", "binary"])
def test_what_is_no_token_of_ours_is_refused_in_one_line(home, tmp_path, case, capsys):
    path = home / ".ray" / "auth_token"
    path.parent.mkdir()
    precious = tmp_path / "precious"
    precious.write_text("b" * 64)
    precious.chmod(0o644)
    {
        "link": lambda: path.symlink_to(precious),
        "folder": path.mkdir,
        "fifo": lambda: os.mkfifo(path),
        "empty": path.touch,
        "text": lambda: path.write_text("two words of text here"),
        "short": lambda: path.write_text("abc"),
        "binary": lambda: path.write_bytes(os.urandom(64)),
    }[case]()
    assert cluster_token.main([]) == 2
    error = capsys.readouterr().err
    assert error.startswith("crucible: ") and error.count("\n") == 1 and str(path) in error
    assert mode(precious) == 0o644 and precious.read_text() == "b" * 64


@pytest.mark.skipif(os.geteuid() != 0, reason="plays another user")
def test_a_folder_or_file_of_another_user_is_refused(tmp_path, monkeypatch):
    (tmp_path / "shared").mkdir(mode=0o777)
    (tmp_path / "shared").chmod(0o1777)
    monkeypatch.setenv(auth.PATH, str(tmp_path / "shared" / "token"))
    with pytest.raises(TokenError, match="others may write"):
        make_token()
    (tmp_path / "own").mkdir(mode=0o755)
    monkeypatch.setenv(auth.PATH, str(tmp_path / "own" / "token"))
    (tmp_path / "own" / "token").write_text("c" * 64)
    os.chown(tmp_path / "own" / "token", 65534, 65534)
    with pytest.raises(TokenError, match="no file of this user"):
        make_token()


def test_a_local_ray_has_a_token_even_where_none_can_be_kept(home, monkeypatch):
    home.rmdir()
    home.write_text("")  # a container without a home
    use_local_token()
    assert len(os.environ[auth.TOKEN]) == 64
    monkeypatch.delenv(auth.TOKEN)


SSH = """#!/bin/sh
printf '%s\\n' "$@" > "$SEEN"
[ "$1" = -- ] || exit 9
[ "$2" != me@closed ] || { printf 'refused\\033[31m\\n' >&2; exit 255; }
HOME="$NODE" exec sh -c "$3"
"""


def test_it_is_brought_to_a_node_and_stands_in_no_list_of_processes(home, tmp_path, monkeypatch, capsys):
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "ssh").write_text(SSH)
    (tmp_path / "bin" / "ssh").chmod(0o755)
    node = tmp_path / "node"
    (node / ".ray").mkdir(parents=True)
    (node / ".ray" / "auth_token").write_text("old")
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    monkeypatch.setenv("NODE", str(node))
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    assert cluster_token.main(["--to", "me@node"]) == 0
    token = read_token()
    there = node / ".ray" / "auth_token"
    assert there.read_text() == token and mode(there) == 0o600 and mode(there.parent) == 0o700
    assert token not in (tmp_path / "seen").read_text() + capsys.readouterr().out
    assert cluster_token.main(["--to", "me@closed"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("crucible: me@closed did not take") and error[:-1].isprintable() and token not in error


@pytest.mark.parametrize("host", ["-oProxyCommand=touch /tmp/x", "", "a\nb"])
def test_no_host_is_an_option_of_ssh(host):
    make_token()
    with pytest.raises(TokenError, match="no host that ssh takes"):
        send_token(host)


class Dashboard(http.server.BaseHTTPRequestHandler):
    """As much of one as is asked before a submission; `status` is its answer to those without a token."""

    status = 200
    asked = ()

    def do_GET(self):
        type(self).asked = (*self.asked, (self.path, self.headers.get("Authorization")))
        self.send_response(self.status if self.path == "/api/jobs/" else 200)
        if self.status == 302:
            self.send_header("Location", "https://login.example")
        self.end_headers()
        self.wfile.write(b'{"version": "4", "ray_version": "2.60.0", "ray_commit": "x"}')

    def log_message(self, *arguments):
        pass


@pytest.fixture
def dashboard(monkeypatch):
    monkeypatch.setattr(Dashboard, "asked", ())
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Dashboard) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(("status", "is_open"), [(200, True), (401, False), (403, False), (302, False), (204, True)])
def test_a_dashboard_is_open_that_answers_without_a_token(dashboard, home, monkeypatch, status, is_open):
    monkeypatch.setattr(Dashboard, "status", status)
    (home / ".netrc").write_text("machine 127.0.0.1 login a password b\n")
    (home / ".netrc").chmod(0o600)
    monkeypatch.setenv(auth.TOKEN, "d" * 64)
    assert open_dashboard(dashboard) is is_open
    assert Dashboard.asked == (("/api/jobs/", None),), "neither the token nor a password of ~/.netrc is shown"


def test_nothing_is_submitted_to_an_open_cluster(dashboard, monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(Dashboard, "status", 200)
    assert submit.main(["--address", dashboard, "--", "problems", "list"]) == 2
    error = capsys.readouterr().err
    assert (
        error.startswith(f"crucible: the Ray cluster at {dashboard} answers without a token") and error.count("\n") == 1
    )
    assert "crucible token" in error and "RAY_AUTH_MODE=token" in error
    assert {path for path, _ in Dashboard.asked} <= {"/api/version", "/api/jobs/"}


def test_the_documentation_asks_for_the_token_before_it_starts_ray():
    text = (ROOT / "docs" / "cluster.md").read_text()
    made, exported, started = (
        text.index(what) for what in ("crucible token", "export RAY_AUTH_MODE=token", "ray start --head")
    )
    assert made < exported < started


def test_no_token_is_sent_from_an_environment_that_has_none(home):
    done = subprocess.run(
        [sys.executable, "-m", "pipelines.cli", "token", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0 and "--renew" in done.stdout and not (home / ".ray").exists()
