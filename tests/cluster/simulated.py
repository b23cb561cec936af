"""Run by test_unlike_gpus.py: a cluster of real raylets with labels and pretended GPUs; prints what landed where."""

import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

# Read when Ray is imported. A worker a CPU of each raylet, that nothing asked for, would start first.
os.environ["RAY_prestart_worker_first_driver"] = "0"  # noqa: SIM112

import numpy as np
from ray.cluster_utils import Cluster

from cluster.connect import live_nodes, ray_session
from cluster.hardware import GPU_LABEL, HardwareConfig, plan
from problems.problem import Group, Problem, Sample
from rollout.admission import Lease
from rollout.config import Sampling
from rollout.fleet import RolloutJob, start_fleet
from rollout.stream import Rollouts
from tests.known_models import write_config

GROUPS, IN_FLIGHT = 360, 30
SECONDS = {"fast": 0.03, "slow": 0.12}
"""What an engine of each kind takes for a group; it answers two at a time."""
HARDWARE = {
    "profiles": [
        {"name": "fast", "accelerator": "H100", "count": 2, "cpus": 0.5, "gpus": 1},
        {"name": "slow", "accelerator": "L4", "count": 4, "cpus": 0.5, "gpus": 1},
    ],
    "learner": {"labels": {"pool": "train"}, "cpus": 1, "gpus": 0},
}


class PretendedEngine:
    """Takes as long as its kind does, two groups at a time."""

    def __init__(self, spec, name):
        self.name, self.busy = name, asyncio.Semaphore(2)

    async def where(self):
        import ray

        return self.name, ray.get_runtime_context().get_node_labels()

    async def rollout(self, job, lease, problem):
        kind = next(kind for kind in SECONDS if kind in self.name)
        async with self.busy:
            await asyncio.sleep(SECONDS[kind])
        none = np.zeros(0, np.int32)
        sample = Sample("p", "g", 0, none, none, none.astype(np.float32), "", "stop", 0, "", self.name)
        return Group(lease.index, 0, problem, (sample,))


def main():
    head = {"num_cpus": 2, "include_dashboard": False, "labels": {"pool": "head"}}
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for kind, count in (("H100", 2), ("L4", 4)):
        for _ in range(count):
            cluster.add_node(num_cpus=1, num_gpus=1, labels={GPU_LABEL: kind})
    cluster.add_node(num_cpus=2, labels={"pool": "train"})
    cluster.wait_for_nodes()
    try:
        found = {"refusal": refusal(cluster.address)}
        with ray_session(cluster.address) as ray:
            fleet, learner = plan(HardwareConfig(**HARDWARE), live_nodes(), engines=1, workers=1)
            engines = [
                engine
                for demand in fleet
                for engine in start_fleet(None, demand.count, "sim", demand.options(), demand.name, PretendedEngine)
            ]
            found["engines"] = ray.get([engine.where.remote() for engine in engines])
            found["learner"] = trained_at(learner)
            found["shares"] = asyncio.run(shares(engines))
        print("FOUND " + json.dumps(found), flush=True)
    finally:
        cluster.shutdown()


def refusal(address):
    """What the real command says of a kind of GPU that no node has, and how long it takes to say it."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder) / "config.yaml"
        config.write_text("hardware: {profiles: [{name: big, accelerator: B200, gpus: 1}]}")
        write_config(Path(folder) / "model")
        command = [sys.executable, "-m", "pipelines.cli", "grpo", "--config", config, "--address", address, "--runs"]
        began = time.monotonic()
        done = subprocess.run(
            [*command, folder, "--name", "x", "--model", f"{folder}/model"], capture_output=True, text=True
        )
        return done.returncode, done.stderr.strip().splitlines()[-1], time.monotonic() - began


def trained_at(demand):
    """Labels of the node on which Ray Train puts a learner of this demand."""
    from ray.train import RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    def train(options):
        import ray

        Path(options["said"]).write_text(json.dumps(ray.get_runtime_context().get_node_labels()))

    with tempfile.TemporaryDirectory() as folder:
        said = Path(folder) / "labels.json"
        scaling = ScalingConfig(
            num_workers=1, resources_per_worker={"CPU": demand.cpus}, label_selector=dict(demand.labels)
        )
        run_config = RunConfig(storage_path=folder)
        loop_config = {"said": str(said)}
        TorchTrainer(train, train_loop_config=loop_config, scaling_config=scaling, run_config=run_config).fit()
        return json.loads(said.read_text())


async def shares(engines):
    """Groups answered by each engine while `IN_FLIGHT` are always asked for, by the stage that runs use."""
    job, rollouts = RolloutJob("sim", 1, Sampling()), Rollouts(engines)
    room = asyncio.Semaphore(IN_FLIGHT)
    counts = {}

    async def one(index):
        async with room:
            problem = Problem(f"p{index}", "f", 1, 1, "train", "", "f", "", (), ())
            group = await rollouts.answer(job, Lease(0, index, 0, 0), problem)
            name = group.samples[0].engine
            counts[name] = counts.get(name, 0) + 1

    await asyncio.gather(*map(one, range(GROUPS)))
    return counts


if __name__ == "__main__":
    main()
