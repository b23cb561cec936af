"""Run by test_reservation.py: real Ray with pretended GPUs; prints what landed where as one JSON line.

python pretended_gpus.py machine    # one node of two GPUs
python pretended_gpus.py raylets    # a head, two H100, an A100 and four L4, on four raylets
"""

import contextlib
import functools
import json
import os
import re
import sys
import tempfile
import time
from pathlib import Path

# Read when Ray is imported. A worker a CPU of each raylet, that nothing asked for, would start first.
os.environ["RAY_prestart_worker_first_driver"] = "0"  # noqa: SIM112

from cluster.connect import WORKER_ENVIRONMENT

os.environ.update(WORKER_ENVIRONMENT)

import ray
import yaml
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st
from ray.cluster_utils import Cluster

from cluster.connect import live_nodes
from cluster.devices import ask_node, hardware_of
from cluster.hardware import GPU_LABEL, HardwareConfig, NoRoom, plan
from cluster.model_shapes import ModelShapes
from cluster.reservation import actor_options, hold_place, reserve, waiting_for
from pipelines import session, training
from pipelines.config import GRPOConfig
from pipelines.defaults import fill
from pipelines.options import parse
from pipelines.placed_workers import LearnerPlace
from pipelines.training import ProcessGroup
from rollout.engine_spec import EngineSpec
from rollout.fleet import start_fleet
from tests.known_models import QWEN3_06B, QWEN25_7B

ROOT = Path(__file__).resolve().parents[2]
QUIET = {"log_to_driver": False, "logging_level": "ERROR"}
# There is no NCCL without GPUs.
training.ProcessGroup = lambda backend: ProcessGroup("gloo")


def where():
    """Node and GPUs of this process."""
    context = ray.get_runtime_context()
    kind = context.get_node_labels().get(GPU_LABEL, "")
    return {
        "node": kind,
        "gpus": sorted(map(str, ray.get_gpu_ids())),
        "visible": os.environ.get("CUDA_VISIBLE_DEVICES", "all"),
    }


class PretendedEngine:
    """Has a place, and no model."""

    def __init__(self, spec, name):
        self.name = name

    async def where(self):
        return {"name": self.name.split("-")[-2], **where()}

    async def close(self):
        pass


session.start_fleet = functools.partial(start_fleet, actor=PretendedEngine)


def texts():
    return [path.read_text() for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]


def readme_command():
    """Options of the documentation's first `crucible grpo --model` with a number of engines."""
    command = re.compile(r"^crucible grpo (--model (?:.*\\\n)*.*)$", re.M)
    commands = (found[1] for text in texts() for found in command.finditer(text))
    found = next(text for text in commands if "--rollout.engines" in text)
    return parse(GRPOConfig, found.replace("\\\n", " ").split(), prog="crucible grpo")


def readme_profiles():
    """The first YAML block with hardware.profiles in the documentation."""
    blocks = [block for text in texts() for block in re.findall(r"```yaml\n(.*?)```", text, re.S)]
    found = next(block for block in blocks if "profiles:" in block and block.startswith("hardware:"))
    return GRPOConfig(hardware=yaml.safe_load(found)["hardware"])


def run_job(config):
    """Engines and a learner of a session of this job, where they are while both are there."""
    spec = EngineSpec("none", config.rollout.engine)
    with session.open_session(config, spec, config.rollout.engines, config.train.workers) as opened:
        engines = ray.get([engine.where.remote() for engine in opened.engines], timeout=60)
        learner = learner_of(opened.learner, config.train.workers)
        waiting = waiting_for(opened.run)
    return {"engines": engines, "learner": learner, "waiting": waiting}


def planned_job(keys):
    """What the defaults of a model plan for this cluster, and where its engines and its learner then are."""
    shapes, shown = ModelShapes.from_config(keys, "model"), []
    filled = fill(GRPOConfig(), "", shapes, hardware_of(live_nodes(), ask_node))
    config, spec = filled.config, EngineSpec("none", filled.config.rollout.engine)
    engines, workers, _ = filled.counts
    kinds = {}

    def check(fleet, learner, nodes):
        kinds.update({node.name: node.labels.get(GPU_LABEL, "") for node in nodes})
        shown.extend(filled.place(fleet, learner, hardware_of(nodes, ask_node)))

    with session.open_session(config, spec, engines, workers, check=check) as opened:
        landed = ray.get([engine.where.remote() for engine in opened.engines], timeout=60)
        landed += learner_of(opened.learner, workers)
    planned = [{"role": one.role, "node": kinds[one.node], "gpus": list(one.devices)} for one in shown]
    return {"planned": planned, "landed": landed, "share": config.rollout.engine.gpu_memory_share}


