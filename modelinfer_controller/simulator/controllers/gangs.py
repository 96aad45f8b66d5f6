"""Gangs: which pods must be placed together, as either kind of PodGroup says."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.simulator.resources import PlainObject

VOLCANO_GROUP = "scheduling.k8s.io/group-name"
VOLCANO_TASK = "volcano.sh/task-spec"


@dataclass(frozen=True, slots=True)
class GangName:
    """A PodGroup's name, and of which of the two kinds it is."""

    group: ObjectName
    is_native: bool


@dataclass(frozen=True, slots=True)
class Gang:
    """How many pods must have a node before any gets one; by task where the PodGroup says so."""

    min_count: int
    min_count_by_task: Mapping[str, int] = field(default_factory=dict)

    def is_complete(self, pods: Sequence[PlainObject]) -> bool:
        by_task = Counter(task_of(pod) for pod in pods)
        return len(pods) >= self.min_count and all(
            by_task[task] >= count for task, count in self.min_count_by_task.items()
        )


def task_of(pod: PlainObject) -> str:
    return pod.metadata.annotations.get(VOLCANO_TASK, "")


def gang_name(pod: PlainObject, *, is_native_served: bool) -> GangName | None:
    """The gang that the pod belongs to, or None. Each scheduler knows its own kind of PodGroup only."""
    namespace = pod.metadata.namespace
    if pod.spec.get("schedulerName") == "volcano":
        group = pod.metadata.annotations.get(VOLCANO_GROUP, "")
        return GangName(ObjectName(namespace, group), False) if group else None
    native: str = (pod.spec.get("schedulingGroup") or {}).get("podGroupName", "")
    return GangName(ObjectName(namespace, native), True) if native and is_native_served else None


def gang_of(pod_group: PlainObject, *, is_native: bool) -> Gang:
    """What the PodGroup asks for."""
    spec = pod_group.spec
    if is_native:
        policy = spec.get("schedulingPolicy") or {}
        return Gang((policy.get("gang") or {}).get("minCount", 1))
    return Gang(spec.get("minMember") or 0, spec.get("minTaskMember") or {})
