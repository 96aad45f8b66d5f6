"""How fast the embedded control plane is: pods from create to Ready, in wall time.

python hack/bench/simulator.py [PODS] [NODES]
"""

import asyncio
import sys
import time

from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from modelinfer_controller.simulator.resources import PODS
from modelinfer_controller.simulator.virtual_time import run

_IN_FLIGHT = 16


async def measure(pods: int, nodes: int) -> None:
    began = time.perf_counter()
    async with SimulatedControlPlane(nodes=nodes) as cluster:
        client = cluster.client()

        async def create(share: range) -> None:
            for number in share:
                container = {"name": "main", "image": "image:1", "resources": {"requests": {"cpu": "100m"}}}
                body = {"metadata": {"name": f"pod-{number}"}, "spec": {"containers": [container]}}
                await client.create(PODS, "default", body)

        await asyncio.gather(*(create(range(first, pods, _IN_FLIGHT)) for first in range(_IN_FLIGHT)))
        created = time.perf_counter() - began
        while not await all_ready(cluster, pods):  # noqa: ASYNC110 -- what is waited for is in the cluster
            await asyncio.sleep(1)
        ready = time.perf_counter() - began
        requests = len(cluster.api.audit.calls)
    print(f"{pods} pods on {nodes} nodes: created in {created:.1f} s, all ready in {ready:.1f} s, {requests} requests")


async def all_ready(cluster: SimulatedControlPlane, pods: int) -> bool:
    listed = await cluster.client().list_all(PODS, "default")
    return sum(bool((pod.condition("Ready") or {}).get("status") == "True") for pod in listed.items) == pods


if __name__ == "__main__":
    given = [int(argument) for argument in sys.argv[1:]]
    run(measure(*(given + [10_000, 50][len(given) :])))
