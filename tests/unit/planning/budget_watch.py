"""Watches a world's reconciles for the availability rule and the pace rule, counted from the objects alone."""

from dataclasses import dataclass

from support.update_rules import rules_of

from modelinfer_controller.api.core import Pod
from planning.expectation import is_available, live_pods, revisions_of
from planning.histories import History, Move
from planning.world import World

CONTROLLER_MOVES = ("reconcile", "partly", "crash")


@dataclass(frozen=True)
class Snapshot:
    """What the world showed before a reconcile."""

    available: frozenset[int]
    healthy: frozenset[int]  # groups none of whose pods has ever failed: recovery has no reason to touch them
    revisions: dict[int, set[str]]
    uids: dict[int, set[str]]


def snapshot(world: World) -> Snapshot:
    groups = range(40)
    pods = {group: live_pods(world, group) for group in groups}
    available = frozenset(group for group in groups if pods[group] and is_available(world, group))
    return Snapshot(
        available=available,
        healthy=frozenset(
            group
            for group in available
            if all(pod.is_ready and not has_restarted(pod) for pod in pods[group].values())
            and not any(f"-{group}-" in name and pod.metadata.is_terminating for name, pod in world.pods.items())
        ),
        revisions={group: revisions_of(found.values()) for group, found in pods.items() if found},
        uids={group: {pod.metadata.uid for pod in found.values()} for group, found in pods.items() if found},
    )


def has_restarted(pod: Pod) -> bool:
    return any(status.restart_count for status in pod.status.container_statuses)


def watch(player: History, move: Move, *, is_calm: bool) -> None:
    """Make a move and check what the controller took down in it. is_calm: no pod ever fails, nothing is scaled."""
    before = snapshot(player.world)
    player.make(move)
    if move.name in CONTROLLER_MOVES:
        _check(player.world, before, snapshot(player.world), is_calm=is_calm)


def _check(world: World, before: Snapshot, after: Snapshot, *, is_calm: bool) -> None:
    rules, update = rules_of(world.spec), world.goal_revision()
    taken = {group for group, uids in before.uids.items() if uids - after.uids.get(group, set())}
    outdated = {group for group in taken if before.revisions[group] != {update} and group < rules.replicas}
    rules.check_partition(outdated & before.healthy)
    replaced = outdated if is_calm else outdated & before.healthy
    if replaced & before.available:
        rules.check_availability(after.available, f"{sorted(replaced)} were taken down")
    if replaced:
        extra = [group for group in before.uids if rules.replicas <= group < rules.replicas + rules.max_surge]
        down = {
            group
            for group in [*range(rules.replicas), *extra]
            if group not in before.available and before.revisions.get(group, {update}) == {update}
        }
        rules.check_pace(down | replaced, f"{sorted(replaced)} were replaced")
    surge_removed = {group for group in taken & before.available if group >= rules.replicas}
    held = range(min(rules.partition, rules.replicas))
    if is_calm and surge_removed and all(group in after.available for group in held):
        rules.check_availability(after.available, f"extra {surge_removed} were removed")
