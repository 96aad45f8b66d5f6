"""What the groups of each ModelInfer are at, and how far its update is."""

from collections import Counter as Tally

from prometheus_client import CollectorRegistry, Gauge

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.group_phase import GroupPhase, group_phase

OWNER = ("namespace", "name")


class GroupGauges:
    """Set when somebody asks, from what was concluded last: a reconcile is not to pay for them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._groups = Gauge("modelinfer_groups", "Groups by state", (*OWNER, "state"), registry=registry)
        self._desired = Gauge("modelinfer_groups_desired", "spec.replicas", OWNER, registry=registry)
        self._updated = Gauge("modelinfer_groups_updated", "Groups at the update revision", OWNER, registry=registry)
        self._progress = Gauge(
            "modelinfer_rollout_progress_ratio",
            "Share of the desired groups that are available at the update revision; 1 when nothing is left to do",
            OWNER,
            registry=registry,
        )

    def set(self, key: ObjectName, decision: Decision) -> None:
        wanted, update = decision.budget.replicas, decision.revisions.update.name
        tally = Tally(group_phase(decision, ordinal) for ordinal in decision.groups)
        for phase in GroupPhase:
            self._groups.labels(*key, phase).set(tally[phase])
        self._desired.labels(*key).set(wanted)
        running = [group for group in decision.groups.values() if group.live_pods]
        self._updated.labels(*key).set(sum(group.revision.name == update for group in running))
        of_spec = [group for ordinal, group in decision.groups.items() if ordinal < wanted]
        done = sum(group.is_available and group.revision.name == update for group in of_spec)
        self._progress.labels(*key).set(done / wanted if wanted else 1.0)

    def remove(self, key: ObjectName) -> None:
        for gauge in (self._groups, self._desired, self._updated, self._progress):
            gauge.remove_by_labels({"namespace": key.namespace, "name": key.name})
