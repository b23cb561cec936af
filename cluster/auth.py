"""The token of a Ray cluster: created once, kept in a file that only its user can read, copied to nodes by ssh.

Whoever has it can run code on the cluster. On a cluster without a token, that is whoever reaches its ports.
"""

from __future__ import annotations

import os
import secrets
import stat
import subprocess
from pathlib import Path

MODE, TOKEN, PATH = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"
"""Ray's variables: `token` requires a token; the token itself; the file that holds it."""
SSH_SECONDS = 60.0
FIX = f"make one (crucible token), export {MODE}=token on every node before `ray start`, and start the cluster again"
RECEIVE = "umask 077 && mkdir -p ~/.ray && chmod 700 ~/.ray && cat > ~/.ray/auth_token && chmod 600 ~/.ray/auth_token"
"""The command that a node runs, with the token on standard input: so it appears in no list of processes."""


class TokenError(RuntimeError):
    """The token cannot be created, read or sent; the message is one line with the fix."""


def token_path() -> Path:
    """The file that Ray reads the token from."""
    return Path(os.environ.get(PATH) or Path.home() / ".ray" / "auth_token")


def make_token(renew: bool = False) -> Path:
    """The file with the token, created if missing; `renew` creates a new one. Raises TokenError.

    The file has mode 0600 and its folder, if it is Ray's own, 0700: Ray itself leaves them to the umask.
    """
    path = token_path()
    try:
        _private_folder(path.parent)
        if renew:
            path.unlink(missing_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            read_token()
            return path
        with open(handle, "w") as file:
            os.fchmod(handle, 0o600)
            file.write(secrets.token_hex(32))
    except OSError as error:
        raise TokenError(f"no token can be kept in {path} ({error.strerror}); set {PATH} to a file of yours") from None
    return path


def read_token() -> str:
    """The token, from this user's file, which is made private if others could read it. Raises TokenError."""
    path = token_path()
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except OSError as error:
        raise TokenError(f"{path} cannot be read ({error.strerror}); crucible token --renew makes another") from None
    with open(handle, errors="replace") as file:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise TokenError(f"{path} is no file of this user; set {PATH} to another, or remove it")
        if found.st_mode & 0o077:
            os.fchmod(handle, 0o600)
        token = file.read(4096).strip()
    if len(token) < 16 or not (token.isascii() and token.isprintable()) or " " in token:
        raise TokenError(f"{path} holds no token; crucible token --renew makes one")
    return token


def send_token(host: str) -> None:
    """Writes the token to `host` (as ssh takes it) as its user's own. Raises TokenError."""
    if not host or host.startswith("-") or not host.isprintable():
        raise TokenError(f"{host!r} is no host that ssh takes; give USER@HOST")
    token = read_token()
    command = ["ssh", "--", host, RECEIVE]
    try:
        done = subprocess.run(
            command, input=token, text=True, errors="replace", capture_output=True, timeout=SSH_SECONDS
        )
        reason = (done.stderr.strip() or f"exit status {done.returncode}") if done.returncode else ""
    except (OSError, subprocess.TimeoutExpired) as error:
        reason = str(error)
    if reason:
        shown = "".join(char if char.isprintable() else " " for char in reason)[-200:]
        raise TokenError(f"{host} did not take the token ({shown}); try: ssh {host} true")


def use_local_token() -> None:
    """Sets the token for a local Ray: this user's, or a new one if no file can hold it."""
    if os.environ.get(TOKEN):
        return
    try:
        make_token()
    except TokenError:
        if PATH in os.environ:
            raise
        os.environ[TOKEN] = secrets.token_hex(32)


def _private_folder(folder: Path) -> None:
    """Creates the token's folder; makes it private if it is Ray's own. Raises TokenError, OSError."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = folder.stat()
    if found.st_uid == os.geteuid() and folder.name == ".ray":
        folder.chmod(0o700)
    elif found.st_uid not in (os.geteuid(), 0) or found.st_mode & 0o022:
        raise TokenError(f"others may write to {folder}, and so replace the token; set {PATH} to a file elsewhere")
