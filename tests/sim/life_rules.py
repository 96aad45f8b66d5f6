"""What a group's life promises at all times: a pause, a suspension, a drain, an entry pod that comes first, a deadline.

Rules marked strict hold as far as the controller could know, as in `rules`.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta

from modelinfer_controller.api import well_known
from modelinfer_controller.simulator.apiserver.store import ChangeType
from sim.facts import MODEL_INFERS, PODS, Facts, Object, Pod, condition, parse_pod, wanted_groups
from sim.journal import CONTROLLER, Entry
from sim.rollout_rules import NEWS, RolloutRules
from sim.world import World

ROUNDING = 3.0  # seconds: clocks in the status are of whole seconds, and a status may be written a second late
TOO_LATE = 60.0  # seconds after a deadline at which its failure must be in the status


@dataclass
class LifeRules:
    """Attach to a world before anything happens."""

    world: World
    rollout: RolloutRules
    _edited_at: float = float("-inf")
    _goal: tuple[str, str] = ("", "")
    _goal_since: float = 0.0
    _stirred_at: float = 0.0  # when last something happened that may stop or restart the clock of the deadline
    _revision_by_group: dict[int, str] = field(default_factory=dict)  # of the pod that was made last
    declared: int = 0  # failures of updates

    def __post_init__(self) -> None:
        self.world.journal.on_entry.insert(0, self.note)  # before the rollout's rules forget who is taken down

    @property
    def is_strict(self) -> bool:
        return self.rollout.is_strict and self.world.now - self._edited_at > NEWS

    @property
    def facts(self) -> Facts:
        return self.world.facts

    def note(self, entry: Entry) -> None:
        if entry.change.kind_key == MODEL_INFERS:
            self._note_model(entry)
        if entry.change.kind_key != PODS:
            return
        change = entry.change
        before = parse_pod(change.previous.object) if change.previous is not None else None
        after = parse_pod(change.stored.object) if change.type is not ChangeType.DELETED else None
        if after is not None and after.is_ready and not (before is not None and before.is_ready):
            self._stirred_at = entry.time
        if entry.author != CONTROLLER:
            return
        if before is None and after is not None:
            self._made(after, f"{entry.time:.3f} s: {after.name} is made")
        elif before is not None and not before.is_terminating and (after is None or after.is_terminating):
            self._removed(before, f"{entry.time:.3f} s: {before.name} is deleted")
        elif before is not None and after is not None and before.is_draining and after.is_draining:
            assert before.drain_deadline == after.drain_deadline, f"{after.name}: a drain's deadline is set once"

    # -- pods that are made ------------------------------------------------------------------------------------------

    def _made(self, pod: Pod, where: str) -> None:
        last = self._revision_by_group.get(pod.group)
        self._revision_by_group[pod.group] = pod.revision
        if not self.is_strict:
            return
        spec = self.facts.spec
        assert not spec.get("suspend"), f"{where} while the ModelInfer is suspended"
        if spec.get("paused") and not self.rollout.is_taken(pod.group):
            allowed = {last, self.facts.status.get("currentRevision")}
            assert pod.revision in allowed, f"{where} at {pod.revision}, not at {allowed}, while the update is paused"
        serving = pod.object["metadata"]["labels"].get(well_known.SERVING)
        assert serving == ("true" if "drain" in spec["template"] else None), f"{where} with serving={serving}"
        if spec["template"].get("startupPolicy") == "EntryReady" and pod.index:
            assert self._has_ready_entry(pod), f"{where} before its entry pod is ready"

    def _has_ready_entry(self, pod: Pod) -> bool:
        place = (pod.group, pod.role, pod.instance, 0)
        entries = [one for one in self.facts.pods() if (one.group, one.role, one.instance, one.index) == place]
        return any(one.is_ready or self.world.now - self.rollout.lost_readiness_at(one) < NEWS for one in entries)

    # -- pods that are taken away ------------------------------------------------------------------------------------

    def _removed(self, pod: Pod, where: str) -> None:
        """A voluntary removal drains: of what is beyond the spec, outdated, or on a node that leaves."""
        if not self.is_strict or "drain" not in self.facts.spec["template"] or not self._is_voluntary(pod):
            return
        assert pod.is_draining, f"{where} without a drain"
        label = pod.object["metadata"]["labels"].get(well_known.SERVING)
        assert label is None, f"{where} with serving={label}"
        ends_at = datetime.fromisoformat(pod.drain_deadline)
        assert ends_at <= self.world.cluster.clock.now() or self._said_drained(pod), f"{where} before {ends_at}"

    def _is_voluntary(self, pod: Pod) -> bool:
        siblings = [one for one in self.facts.pods() if one.group == pod.group]
        if self.rollout.has_trouble(pod.group, [*siblings, pod]):
            return False
        wanted = {role["name"].lower(): role["replicas"] for role in self.facts.spec["template"]["roles"]}
        is_beyond = pod.group >= wanted_groups(self.facts.spec) or pod.instance >= wanted.get(
            pod.role, pod.instance + 1
        )
        is_outdated = pod.revision != self.facts.goal_revision()
        return is_beyond or is_outdated or self.rollout.is_handed_over([*siblings, pod])

    def _said_drained(self, pod: Pod) -> bool:
        """Whether the entry pods that still are there say so, of the group or of the instance."""
        entries = [one for one in [*self.facts.pods(), pod] if one.group == pod.group and one.index == 0]
        return any(one.object["metadata"]["annotations"].get(well_known.DRAINED) == "true" for one in entries)

    # -- the status --------------------------------------------------------------------------------------------------

    def _note_model(self, entry: Entry) -> None:
        model, previous = entry.change.stored.object, entry.change.previous
        before = previous.object if previous is not None else {}
        if entry.author != CONTROLLER:
            self._edited_at = self._stirred_at = entry.time
            if previous is None or entry.change.type is ChangeType.DELETED:
                self._revision_by_group.clear()
                self._goal = ("", "")
            return
        failure = _failure(model)
        if failure and failure != _failure(before) and self.rollout.is_strict:
            self._declared(model, entry)
        status = model.get("status") or {}
        goal = (status.get("updateRevision", ""), status.get("failedRevision", ""))
        if goal != self._goal:
            self._goal, self._goal_since = goal, entry.time
        self._check_available(model, entry)

    def _declared(self, model: Object, entry: Entry) -> None:
        """An update does not fail before its deadline."""
        self.declared += 1
        deadline = model["spec"].get("progressDeadlineSeconds")
        assert deadline is not None, f"{entry.time:.3f} s: an update has failed that has no deadline"
        took = entry.time - self._goal_since
        assert took >= deadline - ROUNDING, (
            f"{entry.time:.3f} s: the update has failed after {took:.3f} of {deadline} s"
        )

    def _check_available(self, model: Object, entry: Entry) -> None:
        """Strict. All groups are available only when all of their pods were ready for minReadySeconds."""
        spec, seconds = model["spec"], model["spec"].get("minReadySeconds", 0)
        is_available = condition(model, "Available").get("status") == "True"
        if not seconds or not is_available or not self.is_strict or "gangSchedule" in spec["template"]:
            return
        newest = self.world.cluster.clock.now() - timedelta(seconds=seconds)
        for pod in self.facts.pods():
            if pod.is_ready and pod.group < spec["replicas"] and not pod.is_draining:
                since = datetime.fromisoformat(pod.ready_since)
                assert since <= newest, f"{entry.time:.3f} s: available though {pod.name} is ready since {since}"

    async def check_deadline(self) -> None:
        """An update that stands still for longer than its deadline, while the controller could see it, has failed."""
        model = self.facts.model
        world = self.world
        if model is None or not world.controller.is_running or self.rollout.has_faults or world.is_behind:
            self._stirred_at = world.now
            return
        spec, update = model["spec"], condition(model, "UpdateInProgress")
        deadline = spec.get("progressDeadlineSeconds")
        if not deadline or spec.get("paused") or spec.get("suspend") or update.get("reason") != "RollingUpdate":
            return
        stood = world.now - max(self._stirred_at, self._goal_since)
        assert stood < deadline + TOO_LATE, (
            f"{world.now:.3f} s: after {stood:.0f} s the update has not failed: {update}"
        )


def _failure(model: Object) -> str:
    stalled = condition(model, "Stalled")
    return str(stalled.get("reason", "")) if stalled.get("status") == "True" else ""
