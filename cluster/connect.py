"""Joins an existing Ray cluster, or starts a local one for as long as the program runs."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import threading
from collections.abc import Iterator, Sequence
from typing import Any

import psutil

from cluster.address import NoCluster, check_answer, named_address
from cluster.auth import MODE, TokenError, use_local_token
from cluster.hardware import Node
from cluster.sockets import short_temp_dir

LOCAL_SLOTS = 8
"""Minimum CPU slots of a local Ray. They only admit actors, most of which are idle: with two slots Ray Train's own
controller would wait forever behind Ray Data's stages."""
LOCAL_STORE = 256 * 2**20
"""Bytes of a local object store, enough for rows and small adapters."""
GRACE = 5.0
"""Seconds that a local Ray's processes get to exit by themselves."""

WORKER_ENVIRONMENT = {
    # Ray Train polls its workers at this interval, and each report waits for a poll (2 s unless set).
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.2",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    # An actor that was given no GPU sees none: left alone it would see all of its node's.
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "1",
    "RAY_TRAIN_V2_ENABLED": "1",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "PYTHONWARNINGS": "ignore",
    # Ray Tune's own tables and banners; jobs show their own.
    "RAY_AIR_NEW_OUTPUT": "0",
}


_OWN = threading.Event()
"""Set while this process is connected to a Ray that it started itself."""


@contextlib.contextmanager
def ray_session(address: str | None = None, store: int = LOCAL_STORE) -> Iterator[Any]:
    """Connects for the duration of the block and yields the `ray` module.

    `address` (or RAY_ADDRESS, which `ray job submit` sets) joins that cluster; without one, a local Ray is started that
    no other program sees. A Ray that is already up in this process is used and left running. The actors of each session
    have their own namespace: no other job of the cluster finds them by name. Raises NoCluster, also for an `address`
    that does not answer while another Ray is up.
    """
    for name, value in WORKER_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    import ray

    given, (address, source) = address, named_address(address)
    if ray.is_initialized():
        if given:
            check_answer(address, source)
        yield ray
        return
    with contextlib.ExitStack() as stack:
        if address:
            check_answer(address, source)
            _join(address)
        else:
            _start(stack, store)
        try:
            yield ray
        finally:
            leftovers = [] if address else ray_processes()
            ray.shutdown()
            end_processes(leftovers, GRACE)


def _join(address: str) -> None:
    """Connects to a cluster. Raises NoCluster."""
    import ray
    from ray.exceptions import AuthenticationError

    try:
        ray.init(address=address, runtime_env={"env_vars": WORKER_ENVIRONMENT}, **_common_options())
    except (ConnectionError, ValueError, AuthenticationError) as error:
        hint = "" if os.environ.get(MODE) == "token" else f"; if it requires a token: export {MODE}=token"
        raise NoCluster(f"no Ray cluster answers at {address}: {' '.join(str(error).split())}{hint}") from error


def _start(stack: contextlib.ExitStack, store: int) -> None:
    """Starts a local Ray, whose folder and mark (`is_own`) go with `stack`. Raises NoCluster."""
    import ray

    # Read by the raylet as it starts: it ends what a worker leaves behind, such as an engine's core.
    os.environ.setdefault("RAY_process_group_cleanup_enabled", "1")
    # Nobody reads the process metrics of a Ray without a dashboard, and collecting them never ends.
    os.environ.setdefault("RAY_enable_metrics_collection", "0")
    os.environ.setdefault("REPORTER_UPDATE_INTERVAL_MS", "3600000")
    # A local machine gets no preemption notice, so Ray Train does not need the actor that waits for one.
    os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
    temp_dir = stack.enter_context(short_temp_dir())
    try:
        use_local_token()
    except TokenError as error:
        raise NoCluster(str(error)) from None
    # Workers inherit this process's environment: with a runtime_env, Ray could not use workers started in advance.
    with _on_loopback(), _few_processes():
        ray.init(
            address="local",
            num_cpus=max(LOCAL_SLOTS, os.cpu_count() or 1),
            object_store_memory=store,
            include_dashboard=False,
            dashboard_host="127.0.0.1",
            _temp_dir=temp_dir,
            **_common_options(),
        )
    stack.callback(_OWN.clear)
    _OWN.set()


def _common_options() -> dict[str, Any]:
    return {
        "namespace": f"crucible-{secrets.token_hex(16)}",
        "log_to_driver": bool(os.environ.get("CRUCIBLE_RAY_LOGS")),
        "logging_level": logging.ERROR,
    }


def is_own() -> bool:
    """Whether this process started the Ray that it is connected to, so that the Ray ends with it."""
    return _OWN.is_set()


@contextlib.contextmanager
def _few_processes() -> Iterator[None]:
    """A Ray that starts in the block has no process that adds nodes, for there are none to add, no dashboard server
    where the dashboard is off, and none that collects what workers print, unless that is set. Each takes a second to
    start, and a hundredth of a core."""
    from ray._private import utils
    from ray._private.node import Node

    idle = ["start_monitor", "start_api_server"]
    idle += [] if os.environ.get("CRUCIBLE_RAY_LOGS") else ["start_log_monitor"]
    with contextlib.ExitStack() as stack:
        for name in idle:
            _replaced(stack, Node, name, lambda self, **options: None)
        # Finding out whether a dashboard could run costs a second of imports. Without one, the agent that every node
        # must have starts in its minimal form.
        _replaced(stack, utils, "get_dashboard_dependency_error", lambda: ImportError("there is no dashboard"))
        yield


def _replaced(stack: contextlib.ExitStack, owner: Any, name: str, value: Any) -> None:
    """Sets an attribute until the end of the block, where this release of Ray has it."""
    if hasattr(owner, name):
        stack.callback(setattr, owner, name, getattr(owner, name))
        setattr(owner, name, value)


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """A Ray that starts in the block, and all its processes, listen on 127.0.0.1 only.

    If a node's address is the loopback address, Ray replaces it by one that other machines reach, unless its switch for
    multi-node clusters is off, which it reads at import.
    """
    from ray._private import ray_constants

    name, before = ray_constants.ENABLE_RAY_CLUSTERS_ENV_VAR, ray_constants.ENABLE_RAY_CLUSTER
    given = os.environ.get(name)
    os.environ[name], ray_constants.ENABLE_RAY_CLUSTER = "0", False
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = before
        if given is None:
            del os.environ[name]
        else:
            os.environ[name] = given


def ray_processes() -> list[psutil.Process]:
    """Ray's child processes of this one: raylet, control store, workers."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            if command and (command[0].startswith("ray::") or any("/ray/" in part for part in command[:6])):
                found.append(process)
    return found


def end_processes(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Waits for processes that are exiting, and kills those still alive after `seconds`.

    Now and then a Ray worker hangs in its own exit once the raylet is gone, and keeps its memory forever.
    """
    _, alive = psutil.wait_procs(processes, timeout=seconds)
    for process in alive:
        with contextlib.suppress(psutil.Error):
            process.kill()


def live_nodes() -> list[Node]:
    """The nodes of the connected cluster."""
    import ray

    return [
        Node(node["NodeManagerHostname"] + "/" + node["NodeID"][:6], node["Resources"], node.get("Labels") or {})
        for node in ray.nodes()
        if node["Alive"]
    ]
