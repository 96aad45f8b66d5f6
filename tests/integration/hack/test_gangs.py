"""Both gang schedulers of hack/cluster place a gang whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from controlplane import ControlPlane

NAMED = {"annotations": {"scheduling.k8s.io/group-name": "gang"}}
ONE_GPU = {"limits": {"nvidia.com/gpu": "1"}}


class Gang:
    """Pods that need a node of the pool `pool` each."""

    def __init__(self, control_plane: ControlPlane, namespace: str) -> None:
        self._control_plane = control_plane
        self._namespace = namespace
        self.pool = namespace
        self._nodes: list[str] = []

    def create(
        self, size: int, pod_group: dict[str, Any], *, metadata: dict[str, Any] | None = None, spec: dict[str, Any]
    ) -> None:
        pods = [
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": f"pod-{i}", **(metadata or {})},
                "spec": {
                    "nodeSelector": {"pool": self.pool},
                    "containers": [{"name": "main", "image": "image", "resources": ONE_GPU}],
                    **spec,
                },
            }
            for i in range(size)
        ]
        self.kubectl(
            "create", "-f-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": [pod_group, *pods]})
        )

    def add_node(self, rack: str = "") -> None:
        name = f"{self.pool}-{len(self._nodes)}"
        labels = {"pool": self.pool, "rack": rack}
        self._control_plane.add_node(name, capacity={"nvidia.com/gpu": "1"}, labels=labels)
        self._control_plane.kubectl("wait", f"node/{name}", "--for=condition=Ready", "--timeout=10s")
        self._nodes.append(name)

    def remove_nodes(self) -> None:
        for name in self._nodes:
            self._control_plane.delete_node(name)

    def kubectl(self, *arguments: str, input: str | None = None) -> str:
        return self._control_plane.kubectl(f"--namespace={self._namespace}", *arguments, input=input)

    def wait(self, condition: str) -> None:
        self.kubectl("wait", "pod", "--all", f"--for={condition}", "--timeout=15s")

    def placed(self) -> list[str]:
        return self.kubectl("get", "pods", "-o", "jsonpath={.items[*].spec.nodeName}").split()


@pytest.fixture
def volcano_gang(volcano_control_plane: ControlPlane, volcano_namespace: str) -> Iterator[Gang]:
    gang = Gang(volcano_control_plane, volcano_namespace)
    yield gang
    gang.remove_nodes()


@pytest.fixture
def native_gang(native_gang_control_plane: ControlPlane, native_gang_namespace: str) -> Iterator[Gang]:
    gang = Gang(native_gang_control_plane, native_gang_namespace)
    yield gang
    gang.remove_nodes()


def test_volcano_holds_a_gang_until_it_fits(volcano_gang: Gang) -> None:
    volcano_gang.add_node()
    volcano_gang.add_node()
    pod_group = {
        "apiVersion": "scheduling.volcano.sh/v1beta1",
        "kind": "PodGroup",
        "metadata": {"name": "gang"},
        "spec": {"minMember": 3, "minResources": {"nvidia.com/gpu": "3"}, "queue": "default"},
    }
    volcano_gang.create(3, pod_group, metadata=NAMED, spec={"schedulerName": "volcano"})
    volcano_gang.wait("condition=PodScheduled=False")
    assert volcano_gang.placed() == []
    volcano_gang.add_node()
    volcano_gang.wait("condition=Ready")
    assert len(set(volcano_gang.placed())) == 3


def test_volcano_keeps_a_gang_inside_one_hyper_node(volcano_gang: Gang) -> None:
    racks = [f"{volcano_gang.pool}-rack-{i}" for i in range(2)]
    for rack in racks:
        volcano_gang.kubectl("create", "-f-", input=json.dumps(hyper_node(rack)))
        volcano_gang.add_node(rack)
    pod_group = {
        "apiVersion": "scheduling.volcano.sh/v1beta1",
        "kind": "PodGroup",
        "metadata": {"name": "gang"},
        "spec": {"minMember": 2, "networkTopology": {"mode": "hard", "highestTierAllowed": 1}},
    }
    volcano_gang.create(2, pod_group, metadata=NAMED, spec={"schedulerName": "volcano"})
    volcano_gang.wait("condition=PodScheduled=False")
    assert volcano_gang.placed() == []
    volcano_gang.add_node(racks[1])
    volcano_gang.wait("condition=Ready")
    assert set(volcano_gang.placed()) == {f"{volcano_gang.pool}-1", f"{volcano_gang.pool}-2"}
    volcano_gang.kubectl("delete", "hypernodes", *racks)


def hyper_node(rack: str) -> dict[str, Any]:
    member = {"type": "Node", "selector": {"labelMatch": {"matchLabels": {"rack": rack}}}}
    return {
        "apiVersion": "topology.volcano.sh/v1alpha1",
        "kind": "HyperNode",
        "metadata": {"name": rack},
        "spec": {"tier": 1, "members": [member]},
    }


def test_kubernetes_holds_a_gang_until_it_fits(native_gang: Gang) -> None:
    native_gang.add_node()
    native_gang.add_node()
    pod_group = {
        "apiVersion": "scheduling.k8s.io/v1beta1",
        "kind": "PodGroup",
        "metadata": {"name": "gang"},
        "spec": {"schedulingPolicy": {"gang": {"minCount": 3}}},
    }
    native_gang.create(3, pod_group, spec={"schedulingGroup": {"podGroupName": "gang"}})
    native_gang.wait("condition=PodScheduled=False")
    assert native_gang.placed() == []
    native_gang.add_node()
    native_gang.wait("condition=Ready")
    assert len(set(native_gang.placed())) == 3
