"""Addresses of Ray clusters: which one is meant, whether it is one, and whether anybody answers there.

Ray itself waits for minutes at an address where nobody answers, and ends in a traceback at one that is none.
"""

from __future__ import annotations

import concurrent.futures
import os
import re
import socket
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar
from urllib.parse import urlsplit

from cluster.hardware import NoRoom

VARIABLE = "RAY_ADDRESS"
OPTION = "--address"
CONNECT = 5.0
"""Seconds that finding a host's name and connecting to it may take."""
ANSWER = 8.0
"""Seconds that a cluster has to answer then."""
START = 30.0
"""Seconds that the process which asks it may take to start: its imports, on a machine that is busy."""
SILENCE = "nobody answers in time"
DASHBOARD_FIX = f"give {OPTION} http://HOST:8265 of its dashboard"
SILENT, OPEN = 3, 4
"""Exit statuses of `ask_ray.py` where nobody answered in time, and where Ray answered though it was shown no token."""
JOBS = "/api/jobs/"
"""What a dashboard with a token tells nobody without it."""
CLIENT_PORT = 10001
"""Of ray:// addresses that name none."""
OF_RAY = ("auto",)
"""Addresses that Ray looks up by itself, on this machine."""

_FORM = re.compile(r"(?:(?P<client>ray)://)?(?:\[(?P<v6>[\w:.%]+)\]|(?P<host>[^\s:/\[\]@?#]+))(?::(?P<port>\d{1,5}))?")

Found = TypeVar("Found")


class NoCluster(NoRoom):
    """Nobody answers at the address of a cluster, or it is none."""


def named_address(given: str | None) -> tuple[str, str]:
    """The address of the cluster to join, and what names it: the option, or else RAY_ADDRESS. "" starts a Ray here."""
    if given:
        address, source = given.strip(), OPTION
    else:
        address, source = os.environ.get(VARIABLE, "").strip(), VARIABLE
    return ("" if address == "local" else address), source


def check_cluster(given: str | None) -> None:
    """Raises NoCluster, in one line, where the address that `given` or RAY_ADDRESS names is none, or does not answer.

    Does nothing where a Ray is to be started here, or is up in this process.
    """
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        return
    address, source = named_address(given)
    if address:
        check_answer(address, source)


def check_answer(address: str, source: str = OPTION, fix: str = "") -> None:
    """Raises NoCluster where HOST:PORT or ray://HOST:PORT is no such address, or no Ray answers there in time.

    `fix` says what to give instead; without it, what a run wants.
    """
    if address in OF_RAY:
        return
    host, port = _host_and_port(address, source, fix)
    try:
        reason = _other_than_ray(host, port, address.startswith("ray:"))
    except (TimeoutError, subprocess.TimeoutExpired):
        reason = SILENCE
    except OSError as error:
        reason = error.strerror or str(error)
    if not reason:
        return
    fix = fix or f"give the one that `ray start` printed in {source}, or none to start Ray here"
    raise NoCluster(f"no Ray cluster answers at {address} ({reason}); {fix}")


def check_dashboard(address: str, source: str) -> None:
    """Raises NoCluster where an http:// or https:// address is none, or no server answers there in time.

    What the server answers is not looked at: Ray's client does.
    """
    import requests

    _check_url(address, source)
    try:
        url = f"{address.rstrip('/')}/api/version"
        within(CONNECT + ANSWER, lambda: requests.get(url, timeout=(CONNECT, ANSWER)).close())
        return
    except (TimeoutError, requests.Timeout):
        reason = SILENCE
    except requests.exceptions.SSLError:  # somebody is there; Ray's client has the certificates
        return
    except (requests.RequestException, OSError, UnicodeError) as error:
        reason = _reason(error)
    raise NoCluster(f"no Ray cluster answers at {address} ({reason}); {DASHBOARD_FIX}")


def open_dashboard(address: str) -> bool:
    """Whether a dashboard lists its jobs to somebody without a token. Raises OSError where nobody answers."""
    import requests

    # The function in the place of credentials keeps those of ~/.netrc out.
    url = f"{address.rstrip('/')}{JOBS}"
    with requests.get(url, timeout=(CONNECT, ANSWER), auth=lambda r: r, allow_redirects=False, stream=True) as answer:
        return answer.ok and not answer.is_redirect


def open_cluster(address: str) -> bool:
    """Whether the Ray at HOST:PORT or ray://HOST:PORT answers somebody without a token. Raises NoCluster."""
    try:
        host, port = _host_and_port(address, OPTION, "")
        return _ask_ray(host, port, address.startswith("ray:")).returncode == OPEN
    except (OSError, TimeoutError, subprocess.TimeoutExpired):
        raise NoCluster(f"no Ray cluster answers at {address} ({SILENCE})") from None


def within(seconds: float, work: Callable[[], Found]) -> Found:
    """What `work` returns, or raises. Raises TimeoutError after `seconds`; a thread that no program waits for goes on.

    Looking up a host's name has no time limit of its own.
    """
    future: concurrent.futures.Future[Found] = concurrent.futures.Future()

    def run() -> None:
        try:
            future.set_result(work())
        except Exception as error:
            future.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return future.result(seconds)


def _host_and_port(address: str, source: str, fix: str) -> tuple[str, int]:
    found = _FORM.fullmatch(address)
    port = int(found["port"] or (CLIENT_PORT if found["client"] else 0)) if found else 0
    if found is None or not 0 < port < 65536:
        hint = " (a dashboard's serves crucible submit and jobs alone)" if address.startswith("http") else ""
        fix = fix or "give HOST:PORT as `ray start` printed it ([HOST]:PORT for IPv6), ray://HOST:PORT, or auto"
        raise NoCluster(f"{source} is {address!r}, which is no address of a Ray cluster{hint}; {fix}")
    return found["v6"] or found["host"], port


def _other_than_ray(host: str, port: int, client: bool) -> str:
    """Why what listens at an address is no Ray, "" where it is one. Raises OSError where nothing listens."""
    within(CONNECT, lambda: socket.create_connection((host, port), timeout=CONNECT).close())
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return ""  # it wants our certificate before it says anything
    return _ask_ray(host, port, client).stdout.strip()


def _ask_ray(host: str, port: int, client: bool) -> subprocess.CompletedProcess[str]:
    """Asks in a process of its own, without a token. Raises TimeoutError."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    script = Path(__file__).with_name("ask_ray.py")
    # Safe path: the folder of the script holds modules of ours, which must not stand for others of their names.
    command = [sys.executable, "-P", str(script), target, str(ANSWER), "client" if client else "gcs"]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER + START)
    if asked.returncode == SILENT:
        raise TimeoutError
    return asked


def _check_url(address: str, source: str) -> None:
    try:
        url = urlsplit(address)
        good = url.scheme in ("http", "https") and bool(url.hostname) and (url.port is None or url.port > 0)
    except ValueError:
        good = False
    if not good or any(char.isspace() for char in address):
        raise NoCluster(f"{source} is {address!r}, which is no address of a Ray dashboard; {DASHBOARD_FIX}")


def _reason(error: BaseException) -> str:
    """The innermost reason of a failed request."""
    text = str(error).rpartition("(Caused by ")[2] or str(error)
    found = re.search(r"(?:\[Errno -?\d+\] )([^'\")\]]+)", text)
    return found[1] if found else " ".join(text.split())[:120]
