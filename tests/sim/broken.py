"""One thing that stays refused, hung or broken for ever, and what must be right all the same.

A breakage touches some groups; every other group must come to what the spec says, in bounded time and with few requests
in vain.
"""

from dataclasses import dataclass
from typing import Any

from modelinfer_controller.simulator.apiserver.admission import Plugin
from modelinfer_controller.simulator.apiserver.status_errors import internal_error
from modelinfer_controller.simulator.faults.admission import (
    CREATE,
    DELETE,
    UPDATE,
    Deny,
    Fail,
    Hang,
    Match,
    StripAnnotations,
)
from sim.facts import NAME, Facts, Object, Pod, resolve_budget
from sim.journal import CONTROLLER, Exchange
from sim.world import World

WORDS = "this is refused for ever"
LAST = 600.0  # seconds at the end of a history whose requests are counted
MOST_IN_VAIN = 60  # refused requests in that time
MOST_WRITES = 150


@dataclass(frozen=True)
class Breakage:
    """name: as the report shows it. group: the only one that is touched, or None where it is not one group.

    plugin: what stands in the way of the controller's writes. pulls: False where the group's images never arrive.
    updates: whether groups that are not touched can be updated. records: whether recoveries can be recorded. is_told:
    whether a condition must tell of the refusal.
    """

    name: str
    group: int | None
    plugin: Plugin | None = None
    pulls: bool = True
    updates: bool = True
    records: bool = True
    is_told: bool = False


def _of_group(group: int, *operations: Any, resource: str = "pods") -> Match:
    return Match(set(operations), resource, f"{NAME}-{group}-", user=CONTROLLER)


def _breakages(group: int) -> list[Breakage]:
    unanswered = internal_error("etcdserver: request timed out")
    any_status = Match({UPDATE}, "modelinfers", subresource="status", user=CONTROLLER)
    any_pod_group = Match({UPDATE}, "podgroups", user=CONTROLLER)
    any_revision = Match({CREATE}, "controllerrevisions", user=CONTROLLER)
    of_services = _of_group(group, CREATE, resource="services")
    strips = StripAnnotations(_of_group(group, CREATE), "modelinfer.volcano.sh/")
    return [
        Breakage("pod creation denied", group, Deny(_of_group(group, CREATE), WORDS), is_told=True),
        Breakage("pod creation hangs", group, Hang(_of_group(group, CREATE), 10.0)),
        Breakage("pod creation fails", group, Fail(_of_group(group, CREATE), unanswered)),
        Breakage("pod deletion denied", group, Deny(_of_group(group, DELETE), WORDS), is_told=True),
        Breakage("service creation denied", group, Deny(of_services, WORDS), is_told=True),
        Breakage("pod group patch denied", None, Deny(any_pod_group, WORDS)),
        Breakage("status write denied", None, Deny(any_status, WORDS), updates=False, records=False),
        Breakage("revision creation denied", None, Deny(any_revision, WORDS), updates=False),
        Breakage("image never arrives", group, pulls=False),
        Breakage("annotations stripped", group, strips),
    ]


BREAKAGES = tuple(one.name for one in _breakages(0))


def breakage(name: str, group: int) -> Breakage:
    return next(one for one in _breakages(group) if one.name == name)


def break_for_ever(world: World, breakage: Breakage) -> None:
    if breakage.plugin is not None:
        world.cluster.api.admission.add(breakage.plugin)
    if not breakage.pulls:
        world.never_pulls = f"{NAME}-{breakage.group}-"


def check_all_else(world: World, breakage: Breakage, troubled: set[int]) -> None:
    """troubled: groups that had a failure since the breakage. Raises AssertionError, which names the breakage."""
    try:
        _check_writes(world)
        if world.facts.model is not None:
            _check_groups(world.facts, breakage, troubled)
            _check_told(world, breakage)
    except AssertionError as error:
        error.add_note(f"while this is broken for ever: {breakage.name}, group {breakage.group}")
        raise


