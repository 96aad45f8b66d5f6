"""A user with nodes of his own: small ones, on which nobody else's pods run, and which he fills to the last GPU."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from typing import Any

from controlplane import ControlPlane
from models import Manifest, model, pod
from user import User, is_ready
from watched import Object, Watched

POD_GROUPS = {
    "volcano": "/apis/scheduling.volcano.sh/v1beta1/namespaces/{}/podgroups",
    "kubernetes": "/apis/scheduling.k8s.io/v1beta1/namespaces/{}/podgroups",
}

REMOVE_GANG = '[{"op": "remove", "path": "/spec/template/gangSchedule"}]'  # a JSON patch of a ModelInfer


class Tenant(User):
    """pod_groups: whose PodGroups he looks at, a key of POD_GROUPS."""

    def __init__(self, control_plane: ControlPlane, namespace: str, pod_groups: str = "") -> None:
        super().__init__(control_plane, namespace)
        self._pod_groups = pod_groups
        self._nodes: list[str] = []

    # His nodes and pods.

    def add_nodes(self, count: int, *, gpus: int = 1, zone: str = "zone-a", **labels: str) -> list[str]:
        """Nodes with so many GPUs each; labels by keyword are label keys."""
        added = [f"{self.namespace}-{len(self._nodes) + i}" for i in range(count)]
        for name in added:
            own = {"pool": self.namespace, **labels}
            self.control_plane.add_node(name, zone=zone, capacity={"nvidia.com/gpu": str(gpus)}, labels=own)
            self._nodes.append(name)
        return added

    def remove_nodes(self) -> None:
        for name in self._nodes:
            self.control_plane.delete_node(name)

    def pod(self, image: str = "image:1", *, gpus: int = 1, **spec: Any) -> Manifest:
        """A template of a pod for these nodes; keywords are fields of its spec."""
        made = pod(image)
        if gpus:
            made["spec"]["containers"][0]["resources"] = {"limits": {"nvidia.com/gpu": str(gpus)}}
        made["spec"] |= {"nodeSelector": {"pool": self.namespace}, **spec}
        return made

    def role(self, name: str, *, replicas: int = 1, workers: int = 0, **template: Any) -> Manifest:
        made = {"name": name, "replicas": replicas, "workerReplicas": workers, "entryTemplate": self.pod(**template)}
        return {**made, "workerTemplate": self.pod(**template)} if workers else made

    def gang(
        self,
        name: str,
        *roles: Manifest,
        annotations: Manifest | None = None,
        minimum: Manifest | None = None,
        **spec: Any,
    ) -> Manifest:
        """A ModelInfer with gangSchedule; `minimum` is minRoleReplicas."""
        gang: Manifest = {"minRoleReplicas": minimum} if minimum is not None else {}
        made: Manifest = model(name, *roles, template={"gangSchedule": gang}, **spec)
        made["metadata"]["annotations"] = annotations or {}
        return made

    # What he sees.

    def watch(self, resource: str) -> Watched:
        if resource == "podgroups" and resource not in self._watched:
            path = POD_GROUPS[self._pod_groups].format(self.namespace)
            self._watched[resource] = Watched(self._access, path, self._news)
        return super().watch(resource)

    def forget_pod_groups(self) -> None:
        """Until they are looked at again: their kind is about to go."""
        self._watched.pop("podgroups").stop()

    @property
    def pod_groups(self) -> dict[str, Object]:
        return dict(self.watch("podgroups").by_name)

    @property
    def ready_pods(self) -> set[str]:
        return {name for name, found in self.pods.items() if is_ready(found)}

    @property
    def node_of(self) -> dict[str, str]:
        """Pod -> the node that it was given."""
        return {name: node for name, found in self.pods.items() if (node := found["spec"].get("nodeName"))}

    def ever_placed(self) -> set[str]:
        """Every pod that ever was given a node, as far as the watch goes back."""
        return {change.name for change in self.watch("pods").changes if change.object["spec"].get("nodeName")}

    def is_settled(self, name: str) -> bool:
        """As specified; what GangScheduling says is another question."""
        found = self.watch("modelinfers").by_name.get(name)
        if found is None or found.get("status", {}).get("observedGeneration") != found["metadata"]["generation"]:
            return False
        stated = {one["type"]: one["status"] for one in found["status"].get("conditions", [])}
        stated.pop("GangScheduling", None)
        expected = {"Available": "True", "Progressing": "False", "UpdateInProgress": "False", "Ready": "True"}
        return stated.items() >= expected.items()

    # What he waits for.

    def wait_refused(self, pods: Collection[str]) -> None:
        """Until the scheduler has said of each of these pods that it cannot be placed."""
        self.wait(lambda: all(self.is_refused(name) for name in pods), f"refused: {sorted(pods)}")

    def is_refused(self, name: str) -> bool:
        found = self.pods.get(name)
        conditions = found["status"].get("conditions", []) if found else []
        return any(one["type"] == "PodScheduled" and one["status"] == "False" for one in conditions)

    def wait_ready(self, pods: Iterable[str]) -> None:
        """Until exactly these pods are ready."""
        expected = set(pods)
        self.wait(lambda: self.ready_pods == expected, f"ready: {sorted(expected)}, not {sorted(self.ready_pods)}")

    def wait_gone(self) -> None:
        self.wait(lambda: not self.pods, "no pods")

    # What else he does.

    def create(self, *manifests: Manifest) -> None:
        self.kubectl("create", "-f-", input=json.dumps({"apiVersion": "v1", "kind": "List", "items": manifests}))

    def delete_model(self, name: str) -> None:
        self.kubectl("delete", "modelinfer", name, "--wait=false")

    def _describe(self) -> str:
        groups = self._watched["podgroups"].by_name.values() if "podgroups" in self._watched else ()
        told = [f"PodGroup {one['metadata']['name']} {json.dumps([one['spec'], one.get('status')])}" for one in groups]
        return "\n".join([super()._describe(), *told])


def group_pods(model: str, group: int, **instances: tuple[int, int]) -> set[str]:
    """The pods of a group: role -> (instances, pods of each)."""
    return {
        f"{model}-{group}-{role}-{instance}-{index}"
        for role, (count, size) in instances.items()
        for instance in range(count)
        for index in range(size)
    }


def uids(objects: Mapping[str, Object]) -> dict[str, str]:
    return {name: found["metadata"]["uid"] for name, found in objects.items()}


def version(found: Object) -> int:
    """The place of this state of an object in the server's one history."""
    return int(found["metadata"]["resourceVersion"])
