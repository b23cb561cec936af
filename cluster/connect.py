"""Joins the Ray cluster at hand, or starts one on this machine for as long as the program runs."""

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
"""CPU slots of a local Ray, at least. They only admit actors, most of which wait: with two slots Ray Train's own
controller would wait for ever behind Ray Data's stages."""
LOCAL_STORE = 256 * 2**20
"""Bytes of a local object store: rows and adapters are small."""
GRACE = 5.0
"""Seconds that a local Ray's processes have to end by themselves."""

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
"""Set while the Ray of this process is one that it has started."""


@contextlib.contextmanager
def ray_session(address: str | None = None) -> Iterator[Any]:
    """Connects for the duration of the block and yields the `ray` module.

    `address` (or RAY_ADDRESS, which `ray job submit` sets) joins that cluster; without one a local Ray is started that
    no other program sees. A Ray that is already up in this process is used and left as it is. The actors of each
    session have a namespace of their own: no other job of the cluster finds them by their names. Raises NoCluster, also
    for an `address` where nobody answers while another Ray is up.
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
    stack = contextlib.ExitStack()
    common = {
        "namespace": f"crucible-{secrets.token_hex(16)}",
        "log_to_driver": bool(os.environ.get("CRUCIBLE_RAY_LOGS")),
        "logging_level": logging.ERROR,
    }
    if address:
        check_answer(address, source)
        try:
            ray.init(address=address, runtime_env={"env_vars": WORKER_ENVIRONMENT}, **common)
        except (ConnectionError, ValueError, ray.exceptions.AuthenticationError) as error:
            hint = "" if os.environ.get(MODE) == "token" else f"; where it asks for a token: export {MODE}=token"
            raise NoCluster(f"no Ray cluster answers at {address}: {' '.join(str(error).split())}{hint}") from error
    else:
        # Read by the raylet as it starts: what a worker leaves behind, such as an engine's core, ends with it.
        os.environ.setdefault("RAY_process_group_cleanup_enabled", "1")
        # Nobody gives notice before this machine goes: Ray Train's actor that waits for it is spared.
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        temp_dir = stack.enter_context(short_temp_dir())
        try:
            use_local_token()
        except TokenError as error:
            raise NoCluster(str(error)) from None
        # Its workers inherit this process's environment; a runtime_env would forgo Ray's workers started ahead.
        with _on_loopback(), _few_processes():
            ray.init(
                address="local",
                num_cpus=max(LOCAL_SLOTS, os.cpu_count() or 1),
                object_store_memory=LOCAL_STORE,
                include_dashboard=False,
                dashboard_host="127.0.0.1",
                _temp_dir=temp_dir,
                **common,
            )
        stack.callback(_OWN.clear)
        _OWN.set()
    try:
        yield ray
    finally:
        leftovers = [] if address else ray_processes()
        ray.shutdown()
        end_processes(leftovers, GRACE)
        stack.close()


def is_own() -> bool:
    """Whether the Ray that this process is connected to was started by it, and ends with it."""
    return _OWN.is_set()


@contextlib.contextmanager
def _few_processes() -> Iterator[None]:
    """A Ray that starts in the block has no process that adds nodes, for there are none to add, and none that collects
    what workers print, unless that is asked for. Each takes a second to start, and a hundredth of a core."""
    from ray._private.node import Node

    idle = ["start_monitor"] + ([] if os.environ.get("CRUCIBLE_RAY_LOGS") else ["start_log_monitor"])
    before = {name: getattr(Node, name) for name in idle if hasattr(Node, name)}
    for name in before:
        setattr(Node, name, lambda self: None)
    try:
        yield
    finally:
        for name, method in before.items():
            setattr(Node, name, method)


@contextlib.contextmanager
def _on_loopback() -> Iterator[None]:
    """A Ray that starts in the block, and all its processes, listen on 127.0.0.1 alone.

    Ray replaces the loopback address where it is given as a node's by one that other machines reach, save where its
    switch for desktop systems is off, which it reads at its import.
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
    """Ray's processes below this one: raylet, control store, workers."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            command = process.cmdline()
            if command and (command[0].startswith("ray::") or any("/ray/" in part for part in command[:6])):
                found.append(process)
    return found


def end_processes(processes: Sequence[psutil.Process], seconds: float) -> None:
    """Waits for processes that are ending, and kills those that have not after `seconds`.

    A worker of Ray now and then hangs in its own exit once the raylet is gone, and keeps its memory for ever.
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
