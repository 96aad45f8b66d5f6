"""Resources: where a kind lives on the API server and which Struct its objects decode to."""

from dataclasses import dataclass
from typing import Generic, TypeVar
from urllib.parse import quote

from modelinfer_controller.api import core

T = TypeVar("T", bound=core.KubeObject)


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """One served resource. group is "" for the core group; plural is the name in the path ("pods").

    type must decode every object that the server may hold: an object it refuses would block the whole list.
    """

    group: str
    version: str
    plural: str
    kind: str
    type: type[T]
    namespaced: bool = True

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def group_path(self) -> str:
        """Path of the group's version, which discovery of its resources is read from."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str | None = None, name: str | None = None, subresource: str | None = None) -> str:
        """Path of an object, or without a name of the collection: of one namespace, or of all of them.

        The namespace is ignored for a cluster-scoped resource. Raises ValueError for a namespaced object without one.
        """
        if name and self.namespaced and not namespace:
            raise ValueError(f"{self.kind} {name} needs a namespace")
        parts = [self.group_path]
        if namespace and self.namespaced:
            parts += ["namespaces", _segment(namespace)]
        parts.append(self.plural)
        if name:
            parts.append(_segment(name))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def __str__(self) -> str:
        return f"{self.plural}.{self.group}" if self.group else self.plural


def _segment(value: str) -> str:
    """The value as one path segment; names of valid objects are left as they are."""
    return quote(value, safe=":")


PODS = Resource("", "v1", "pods", "Pod", core.Pod)
SERVICES = Resource("", "v1", "services", "Service", core.Service)
NODES = Resource("", "v1", "nodes", "Node", core.Node, namespaced=False)
NAMESPACES = Resource("", "v1", "namespaces", "Namespace", core.KubeObject, namespaced=False)
CORE_EVENTS = Resource("", "v1", "events", "Event", core.Event)
CONTROLLER_REVISIONS = Resource("apps", "v1", "controllerrevisions", "ControllerRevision", core.ControllerRevision)
POD_DISRUPTION_BUDGETS = Resource(
    "policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget", core.PodDisruptionBudget
)