def _check_writes(world: World) -> None:
    recent = [one for one in world.journal.controller_writes if one.time > world.now - LAST]
    vain = [str(one) for one in recent if one.response.status >= 300]
    assert len(vain) <= MOST_IN_VAIN, f"{len(vain)} requests in vain in ten minutes: {vain[-10:]}"
    assert len(recent) <= MOST_WRITES, f"{len(recent)} writes in ten minutes: {[str(one) for one in recent[-10:]]}"


def _check_groups(facts: Facts, breakage: Breakage, troubled: set[int]) -> None:
    spec, groups, update = facts.spec, facts.pods_by_group(), facts.update_revision()
    most_unavailable, surge, partition = resolve_budget(spec)
    touched = {g for g in groups | dict.fromkeys(range(spec["replicas"])) if _is_touched(facts, breakage, g, troubled)}
    is_updated = breakage.updates and len(touched) < most_unavailable
    for group in range(spec["replicas"]):
        if group not in touched:
            must_be = update if is_updated and group >= partition else None
            _check_group(facts, group, groups.get(group, []), must_be, is_held=group < partition)
    extra = {g for g in groups if g >= spec["replicas"]} - touched
    # A surge group stays for as long as a place has not become available again, which what is broken never does.
    most = min(surge, len(touched)) if is_updated else surge
    allowed = set(range(spec["replicas"], spec["replicas"] + most))
    assert extra <= allowed, f"groups {sorted(extra - allowed)} are beyond the replicas"


def _is_touched(facts: Facts, breakage: Breakage, group: int, troubled: set[int]) -> bool:
    pods = facts.pods_by_group().get(group, [])
    if breakage.group is not None:
        return group == breakage.group
    if breakage.name == "revision creation denied" and not pods:
        return True  # nothing can be made before its revision is stored
    if not breakage.records and group in troubled:
        return True  # a recreation is recorded before its first deletion
    is_gang_too_large = any("nodeName" not in pod.object["spec"] for pod in pods)
    return breakage.name == "pod group patch denied" and is_gang_too_large


def _check_group(facts: Facts, group: int, pods: list[Pod], must_be: str | None, *, is_held: bool) -> None:
    spec, update = facts.spec, facts.update_revision()
    revisions = {pod.revision for pod in pods}
    assert len(revisions) <= 1, f"group {group} is of several revisions: {revisions}"
    wanted = {role["name"].lower(): role["replicas"] for role in spec["template"]["roles"]}
    if not revisions:
        assert not any(wanted.values()), f"group {group} has no pods"
        return
    revision = next(iter(revisions))
    assert must_be in (None, revision), f"group {group} is at {revision}, not at {must_be}"
    follows_spec = is_held or revision == update
    expected = set()
    for role in facts.revision_data(revision).get("roles") or []:
        name = role["name"].lower()
        seen = max((pod.instance + 1 for pod in pods if pod.role == name), default=0)
        for instance in range(wanted.get(name, seen) if follows_spec else seen):
            size = (role.get("workerReplicas") or 0) + 1
            expected |= {f"{NAME}-{group}-{name}-{instance}-{index}" for index in range(size)}
    found = {pod.name for pod in pods}
    assert found == expected, f"group {group}: lacking {sorted(expected - found)}, too many {sorted(found - expected)}"
    unready = sorted(pod.name for pod in pods if not pod.is_ready)
    assert not unready, f"not ready: {unready}"


def _check_told(world: World, breakage: Breakage) -> None:
    """A condition says what is refused, in the words of who refuses it."""
    recent = [one for one in world.journal.controller_writes if one.time > world.now - LAST]
    if not breakage.is_told or not any(_is_refused(one) for one in recent):
        return
    conditions: list[Object] = (world.facts.model or {})["status"]["conditions"]
    messages = [one["message"] for one in conditions]
    assert any(WORDS in message and f"group {breakage.group}" in message for message in messages), messages


def _is_refused(exchange: Exchange) -> bool:
    return WORDS in exchange.response.body.decode(errors="replace")