def learner_of(demand, workers):
    """Where Ray Train's workers are."""

    def work(config):
        rank = ray.train.get_context().get_world_rank()
        Path(config["folder"], str(rank)).write_text(json.dumps(where()))

    with tempfile.TemporaryDirectory() as folder:
        training.train(
            work, {"folder": folder}, demand, workers, f"t{time.time_ns()}", f"{folder}/ray", failures=0, model=""
        )
        return [json.loads(Path(folder, str(rank)).read_text()) for rank in range(workers)]


@settings(max_examples=4, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate])
@given(st.integers(1, 3), st.integers(0, 2), st.integers(1, 2), st.sampled_from([None, 0.5, 0.3]))
@example(2, 1, 1, None)
@example(2, 2, 1, None)
@example(1, 2, 1, 0.5)
@example(2, 1, 2, 0.3)
def accepted_is_placed(engines, workers, learners, share):
    """What the planner accepts is placed by Ray, with the same actors on a GPU as planned."""
    config = HardwareConfig(learner={"gpus": share, "cpus": 0.25}, engine={"cpus": 0.25})
    nodes = live_nodes()
    try:
        fleet, learner = plan(config, nodes, engines, workers, learners)
    except NoRoom:
        return
    with reserve(fleet, learner, nodes, "property") as (fleet, learner):
        actors = [
            ray.remote(PretendedEngine).options(**actor_options(fleet[0], i)).remote(None, "x-engine-0")
            for i in range(engines)
        ]
        for place in learner.places:
            for bundle in place.bundles:
                one = replace_place(learner, place.group, bundle)
                actors.append(ray.remote(PretendedEngine).options(**one).remote(None, "x-learner-0"))
        landed = ray.get([actor.where.remote() for actor in actors], timeout=60)
        for actor in actors:
            ray.kill(actor)
    planned = [seat.devices for seat in (*fleet[0].seats, *learner.seats)]
    names = {}
    for devices, found in zip(planned, landed, strict=True):
        assert len(found["gpus"]) == len(devices) and found["visible"] == ",".join(found["gpus"])
        for device, gpu in zip(devices, found["gpus"], strict=True):
            assert names.setdefault(device, gpu) == gpu, (planned, landed)
    assert len(set(names.values())) == len(names), (planned, landed)
    PLACED.append((engines, workers, learners, share))


PLACED = []


def replace_place(learner, group, bundle):
    from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

    strategy = PlacementGroupSchedulingStrategy(group, placement_group_bundle_index=bundle)
    return {"num_cpus": learner.cpus, "num_gpus": learner.gpus, "scheduling_strategy": strategy}


def refusal(work):
    """What NoRoom says, and after how many seconds."""
    began = time.monotonic()
    try:
        work()
    except NoRoom as error:
        return str(error), time.monotonic() - began
    return "", time.monotonic() - began


def machine():
    ray.init(address="local", num_cpus=8, num_gpus=2, include_dashboard=False, **QUIET)
    accepted_is_placed()
    found = {"placed": PLACED, "command": run_job(readme_command())}
    found["defaults"] = planned_job(QWEN3_06B)
    found["two_workers"] = run_job(GRPOConfig(rollout={"engines": 2}, train={"workers": 2}))
    found["on_cpu"] = run_job(GRPOConfig(hardware={"device": "cpu"}))
    nodes = live_nodes()
    fleet, learner = plan(HardwareConfig(), nodes, engines=1, workers=1, learners=3)
    with reserve(fleet, learner, nodes, "sweep") as (_, trials):
        with contextlib.ExitStack() as stack:
            held = [stack.enter_context(hold_place(trials)) for _ in range(3)]
            found["places"] = [place.bundles for place in held], refusal(lambda: hold_place(trials, 1).__enter__())
        with hold_place(trials) as again:
            found["again"] = again.bundles in [place.bundles for place in held]
        whole = plan(HardwareConfig(), nodes, engines=1, workers=1)
        found["taken"] = refusal(lambda: reserve(*whole, nodes, "second", 4).__enter__())
        training.LearnerPlace = functools.partial(LearnerPlace, seconds=3)
        found["no_place"] = refusal(lambda: learner_of(whole[1], 1))
    return found


def raylets():
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 4, "include_dashboard": False})
    for kind, count in (("H100", 2), ("A100", 1), ("L4", 4)):
        cluster.add_node(num_cpus=4, num_gpus=count, labels={GPU_LABEL: kind})
    cluster.wait_for_nodes()
    ray.init(cluster.address, **QUIET)
    found = {"profiles": run_job(readme_profiles()), "defaults": planned_job(QWEN25_7B)}
    ray.shutdown()
    cluster.shutdown()
    return found


if __name__ == "__main__":
    print("FOUND " + json.dumps({"machine": machine, "raylets": raylets}[sys.argv[1]]()), flush=True)
