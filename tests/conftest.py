"""Fixtures for all rooms."""

import os
import signal
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # helpers that several rooms' tests share

os.environ.setdefault("OMP_NUM_THREADS", "1")
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # in a shell's background; the commands under test inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before those that `-m` leaves out are chosen
def pytest_collection_modifyitems(items):
    """Slow tests start several Rays and engines, and may wait for another process's: they get three times as long.

    Whatever asks the real server of models is slow: the server takes half a minute to start.
    """
    for item in items:
        if "messages_url" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.slow)
        if item.get_closest_marker("slow") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(900))


def pytest_terminal_summary(terminalreporter):
    from shared_folder import report_missing

    report_missing(terminalreporter)


@pytest.fixture(scope="session")
def ray_local():
    """One local Ray for the whole test session, shut down at its end."""
    from cluster.connect import ray_session

    with ray_session() as ray:
        yield ray
        if "job" in sys.modules:
            sys.modules["job"].FLEET.end()


@pytest.fixture(scope="session")
def tiny_student(tmp_path_factory):
    """Folder of a student made in seconds: it writes programs of two families, rightly now and then."""
    from pipelines.student import StudentRecipe, build_student
    from problems.config import ProblemsConfig
    from train.pretrain import ArchitectureConfig, PretrainConfig

    recipe = StudentRecipe(
        problems=ProblemsConfig(families=("reverse_string", "is_palindrome"), difficulties=(1, 2, 3)),
        count=800,
        recall=0.25,
        right=0.8,
        vocabulary=512,
        architecture=ArchitectureConfig(layers=2, intermediate=256),
        pretrain=PretrainConfig(steps=160, batch_size=16),
    )
    kept, base = os.environ.get("CRUCIBLE_CACHE"), tmp_path_factory.getbasetemp()
    # One folder for all processes of the session: the first to ask makes it.
    cache = Path(kept or (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base)) / "students"
    return build_student(recipe, cache, quiet=True, threads=1)


@pytest.fixture(scope="session")
def messages_url(tiny_student, tmp_path_factory):
    """Address of a real vLLM server of the Messages API; it serves the tiny student under the name `tiny`."""
    from servers import serve_messages

    with serve_messages(tiny_student, tmp_path_factory.mktemp("vllm") / "log.txt") as url:
        yield url
