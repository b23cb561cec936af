"""Runs a Ray cluster of a head and one more raylet for the test that started it.

    python two_raylets.py TEMP_DIR DASHBOARD_PORT AGENT_PORT AGENT_PORT

Says on its output, as JSON lines, where the cluster is. On its input a line `hold` takes most of the head's CPUs away,
so that what starts next is on the second raylet too; `kill` gives them back and kills that raylet; the end of the input
ends the cluster.
"""

import json
import os
import sys

# Read when Ray is imported. Sixteen workers that nothing asked for would start first.
os.environ["RAY_prestart_worker_first_driver"] = "0"  # noqa: SIM112

import ray
from ray._private.utils import write_ray_address
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

STORE = 100 * 2**20
CPUS = 8
"""Of each raylet, whatever the machine has: all of a small job fits on one."""


class Held:
    """Nothing but a claim on CPUs."""

    def ready(self):
        return True


def hold(cluster):
    ray.init(cluster.address, log_to_driver=False, logging_level="ERROR")
    there = NodeAffinitySchedulingStrategy(cluster.head_node.node_id, soft=False)
    held = ray.remote(Held).options(num_cpus=CPUS - 3, scheduling_strategy=there).remote()
    ray.get(held.ready.remote())
    return held


def main(temporary, port, *agents):
    each = [{"num_cpus": CPUS, "object_store_memory": STORE, "dashboard_agent_listen_port": int(p)} for p in agents]
    head = {"include_dashboard": True, "dashboard_port": int(port), "temp_dir": temporary}
    cluster = Cluster(initialize_head=True, head_node_args=head | each[0])
    # A job's RAY_ADDRESS is looked up here; without it any Ray of this machine may be taken for the job's own.
    write_ray_address(cluster.address, temporary)
    second = cluster.add_node(**each[1])
    said = {"address": cluster.address, "logs": cluster.head_node.get_logs_dir_path(), "second": second.node_id}
    print(json.dumps(said), flush=True)
    for line in sys.stdin:
        if line.strip() == "hold":
            held = hold(cluster)
        if line.strip() == "kill":
            ray.kill(held)
            cluster.remove_node(second, allow_graceful=False)
        print("{}", flush=True)
    cluster.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
