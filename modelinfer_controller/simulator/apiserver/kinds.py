"""The kinds that the server knows: the built-in ones, and those that a CustomResourceDefinition adds."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from modelinfer_controller.simulator.apiserver.schema import Schema
from modelinfer_controller.simulator.objects import Object

KindKey = tuple[str, str]
"""Group and plural: what identifies a resource's storage."""


@dataclass(frozen=True, slots=True)
class ScalePaths:
    """Where the scale subresource finds its three values: field names from the object's root; selector may be ()."""

    spec_replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    selector: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Column:
    """A printer column of a custom kind. priority above 0 shows with -o wide only."""

    name: str
    type: str
    json_path: str
    priority: int = 0
    description: str = ""


@dataclass(frozen=True, slots=True)
class CustomSchema:
    """What a CustomResourceDefinition says of its one served version: openAPIV3Schema, and how to print an object."""

    document: Object
    schema: Schema
    columns: tuple[Column, ...] = ()


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource of one API version.

    has_status: has a status subresource, so that writes elsewhere leave status alone. has_generation: spec changes are
    counted in metadata.generation.
    """

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool = True
    has_status: bool = False
    has_generation: bool = False
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    scale: ScalePaths | None = None
    custom: CustomSchema | None = field(default=None, compare=False)

    @property
    def key(self) -> KindKey:
        return (self.group, self.plural)

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def resource(self) -> str:
        """The resource as messages name it: modelinfers.workload.volcano.sh."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    @property
    def qualified_kind(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind

    @property
    def list_kind(self) -> str:
        return f"{self.kind}List"

    @property
    def root(self) -> str:
        """The path below which the API version is served."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


def _core(plural: str, kind: str, **more: bool | tuple[str, ...]) -> Kind:
    return Kind("", "v1", plural, kind, **more)  # type: ignore[arg-type]


NAMESPACES: Final = _core("namespaces", "Namespace", namespaced=False, has_status=True, short_names=("ns",))
PODS: Final = Kind(
    "",
    "v1",
    "pods",
    "Pod",
    has_status=True,
    has_generation=True,
    short_names=("po",),
    categories=("all",),
    subresources=("binding", "eviction"),
)
SERVICES: Final = _core("services", "Service", has_status=True, short_names=("svc",), categories=("all",))
NODES: Final = _core("nodes", "Node", namespaced=False, has_status=True, short_names=("no",))
BINDINGS: Final = _core("bindings", "Binding")
EVENTS: Final = _core("events", "Event", short_names=("ev",))
CONFIG_MAPS: Final = _core("configmaps", "ConfigMap", short_names=("cm",))
RESOURCE_QUOTAS: Final = _core("resourcequotas", "ResourceQuota", has_status=True, short_names=("quota",))
SERVICE_ACCOUNTS: Final = _core("serviceaccounts", "ServiceAccount", short_names=("sa",))
CONTROLLER_REVISIONS: Final = Kind("apps", "v1", "controllerrevisions", "ControllerRevision")
ACCESS_REVIEWS: Final = Kind(
    "authorization.k8s.io", "v1", "selfsubjectaccessreviews", "SelfSubjectAccessReview", namespaced=False
)
LEASES: Final = Kind("coordination.k8s.io", "v1", "leases", "Lease")
POD_DISRUPTION_BUDGETS: Final = Kind(
    "policy",
    "v1",
    "poddisruptionbudgets",
    "PodDisruptionBudget",
    has_status=True,
    has_generation=True,
    short_names=("pdb",),
)
NEW_EVENTS: Final = Kind("events.k8s.io", "v1", "events", "Event", short_names=("ev",))
PRIORITY_CLASSES: Final = Kind(
    "scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass", namespaced=False, short_names=("pc",)
)
CUSTOM_RESOURCE_DEFINITIONS: Final = Kind(
    "apiextensions.k8s.io",
    "v1",
    "customresourcedefinitions",
    "CustomResourceDefinition",
    namespaced=False,
    has_status=True,
    has_generation=True,
    short_names=("crd", "crds"),
)
NATIVE_POD_GROUPS: Final = Kind(
    "scheduling.k8s.io", "v1beta1", "podgroups", "PodGroup", has_status=True, has_generation=True
)
VOLCANO_POD_GROUPS: Final[KindKey] = ("scheduling.volcano.sh", "podgroups")

BUILT_IN: Final = (
    NAMESPACES,
    PODS,
    SERVICES,
    NODES,
    BINDINGS,
    EVENTS,
    CONFIG_MAPS,
    RESOURCE_QUOTAS,
    SERVICE_ACCOUNTS,
    CONTROLLER_REVISIONS,
    ACCESS_REVIEWS,
    LEASES,
    NEW_EVENTS,
    POD_DISRUPTION_BUDGETS,
    PRIORITY_CLASSES,
    CUSTOM_RESOURCE_DEFINITIONS,
)


class Kinds:
    """The kinds served at present. Iterates in the order in which they were added."""

    def __init__(self, kinds: tuple[Kind, ...] = BUILT_IN) -> None:
        self._kind_by_path: dict[tuple[str, str, str], Kind] = {}
        for kind in kinds:
            self.add(kind)

    def add(self, kind: Kind) -> None:
        """Serves the kind, in place of what was served under its path."""
        self._kind_by_path[(kind.group, kind.version, kind.plural)] = kind

    def remove(self, key: KindKey) -> None:
        for path in [path for path, kind in self._kind_by_path.items() if kind.key == key]:
            del self._kind_by_path[path]

    def find(self, group: str, version: str, plural: str) -> Kind | None:
        return self._kind_by_path.get((group, version, plural))

    def __iter__(self) -> Iterator[Kind]:
        return iter(tuple(self._kind_by_path.values()))
