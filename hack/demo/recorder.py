"""What was seen during one step."""

from __future__ import annotations

from dataclasses import dataclass

from modelinfer_controller.kubectl.model.snapshot import Snapshot
from modelinfer_controller.kubectl.model.tree import Tree


@dataclass(frozen=True)
class StepRecord:
    """What a step of the demo showed.

    least_available: the lowest count of available groups that was seen. pods_made: how many of the pods at the end were
    not there before the step.
    """

    name: str
    seconds: float
    least_available: int
    replicas: int
    pods_made: int
    pods_kept: int


class Recorder:
    """Watches one step. before: the world that it starts from, None where there was nothing."""

    def __init__(self, before: Snapshot | None) -> None:
        self._uids_before = _uids(before) if before is not None else frozenset[str]()
        self.least_available: int | None = None

    def see(self, tree: Tree) -> None:
        count = tree.available_groups
        self.least_available = count if self.least_available is None else min(self.least_available, count)

    def report(self, name: str, seconds: float, after: Snapshot, tree: Tree) -> StepRecord:
        uids = _uids(after)
        return StepRecord(
            name=name,
            seconds=seconds,
            least_available=self.least_available or 0,
            replicas=tree.replicas,
            pods_made=len(uids - self._uids_before),
            pods_kept=len(uids & self._uids_before),
        )


def _uids(snapshot: Snapshot) -> frozenset[str]:
    return frozenset(pod.metadata.uid for pod in snapshot.pods.values())
