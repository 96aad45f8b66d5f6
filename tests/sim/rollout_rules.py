"""The rules of a rollout, checked at every pod that the controller takes down: from the patch on that begins its drain.

These are the availability rule, the pace rule, the partition, the pause and the halt. And never below the budget by our
own hand: a group that keeps its revision goes only where it is on a node that leaves, and by the availability rule.

Only such take-downs are judged: a group that had trouble of its own (a pod failed, restarted, was deleted by
somebody) may be rebuilt at any time, and is left out until none of the pods of that time are there.
"""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

from support.update_rules import rules_of

from modelinfer_controller.simulator.apiserver.store import ChangeType
from sim.facts import (
    MODEL_INFERS,
    NODES,
    PODS,
    Facts,
    Object,
    Pod,
    complete_instances,
    hands_over,
    is_leaving,
    parse_pod,
    wanted_groups,
)
from sim.journal import CONTROLLER, Entry
from sim.world import World

NEWS = 0.5  # seconds that a request may have been under way when its reason went


@dataclass
class RolloutRules:
    """Attach to a world before anything happens. Strict, as in `rules`."""

    world: World
    has_faults: bool = False
    _ready_until: dict[str, float] = field(default_factory=dict)  # pod UID -> when it lost readiness, not by us
    _troubled: dict[int, set[str]] = field(default_factory=dict)  # group -> pods of the time of its trouble
    _taken: dict[int, str] = field(default_factory=dict)  # groups that are taken down -> the revision they keep, or ""
    _excused: dict[int, float] = field(default_factory=dict)  # groups with trouble that are being taken down, and when
    _left_until: dict[str, float] = field(default_factory=dict)  # node -> when it was last seen to leave
    _handed_over_until: float = float("-inf")  # when the policy was last HandOver
    _owner: str = ""
    judged: int = 0
    spoilt: int | None = None  # the group whose pods a webhook spoils: it is recreated again and again

    def __post_init__(self) -> None:
        self.world.journal.on_entry.append(self.note)

    def forgive(self) -> None:
        """What was scaled or edited is judged anew: present pods may go for other reasons than a rollout."""
        for group, pods in self.world.facts.pods_by_group().items():
            self._trouble(group, pods)

    @property
    def is_strict(self) -> bool:
        """Whether the controller sees the present."""
        return not self.has_faults and not self.world.is_behind

    @property
    def facts(self) -> Facts:
        return self.world.facts

    def note(self, entry: Entry) -> None:
        self._note_reasons(entry)
        if entry.change.kind_key != PODS:
            return
        if self.facts.uid != self._owner:
            self._owner = self.facts.uid
            self._troubled.clear()
            self._taken.clear()
            self._excused.clear()
        before = parse_pod(entry.change.previous.object) if entry.change.previous is not None else None
        after = parse_pod(entry.change.stored.object) if entry.change.type is not ChangeType.DELETED else None
        if entry.author == CONTROLLER:
            if before is None and after is not None:
                self._taken.pop(after.group, None)  # it is gone, and made anew
            if before is not None and not before.is_terminating and (after is None or after.is_terminating):
                self._taken_down(before, entry)
            elif before is not None and after is not None and before.is_draining != after.is_draining:
                self._drain_changed(before, after, entry)
            return
        if before is None:
            return
        if before.is_ready and not (after is not None and after.is_ready):
            self._ready_until[before.uid] = entry.time
        has_trouble = after is None or after.has_failed or after.is_terminating
        if has_trouble and not before.is_terminating:
            self._trouble(before.group, [*self.facts.pods_by_group().get(before.group, []), before])

    def _note_reasons(self, entry: Entry) -> None:
        """Notes until when there was a reason to hand groups over that is gone now."""
        previous = entry.change.previous.object if entry.change.previous is not None else None
        if previous is None:
            return
        if entry.change.kind_key == NODES and is_leaving(previous):
            self._left_until[entry.change.key[1]] = entry.time
        if entry.change.kind_key == MODEL_INFERS and hands_over(previous["spec"]):
            self._handed_over_until = entry.time

    def _drain_changed(self, before: Pod, after: Pod, entry: Entry) -> None:
        if after.is_draining:
            self._taken_down(before, entry)
        else:
            self._taken.pop(after.group, None)
            self._excused.pop(after.group, None)

    def is_taken(self, group: int) -> bool:
        """Whether an update has taken it down, and it is not made anew yet."""
        return self._taken.get(group) == ""

    def is_handed_over(self, pods: list[Pod]) -> bool:
        """Whether one of these pods is on a node that leaves, or did so until this very moment."""
        asked = hands_over(self.facts.spec) or self.world.now - self._handed_over_until < NEWS
        return asked and any(self._leaves(pod.node) for pod in pods)

    def _leaves(self, name: str) -> bool:
        node = self.facts.node(name)
        is_past = self.world.now - self._left_until.get(name, float("-inf")) < NEWS
        return is_past or (node is not None and is_leaving(node))

    def has_trouble(self, group: int, pods: list[Pod]) -> bool:
        """Whether one of these pods is of a time when the group had trouble of its own."""
        return bool(self._troubled.get(group, set()) & {pod.uid for pod in pods})

    def lost_readiness_at(self, pod: Pod) -> float:
        """When it was last taken from it by somebody else than the controller; before all time if never."""
        return self._ready_until.get(pod.uid, float("-inf"))

    def _trouble(self, group: int, pods: list[Pod]) -> None:
        self._troubled.setdefault(group, set()).update(pod.uid for pod in pods)

    def _is_troubled(self, group: int, pods: list[Pod]) -> bool:
        if not self._troubled.get(group, set()) & {pod.uid for pod in pods}:
            self._troubled.pop(group, None)
            return False
        return True

    def _taken_down(self, pod: Pod, entry: Entry) -> None:
        """The controller has just begun to delete this pod, which is now terminating or gone."""
        spec, goal = self.facts.spec, self.facts.goal_revision()
        groups = self.facts.pods_by_group()
        group = [*(p for p in groups.get(pod.group, []) if p.uid != pod.uid), pod]
        self._forget_excused(groups)
        if not self.is_strict or pod.group >= wanted_groups(spec) or pod.group == self.spoilt:
            return
        is_held = bool(spec.get("paused")) or self.facts.is_halted
        follows_spec = is_held or pod.revision == goal
        if pod.group in self._taken or pod.group in self._excused or _is_scaled_away(pod, spec, is_held=follows_spec):
            return
        if self._is_troubled(pod.group, group):
            self._excused[pod.group] = entry.time
            return
        where = f"{entry.time:.3f} s: {pod.name} of {pod.revision} is taken down"
        if pod.revision == goal or is_held or pod.group < rules_of(spec).partition:
            self._keeps_its_revision(pod, group, spec, where)
        else:
            self._moves_to_the_goal(pod, group, spec, where)

    def _moves_to_the_goal(self, pod: Pod, group: list[Pod], spec: Object, where: str) -> None:
        self.judged += 1
        rules, goal, groups = rules_of(spec), self.facts.goal_revision(), self.facts.pods_by_group()
        self._check_availability(pod, group, spec, where)
        extra = {number for number in groups if rules.replicas <= number < rules.replicas + rules.max_surge}
        moving = [
            number
            for number in {*range(rules.replicas), *extra} - {pod.group}
            if self._is_moving(number, groups.get(number, []), goal, spec)
        ]
        rules.check_pace({*moving, pod.group}, where)
        self._taken[pod.group] = ""

    def _keeps_its_revision(self, pod: Pod, group: list[Pod], spec: Object, where: str) -> None:
        """A role instance that its group can spare uses none of the budget."""
        assert self.is_handed_over(group), f"{where}, and nothing asked for it"
        self.judged += 1
        instance = (pod.role, pod.instance)
        without = [replace(p, is_ready=False) if (p.role, p.instance) == instance else p for p in group]
        if not self._is_available(without, spec):
            self._check_availability(pod, group, spec, where)
            self._taken[pod.group] = pod.revision

    def _check_availability(self, pod: Pod, group: list[Pod], spec: Object, where: str) -> None:
        if self._is_available(group, spec, just_now=True):
            others = {number: pods for number, pods in self.facts.pods_by_group().items() if number != pod.group}
            staying = [number for number, pods in others.items() if self._is_available(pods, spec)]
            rules_of(spec).check_availability(staying, where)

    def _forget_excused(self, groups: dict[int, list[Pod]]) -> None:
        for number, since in list(self._excused.items()):
            if since < self.world.now and not any(p.is_terminating or p.is_draining for p in groups.get(number, [])):
                del self._excused[number]

    def _is_moving(self, number: int, pods: list[Pod], goal: str, spec: Object) -> bool:
        """Not available, and at the goal revision or on its way to it."""
        if number in self._taken:
            return self._taken[number] in ("", goal)
        live = [p for p in pods if not p.is_terminating]
        if not live and number in self._troubled:
            return False  # all of it was deleted by somebody: it may be on its way back to where it was
        return all(p.revision == goal for p in live) and not self._is_available(pods, spec)

    def _is_available(self, pods: list[Pod], spec: Object, *, just_now: bool = False) -> bool:
        """By the smaller of what the spec says and what the group has: a waiting group is not scaled.

        just_now: only if it was so a second ago too, as far as time alone makes it available.
        """
        pods = [self._at_its_best(pod) for pod in pods]
        ready_before = self.world.cluster.clock.now() - timedelta(
            seconds=spec.get("minReadySeconds", 0) + (1 if just_now and spec.get("minReadySeconds") else 0)
        )
        live = [pod for pod in pods if not pod.is_terminating]
        if not live:
            return not any(role["replicas"] for role in spec["template"]["roles"])
        revision = live[0].revision
        roles = self.facts.revision_data(revision).get("roles") or []
        worker_count = {role["name"].lower(): role.get("workerReplicas") or 0 for role in roles}
        serving = (pod for pod in live if pod.revision == revision and not pod.is_draining)
        long_ready = (pod for pod in serving if _ready_since(pod) <= ready_before)
        complete = complete_instances(long_ready, worker_count)
        minimums = (spec["template"].get("gangSchedule") or {}).get("minRoleReplicas") or {}
        wanted = {role["name"].lower(): role["replicas"] for role in spec["template"]["roles"]}
        has_to_wait = just_now and bool(spec.get("minReadySeconds"))  # all of what it has, to be sure that it is
        for role in roles:
            name = role["name"].lower()
            existing = len({pod.instance for pod in live if pod.role == name})
            at_most = existing if has_to_wait else wanted.get(name, existing)
            needed = min(at_most, existing) if revision != self.facts.goal_revision() else wanted.get(name, existing)
            if len(complete[name]) < min(minimums.get(role["name"], needed), needed):
                return False
        return True

    def _at_its_best(self, pod: Pod) -> Pod:
        """A pod that lost its readiness in this very instant counts as ready: the controller cannot know yet."""
        if pod.is_ready or self._ready_until.get(pod.uid) != self.world.now:
            return pod
        values = {**{name: getattr(pod, name) for name in pod.__dataclass_fields__}}
        return Pod(**{**values, "is_ready": True, "is_terminating": False})


def _ready_since(pod: Pod) -> datetime:
    return datetime.fromisoformat(pod.ready_since) if pod.ready_since else datetime.min.replace(tzinfo=UTC)


def _is_scaled_away(pod: Pod, spec: Object, *, is_held: bool) -> bool:
    """is_held: no group waits for its turn, so that each follows the spec's role replicas."""
    wanted = {role["name"].lower(): role["replicas"] for role in spec["template"]["roles"]}
    partition = rules_of(spec).partition
    return (is_held or pod.group < partition) and pod.instance >= wanted.get(pod.role, 0)
