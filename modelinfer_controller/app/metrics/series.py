"""The series of each ModelInfer, rendered when somebody asks from what was read just before: a reconcile pays nothing.

All of them are given anew at each scrape. So those of a ModelInfer that is gone, and of a reason that is over, go.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

from modelinfer_controller.api.names import ObjectName

OWNER = ("namespace", "name")
Point = tuple[str, tuple[str, ...], float]  # metric, values of its own labels, value


@dataclass(frozen=True, slots=True)
class Family:
    """labels: beside those of the ModelInfer."""

    type: type[CounterMetricFamily] | type[GaugeMetricFamily]
    description: str
    labels: tuple[str, ...] = ()

    def empty(self, name: str) -> CounterMetricFamily | GaugeMetricFamily:
        return self.type(name, self.description, labels=(*OWNER, *self.labels))


_GAUGE, _COUNTER = GaugeMetricFamily, CounterMetricFamily
FAMILIES: Mapping[str, Family] = {
    "modelinfer_groups": Family(_GAUGE, "Groups by state", ("state",)),
    "modelinfer_groups_desired": Family(_GAUGE, "Groups that are to exist: spec.replicas, 0 while suspended"),
    "modelinfer_groups_updated": Family(_GAUGE, "Groups at the update revision"),
    "modelinfer_groups_unavailable": Family(
        _GAUGE, "Desired groups that are not available, by the reason that the condition Available gives", ("reason",)
    ),
    "modelinfer_groups_available_seconds": Family(
        _COUNTER, "Seconds for which desired groups were available, summed over the groups"
    ),
    "modelinfer_groups_unavailable_seconds": Family(
        _COUNTER, "Seconds for which desired groups were not available, by reason, summed over the groups", ("reason",)
    ),
    "modelinfer_rollout_progress_ratio": Family(
        _GAUGE, "Share of the desired groups that are available at the update revision; 1 when nothing is left to do"
    ),
    "modelinfer_rollout_start_timestamp_seconds": Family(
        _GAUGE, "When the update that is under way began; absent while none is"
    ),
    "modelinfer_rollout_last_duration_seconds": Family(
        _GAUGE, "How long the last update took that was completed; absent before the first"
    ),
    "modelinfer_rollout_failed": Family(
        _GAUGE, "Whether the update to the present template was given up: halted, or rolled back"
    ),
    "modelinfer_rollouts": Family(_COUNTER, "Updates by outcome: completed, halted or rolled_back", ("outcome",)),
    "modelinfer_paused": Family(_GAUGE, "spec.paused"),
    "modelinfer_partition": Family(_GAUGE, "Groups below this ordinal are kept at their revision"),
    "modelinfer_pod_group_kind_missing": Family(
        _GAUGE, "Whether gangSchedule asks for PodGroups of a kind that the cluster lacks; absent where nobody asks"
    ),
    "modelinfer_info": Family(
        _GAUGE,
        "Always 1: the revisions, the recovery policy, and who schedules gangs",
        ("current_revision", "update_revision", "recovery_policy", "gang_scheduler"),
    ),
    "modelinfer_rebuilds": Family(
        _COUNTER, "Recreations by recovery policy and cause (deleted, failed, restarted)", ("policy", "cause")
    ),
    "modelinfer_replacements": Family(
        _COUNTER,
        "Groups, and role instances that move by themselves, that began to be replaced: RollingUpdate or HandingOver",
        ("reason",),
    ),
}


class ModelInferCollector:
    """What was last read. `collect` runs in a thread; it takes one sequence and builds nothing that others see."""

    def __init__(self) -> None:
        self._rows: Sequence[tuple[ObjectName, Sequence[Point]]] = ()

    def read(self, rows: Iterable[tuple[ObjectName, Sequence[Point]]]) -> None:
        self._rows = tuple(rows)

    def collect(self) -> Iterable[CounterMetricFamily | GaugeMetricFamily]:
        families = {name: family.empty(name) for name, family in FAMILIES.items()}
        for key, points in self._rows:
            for metric, labels, value in points:
                families[metric].add_metric((*key, *labels), value)
        return families.values()
