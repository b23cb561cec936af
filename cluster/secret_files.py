"""How to recognise a secret: names of files that hold keys, texts that are keys, and URLs with a password in them.

The one list for everything that leaves this machine: `crucible submit`, `.rayignore`, `.dockerignore` and the cluster
launcher.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from urllib.parse import parse_qsl, urlsplit

FILES = (
    ".env*", "*.env", "*.env.local", "*.env.prod*", "*.env.dev*", "*.env.stag*", "*.env.test*",
    "*.envrc", "*.pem", "*.key", "*.p8", "*.p12", "*.pfx", "*.ppk",
    "*.jks", "*.keystore", "*.kdbx", "*.agekey", "*.ovpn", "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", ".netrc",
    "_netrc", ".pypirc", ".npmrc", ".yarnrc*", "pip.conf", "pip.ini", ".git-credentials", ".gitcredentials",
    "kubeconfig*", "*.kubeconfig", "credentials", "*credentials*.json", "credentials.y*ml", "credentials.toml",
    "credentials.ini", "credentials.csv", "client_secret*.json", "*service?account*.json", "*serviceaccount*.json",
    "secrets.json", "secrets.y*ml", "secrets.toml", "secrets.txt", "*.tfstate*", "*.tfvars*", ".htpasswd", ".pgpass",
    ".my.cnf", ".s3cfg", ".boto", ".dockercfg", ".vault-token", "auth_token", "*.token", "kaggle.json", "rootkey.csv",
    "*accesskeys*.csv", ".modal.toml", "access_tokens.db", "credentials.db",
    ".*_history",
)  # fmt: skip
"""Names of files, in lower case; also with the suffix of a copy (`COPIES`)."""
FOLDERS = (
    ".aws", ".ssh", ".gnupg", ".kube", ".docker", ".azure", ".gcloud", ".oci", ".ray", ".huggingface", ".kaggle",
    ".secrets", ".env*",
)  # fmt: skip
"""Folders whose content is all private."""
COPIES = (".bak", ".backup", ".old", ".orig", ".save", ".copy", ".swp", ".swo", ".tmp", ".1", "~")
CODE = (
    ".py", ".pyi", ".pyx", ".ipynb", ".sh", ".toml", ".cfg", ".ini", ".jinja", ".j2", ".c", ".cc", ".cpp", ".cu", ".h",
    ".hpp", ".rs", ".go", ".js", ".ts",
)  # fmt: skip
"""Suffixes of files that people write."""
NOT_READ = (".py", ".pyi", ".pyx", ".md", ".rst", ".jinja", ".c", ".cc", ".cpp", ".cu", ".h", ".hpp", ".rs", ".go")
"""Suffixes of files whose content is not searched: a program would not run without one of its modules."""
HEAD = 1 << 16
"""Bytes of a file that are searched for keys."""

KEY = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY|AGE-SECRET-KEY-1[0-9A-Z]{20}|\bsk-ant-[\w-]{20}|\bhf_[A-Za-z0-9]{30}"
    r"|\bgh[pousr]_[A-Za-z0-9]{36}|\bgithub_pat_\w{22}|\bAKIA[0-9A-Z]{16}\b|\bxox[baprs]-[\w-]{20}"
    r"|aws_secret_access_key[\"' \t]{0,4}[=:][\"' \t]{0,4}[A-Za-z0-9/+]{40}"
)
"""Texts that are keys."""
SECRET_PARAMETERS = re.compile(r"(?i)token|passw|secret|signature|^sig$|api.?key|credential")
_PLACEHOLDER = re.compile(r"\$\{\w+\}(:\$\{\w+\})?|\$\w+(:\$\w+)?")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]{0,30}://[^\s'\"<>]+")


def is_secret_name(path: str | PurePosixPath) -> bool:
    """Whether a file with this relative path is a secret by its name, or by that of a folder in the path."""
    *folders, name = PurePosixPath(path).as_posix().lower().split("/")
    if any(fnmatchcase(folder, pattern) for folder in folders for pattern in FOLDERS):
        return True
    while name.endswith(COPIES):
        name = name[: -next(len(ending) for ending in COPIES if name.endswith(ending))]
    # vim's copy of `secrets.env` is `.secrets.env.swp`.
    return any(fnmatchcase(one, pattern) for one in (name, name.removeprefix(".")) for pattern in FILES)


def is_secret_file(path: Path) -> bool:
    """Whether a regular file holds a key in its first `HEAD` bytes. False if it cannot be read."""
    if path.name.endswith(NOT_READ):
        return False
    try:
        with open(path, "rb", opener=_opener) as file:
            head = file.read(HEAD).decode("utf-8", "replace") if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else ""
    except OSError:
        return False
    return KEY.search(head) is not None or ('"service_account"' in head and '"private_key"' in head)


def secret_in(texts: Iterable[str]) -> str:
    """Why one of these texts must not be shown, without the secret itself; "" if all may be.

    Secrets are a password or user name in a URL, a key among its parameters, and a text with the form of a key.
    Placeholders such as ${NAME}, which are filled in elsewhere, and the user `git` of ssh are not.
    """
    for text in texts:
        if KEY.search(text):
            return "a key"
        for url in _URL.findall(text):
            if reason := _secret_in_url(url):
                return reason
    return ""


def _secret_in_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        host = (parts.hostname or "")[:100]
    except ValueError:
        return "a URL that cannot be read"
    user, at, _ = parts.netloc.rpartition("@")
    if at and not _PLACEHOLDER.fullmatch(user) and not ("ssh" in parts.scheme and ":" not in user):
        return f"a user name or password in the URL of {host}"
    for name, value in parse_qsl(parts.query) + parse_qsl(parts.fragment):
        if SECRET_PARAMETERS.search(name) and value and not _PLACEHOLDER.fullmatch(value):
            return f"a key in the URL of {host}"
    return ""


def _opener(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)
