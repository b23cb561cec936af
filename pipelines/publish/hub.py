"""The Hugging Face Hub as this package uses it: who we are, repositories, whole commits; errors of one line.

The token is sent to the Hub's own address alone, whatever a redirect or an answer of the Hub says, and over
unencrypted HTTP to no other machine.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pipelines.errors import ConfigError
from problems.plain_text import one_line

RepoType = Literal["dataset", "model"]
CALLED = {"dataset": "data set", "model": "model"}
CARD = "README.md"
LARGEST_CARD = 1 << 20
"""Bytes of a card that is read."""
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_TRANSIENT = (408, 409, 412, 425, 429, 500, 502, 503, 504)
_PAUSES = (1.0, 3.0)
"""Seconds before each new try of a Hub that answers, and is busy, when a run begins."""
_SECONDS_TO_CONNECT, _SECONDS_OF_SILENCE = 15.0, 300.0


class HubError(RuntimeError):
    """What the Hub refused, or could not do; the message is one line with the fix."""

    def __init__(self, message: str, transient: bool = False, status: int = 0) -> None:
        super().__init__(message)
        self.transient = transient
        """Whether the same may succeed later."""
        self.status = status
        """Of HTTP; 0 where there was no answer."""


class Hub:
    """The Hub at one address, under one token."""

    def __init__(self, endpoint: str, token: str) -> None:
        from huggingface_hub import HfApi

        self.endpoint = endpoint
        self._token = token
        _guard(endpoint)
        self._api = HfApi(endpoint=endpoint, token=token)

    @classmethod
    def find(cls) -> Hub:
        """The Hub of HF_ENDPOINT, under the token of this user. Raises ConfigError."""
        from huggingface_hub import constants, get_token

        endpoint = (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")
        try:
            parts = urlsplit(endpoint)
            host = parts.hostname or ""
        except ValueError:
            host, parts = "", urlsplit("")
        if parts.scheme not in ("http", "https") or not host or parts.username or parts.password:
            raise ConfigError("HF_ENDPOINT is no address of a Hub; write it as https://HOST, or unset it")
        if parts.scheme == "http" and host not in _LOOPBACK:
            raise ConfigError(f"HF_ENDPOINT is http://{host}, where the token would travel unencrypted; use https://")
        token = get_token()
        if not token:
            raise ConfigError("push needs a token of the Hugging Face Hub: set HF_TOKEN, or run `hf auth login`")
        return cls(endpoint, token)

    def check(self, repository: str, types: Sequence[RepoType], public: bool) -> None:
        """Makes sure that the token may write there, and makes what repositories are missing. Raises ConfigError."""
        for pause in (*_PAUSES, None):
            try:
                self._check_owner(repository)
                for kind in types:
                    self._open(repository, kind, public)
                return
            except HubError as error:
                if not (error.transient and error.status) or pause is None:
                    raise ConfigError(f"push {repository}: {error}") from None
            time.sleep(pause)

    def _check_owner(self, repository: str) -> None:
        with self._errors():
            who = self._api.whoami()
        owner = repository.partition("/")[0]
        role = str(((who.get("auth") or {}).get("accessToken") or {}).get("role") or "")
        if role == "read":
            raise HubError(f"the token can only read; make one with write access at {self.endpoint}/settings/tokens")
        orgs = [org for org in who.get("orgs") or [] if isinstance(org, dict)]
        mine = [str(who.get("name") or ""), *(str(org.get("name")) for org in orgs)]
        if owner.lower() not in [name.lower() for name in mine]:
            known = ", ".join(one_line(name, 60) for name in mine[:5])
            raise HubError(f"the token belongs to {known}, and {owner} is none of them; push to {known.split(',')[0]}/"
                           f"{repository.partition('/')[2]}")  # fmt: skip
        for org in orgs:
            if str(org.get("name")).lower() == owner.lower() and org.get("roleInOrg") == "read":
                raise HubError(f"the token's user may only read in {owner}; ask an admin of it for the right to write")

    def _open(self, repository: str, kind: RepoType, public: bool) -> None:
        with self._errors(f"the {CALLED[kind]} {repository}"):
            self._api.create_repo(repository, repo_type=kind, private=not public, exist_ok=True)
        self.check_privacy(repository, kind, public)
        with self._errors(f"the {CALLED[kind]} {repository}"):
            self._api.auth_check(repository, repo_type=kind, write=True)

    def check_privacy(self, repository: str, kind: RepoType, public: bool) -> str:
        """The newest commit. Raises HubError where the repository is public and should not be, or the other way
        round."""
        with self._errors(f"the {CALLED[kind]} {repository}"):
            info = self._api.repo_info(repository, repo_type=kind)
            private = bool(info.private)
        if private == public:
            is_now, fix = ("private", "set it to False") if private else ("public", "set it to True")
            raise HubError(
                f"the {CALLED[kind]} {repository} is {is_now}, and publish.public is {public}; {fix}, change the "
                "repository's settings, or name another"
            )
        return str(info.sha or "")

    def check_card(self, card: str, kind: RepoType) -> None:
        """Raises HubError where the Hub would refuse the card's header."""
        from huggingface_hub import get_session

        headers = {"authorization": f"Bearer {self._token}"}
        with self._errors():
            answer = get_session().post(
                f"{self.endpoint}/api/validate-yaml", json={"content": card, "repoType": kind}, headers=headers
            )
            if answer.status_code == 400:
                faults = [one_line(fault.get("message"), 200) for fault in answer.json().get("errors", [])][:2]
                raise HubError(f"the Hub refuses the card: {'; '.join(faults)}; set publish.license")

    def card(self, repository: str, kind: RepoType) -> str:
        """The repository's card as it is now, "" where it has none. Raises HubError."""
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        with self._errors(), tempfile.TemporaryDirectory(prefix="crucible-") as folder:
            try:
                path = self._api.hf_hub_download(repository, CARD, repo_type=kind, local_dir=folder)
            except LocalEntryNotFoundError:  # of no connection
                raise
            except EntryNotFoundError:
                return ""
            if Path(path).stat().st_size > LARGEST_CARD:
                raise HubError(f"the {CARD} of {repository} is larger than {LARGEST_CARD >> 20} MiB; shorten it")
            return Path(path).read_text(encoding="utf-8", errors="replace")

    def commit(
        self, repository: str, kind: RepoType, files: Mapping[str, Path | bytes], message: str, parent: str = ""
    ) -> str:
        """Uploads files by their names in the repository, in one commit on `parent`; those that it has already are left
        out by the Hub's own comparison. Returns the commit's address. Raises HubError."""
        from huggingface_hub import CommitOperationAdd

        with self._errors(f"the {CALLED[kind]} {repository}"):
            changes = [CommitOperationAdd(name, source) for name, source in sorted(files.items())]
            done = self._api.create_commit(
                repository, changes, commit_message=message, repo_type=kind, parent_commit=parent or None
            )
        return str(done.commit_url)

    @contextlib.contextmanager
    def _errors(self, what: str = "") -> Iterator[None]:
        """Turns whatever the Hub's client raises into a HubError of one line, without the token."""
        try:
            yield
        except (HubError, ConfigError):
            raise
        except Exception as error:  # LFS and Xet uploads raise anything
            message, transient = self._reason(error, what)
            raise HubError(message.replace(self._token, "***"), transient, _status(error)) from None

    def _reason(self, error: Exception, what: str) -> tuple[str, bool]:
        from huggingface_hub.errors import OfflineModeIsEnabled

        status, cause = _status(error), _root(error)
        about = f" {what}" if what else ""
        if isinstance(cause, OfflineModeIsEnabled):
            return "the Hub is switched off by HF_HUB_OFFLINE; unset it, or leave push out", False
        if status == 401 and not what:
            return f"the Hub does not know the token; make one at {self.endpoint}/settings/tokens, set HF_TOKEN", False
        if status in (401, 402, 403):
            fix = f"give it write access at {self.endpoint}/settings/tokens, or name another repository"
            return f"the token may not write to{about}; {fix}", False
        if status == 404:
            return f"the Hub has not{about or ' what is asked'}; was it deleted or renamed?", False
        if status == 429:
            return "the Hub is asked too often (429); wait", True
        reason = one_line(cause, 200) or type(cause).__name__
        if status in _TRANSIENT:
            return f"the Hub cannot take{about} now ({status})", True
        if status:
            return f"the Hub refuses{about} ({reason})", False
        if _is_network(error):
            return f"the Hub at {self.endpoint} cannot be reached ({reason}); is there a network?", True
        return f"{about.strip() or 'the Hub'} cannot be written ({reason})", not isinstance(cause, ValueError)


