"""The resources that scheduler, kubelet and node controller read, with spec and status as plain JSON."""

from typing import Any

from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.resource import Resource
from modelinfer_controller.simulator.objects import Object


class PlainObject(KubeObject, frozen=True):
    """Any object: identity decoded, the rest as it came. Nobody changes spec or status."""

    spec: dict[str, Any] = {}
    status: dict[str, Any] = {}

    @property
    def name(self) -> ObjectName:
        return self.metadata.object_name

    @property
    def node_name(self) -> str:
        """A pod's node, "" before it is bound."""
        node: str = self.spec.get("nodeName", "")
        return node

    @property
    def is_finished(self) -> bool:
        return self.status.get("phase") in ("Succeeded", "Failed")

    def condition(self, type_: str) -> Object | None:
        conditions: list[Object] = self.status.get("conditions") or []
        return next((one for one in conditions if one.get("type") == type_), None)


PODS = Resource("", "v1", "pods", "Pod", PlainObject)
NODES = Resource("", "v1", "nodes", "Node", PlainObject, namespaced=False)
NATIVE_POD_GROUPS = Resource("scheduling.k8s.io", "v1beta1", "podgroups", "PodGroup", PlainObject)
VOLCANO_POD_GROUPS = Resource("scheduling.volcano.sh", "v1beta1", "podgroups", "PodGroup", PlainObject)
