"""What the groups of each ModelInfer are at, and how far its rollout is."""

from collections import Counter as Tally
from enum import StrEnum

from prometheus_client import CollectorRegistry, Gauge

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.planning.assess import Assessment
from modelinfer_controller.planning.group import Group

OWNER = ("namespace", "name")


class GroupStateName(StrEnum):
    """What a group is at, exactly one at a time."""

    AVAILABLE = "available"
    STARTING = "starting"  # every pod has its node
    PENDING = "pending"  # pods are to be made, or wait for a node
    REBUILDING = "rebuilding"  # after a failure
    BACKING_OFF = "backing_off"  # a rebuild waits for its time
    TERMINATING = "terminating"  # replaced, or not to be any more


def is_available(ordinal: int, assessment: Assessment) -> bool:
    return ordinal in assessment.states and assessment.states[ordinal].is_available


def state_of(group: Group, assessment: Assessment) -> GroupStateName:
    ordinal = group.ordinal
    if ordinal not in assessment.plans or (group.pods and not group.live_pods and not group.record.rebuilds):
        return GroupStateName.TERMINATING
    if is_available(ordinal, assessment):
        return GroupStateName.AVAILABLE
    recovery = assessment.plans[ordinal].recovery
    if recovery.rebuilds or any(not rebuild.complete for rebuild in recovery.record.rebuilds.values()):
        return GroupStateName.REBUILDING
    if any(postponed.is_backoff for postponed in recovery.postponed):
        return GroupStateName.BACKING_OFF
    if not group.live_pods or not all(pod.is_scheduled for pod in group.live_pods):
        return GroupStateName.PENDING
    return GroupStateName.STARTING


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

    def set(self, key: ObjectName, assessment: Assessment) -> None:
        wanted, update = assessment.budget.replicas, assessment.update.name
        tally = Tally(state_of(group, assessment) for group in assessment.groups.values())
        for state in GroupStateName:
            self._groups.labels(*key, state).set(tally[state])
        self._desired.labels(*key).set(wanted)
        running = [group for group in assessment.groups.values() if group.live_pods]
        self._updated.labels(*key).set(sum(group.revision.name == update for group in running))
        states = [assessment.states[ordinal] for ordinal in range(wanted)]
        done = sum(state.is_available and state.revision == update for state in states)
        self._progress.labels(*key).set(done / wanted if wanted else 1.0)

    def remove(self, key: ObjectName) -> None:
        for gauge in (self._groups, self._desired, self._updated, self._progress):
            gauge.remove_by_labels({"namespace": key.namespace, "name": key.name})
