"""Every example manifest, brought up by the whole controller on simulated nodes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from sim.facts import metadata
from sim.scene import scene
from sim.world import IMAGES

EXAMPLES = Path(__file__).parents[2] / "manifests" / "examples"
# The quick start runs no engine, and has a page and tests of its own.
FOLDERS = sorted({path.parent.name for path in EXAMPLES.glob("*/modelinfer.yaml")} - {"quickstart"})
NAME = "modelinfer.volcano.sh/name"


def read(folder: str, file: str) -> Any:
    return yaml.safe_load((EXAMPLES / folder / file).read_text())


def without_rdma(spec: Any) -> Any:
    """The simulated nodes have GPUs, and no RDMA devices."""
    for role in spec["template"]["roles"]:
        for field in {"entryTemplate", "workerTemplate"} & role.keys():
            for container in role[field]["spec"]["containers"]:
                container["resources"].get("limits", {}).pop("rdma/rdma_shared_device_a", None)
    return spec


def pods_of_a_group(spec: Mapping[str, Any]) -> int:
    return sum(role["replicas"] * (1 + role["workerReplicas"]) for role in spec["template"]["roles"])


@pytest.mark.parametrize("folder", FOLDERS)
async def test_it_comes_up_and_its_service_reaches_the_pods_that_serve(folder: str) -> None:
    spec = without_rdma(read(folder, "modelinfer.yaml")["spec"])
    async with scene(spec, nodes=16, native_gang=True, script=lambda pod: IMAGES["good:1"]) as up:
        pods = up.world.live_pods()
        assert len(pods) == spec["replicas"] * pods_of_a_group(spec)
        assert up.condition("Available")["status"] == "True"
        selector = read(folder, "service.yaml")["spec"]["selector"]
        wanted = {**selector, NAME: "m"}
        reached = [pod.name for pod in pods if wanted.items() <= metadata(pod.object)["labels"].items()]
        role = selector.get("modelinfer.volcano.sh/role") or spec["template"]["roles"][0]["name"]
        count = next(one["replicas"] for one in spec["template"]["roles"] if one["name"] == role)
        assert len(reached) == spec["replicas"] * count
        assert all(f"-{role}-" in name and name.endswith("-0") for name in reached)