def _guard(endpoint: str) -> None:
    """Has every request of the Hub's client in this process checked: a token goes to the Hub's own address alone."""
    from huggingface_hub import close_session, set_client_factory
    from huggingface_hub.utils import disable_progress_bars, logging
    from huggingface_hub.utils._http import default_client_factory

    wanted = _origin(endpoint)

    def keep_token(request: Any) -> None:
        if _origin(str(request.url)) != wanted:
            request.headers.pop("authorization", None)

    def factory() -> Any:
        client = default_client_factory()
        timeout = type(client.timeout)
        client.timeout = timeout(_SECONDS_OF_SILENCE, connect=_SECONDS_TO_CONNECT)
        client.event_hooks = {**client.event_hooks, "request": [*client.event_hooks["request"], keep_token]}
        return client

    close_session()
    set_client_factory(factory)
    disable_progress_bars()
    logging.set_verbosity_error()  # its warnings of retries name presigned addresses


def _origin(url: str) -> tuple[str, str, int]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80)


def _chain(error: BaseException) -> Iterator[BaseException]:
    seen: set[int] = set()
    current: BaseException | None = error
    while current is not None and id(current) not in seen:
        seen.add(id(current))
        yield current
        current = current.__cause__


def _root(error: BaseException) -> BaseException:
    """The error that says what happened: the client wraps those of uploads."""
    found = list(_chain(error))
    return next((one for one in found if _status(one, alone=True) or _is_network(one, alone=True)), found[0])


def _status(error: BaseException, alone: bool = False) -> int:
    """The HTTP status that an error, or a cause of it, is about; 0 where it is about none."""
    for one in [error] if alone else _chain(error):
        status = getattr(getattr(one, "response", None), "status_code", None)
        if isinstance(status, int):
            return status
    return 0


def _is_network(error: BaseException, alone: bool = False) -> bool:
    from huggingface_hub import get_session

    # The Hub's client is httpx or its successor, by version.
    client = importlib.import_module(type(get_session()).__module__.partition(".")[0])
    kinds = (client.TransportError, ConnectionError, TimeoutError)
    return any(isinstance(one, kinds) for one in ([error] if alone else _chain(error)))
