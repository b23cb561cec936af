"""Addresses of Ray clusters: which one to use, whether it is valid, and whether a cluster answers there.

Ray itself waits for minutes if nobody answers, and ends in a traceback for an invalid address.
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
"""Time limit in seconds for resolving a host's name and connecting to it."""
ANSWER = 8.0
"""Time limit in seconds for the cluster's answer after that."""
START = 30.0
"""Time limit in seconds for starting the process that asks it: its imports, on a busy machine."""
SILENCE = "nobody answers in time"
DASHBOARD_FIX = f"give {OPTION} http://HOST:8265 of its dashboard"
SILENT, OPEN = 3, 4
"""Exit statuses of `ask_ray.py`: nobody answered in time; Ray answered without a token."""
JOBS = "/api/jobs/"
"""A page that a dashboard with a token serves only with the token."""
CLIENT_PORT = 10001
"""Port of ray:// addresses without one."""
OF_RAY = ("auto",)
"""Addresses that Ray resolves itself, on this machine."""

_FORM = re.compile(r"(?:(?P<client>ray)://)?(?:\[(?P<v6>[\w:.%]+)\]|(?P<host>[^\s:/\[\]@?#]+))(?::(?P<port>\d{1,5}))?")

Found = TypeVar("Found")


class NoCluster(NoRoom):
    """No cluster answers at an address, or the address is invalid."""


def named_address(given: str | None) -> tuple[str, str]:
    """The address of the cluster to join ("" starts a local Ray), and where it was given: the option or RAY_ADDRESS."""
    if given:
        address, source = given.strip(), OPTION
    else:
        address, source = os.environ.get(VARIABLE, "").strip(), VARIABLE
    return ("" if address == "local" else address), source


def check_cluster(given: str | None) -> None:
    """Raises NoCluster if the address in `given` or RAY_ADDRESS is invalid or does not answer.

    Does nothing if a local Ray will be started, or this process is already connected.
    """
    ray = sys.modules.get("ray")
    if ray is not None and ray.is_initialized():
        return
    address, source = named_address(given)
    if address:
        check_answer(address, source)


def check_answer(address: str, source: str = OPTION, fix: str = "") -> None:
    """Raises NoCluster if HOST:PORT or ray://HOST:PORT is invalid, or no Ray answers there in time.

    `fix` ends the message; by default it says what a run needs.
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
    """Raises NoCluster if an http:// or https:// address is invalid, or no server answers there in time.

    The content of the answer is left to Ray's client.
    """
    import requests

    _check_url(address, source)
    try:
        url = f"{address.rstrip('/')}/api/version"
        within(CONNECT + ANSWER, lambda: requests.get(url, timeout=(CONNECT, ANSWER)).close())
        return
    except (TimeoutError, requests.Timeout):
        reason = SILENCE
    except requests.exceptions.SSLError:  # a server is there; Ray's client has the certificates
        return
    except (requests.RequestException, OSError, UnicodeError) as error:
        reason = _reason(error)
    raise NoCluster(f"no Ray cluster answers at {address} ({reason}); {DASHBOARD_FIX}")


def open_dashboard(address: str) -> bool:
    """Whether a dashboard lists its jobs without a token. Raises OSError if nobody answers."""
    import requests

    # The function in place of credentials keeps requests from using those of ~/.netrc.
    url = f"{address.rstrip('/')}{JOBS}"
    with requests.get(url, timeout=(CONNECT, ANSWER), auth=lambda r: r, allow_redirects=False, stream=True) as answer:
        return answer.ok and not answer.is_redirect


def open_cluster(address: str) -> bool:
    """Whether the Ray at HOST:PORT or ray://HOST:PORT answers without a token. Raises NoCluster."""
    try:
        host, port = _host_and_port(address, OPTION, "")
        return _ask_ray(host, port, address.startswith("ray:")).returncode == OPEN
    except (OSError, TimeoutError, subprocess.TimeoutExpired):
        raise NoCluster(f"no Ray cluster answers at {address} ({SILENCE})") from None


def within(seconds: float, work: Callable[[], Found]) -> Found:
    """The result of `work`. Raises its exception, or TimeoutError after `seconds`; its daemon thread then continues.

    Resolving a host's name has no time limit of its own.
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
    """Why the server at an address is not Ray, "" if it is. Raises OSError if nothing listens."""
    within(CONNECT, lambda: socket.create_connection((host, port), timeout=CONNECT).close())
    if os.environ.get("RAY_USE_TLS", "0").lower() in ("1", "true"):
        return ""  # it wants our certificate before it answers
    return _ask_ray(host, port, client).stdout.strip()


def _ask_ray(host: str, port: int, client: bool) -> subprocess.CompletedProcess[str]:
    """Asks in a separate process, without a token. Raises TimeoutError."""
    target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    script = Path(__file__).with_name("ask_ray.py")
    # Safe path: the script's folder holds modules of ours, which must not shadow others of the same name.
    command = [sys.executable, "-P", str(script), target, str(ANSWER), "client" if client else "gcs"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER + START)
    if done.returncode == SILENT:
        raise TimeoutError
    return done


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
