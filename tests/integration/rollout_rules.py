"""The availability rule and the pace rule, checked at every pod event that a watch recorded."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from support.update_rules import UpdateRules
from user import is_ready, label
from watched import Change, Object


@dataclass(frozen=True)
class Rules(UpdateRules):
    """roles: name -> instances in each group."""

    roles: Mapping[str, int] = field(default_factory=lambda: {"decode": 1})


@dataclass(frozen=True)
class Moment:
    """The groups right after one change. moving: on their way to the update revision, taken down or not yet ready."""

    change: Change
    available: frozenset[int]
    moving: frozenset[int]


def replay(changes: Sequence[Change], model: str, rules: Rules) -> Iterator[Moment]:
    """The moments of one ModelInfer, whose pods these changes are of, from the first pod on."""
    pods: dict[str, Object] = {}
    newest = ""  # the revision of the pod made last: in a rollout without faults, that is the update revision
    for change in changes:
        if label(change.object, "name") != model:
            continue
        if change.type == "DELETED":
            pods.pop(change.name, None)
        else:
            pods[change.name] = change.object
            newest = label(change.object, "revision") if change.type == "ADDED" else newest
        groups: dict[int, list[Object]] = {ordinal: [] for ordinal in range(rules.replicas)}
        for name, pod in pods.items():
            groups.setdefault(ordinal_of(model, name), []).append(pod)
        available = frozenset(ordinal for ordinal, group in groups.items() if _is_available(group, rules))
        moving = frozenset(o for o, group in groups.items() if o not in available and _is_moving(group, newest))
        yield Moment(change, available, moving)


def check(changes: Sequence[Change], model: str, rules: Rules, since: int) -> None:
    """Raises AssertionError at the first change from the index `since` on at which a rule is broken."""
    moments = list(replay(changes, model, rules))
    skipped = sum(label(change.object, "name") == model for change in changes[:since])
    assert moments[skipped:], "no pod has changed"
    for moment in moments[skipped:]:
        at = f"at {moment.change.type} {moment.change.name}"
        rules.check_availability(moment.available, at)
        rules.check_pace(moment.moving, at)


def taken_down(changes: Sequence[Change], model: str, since: int) -> list[int]:
    """The ordinals of groups in the order in which the first pod of each was deleted after the index `since`."""
    deleted = [
        ordinal_of(model, change.name)
        for change in changes[since:]
        if label(change.object, "name") == model and "deletionTimestamp" in change.object["metadata"]
    ]
    return list(dict.fromkeys(deleted))


def created(changes: Sequence[Change], since: int) -> list[str]:
    """The names of the pods made after the index `since`, in order."""
    return [change.name for change in changes[since:] if change.type == "ADDED"]


def ordinal_of(model: str, pod: str) -> int:
    match = re.match(rf"{re.escape(model)}-(\d+)-", pod)
    assert match is not None, pod
    return int(match[1])


def _is_available(group: list[Object], rules: Rules) -> bool:
    ready: dict[tuple[str, str], set[int]] = {}
    for pod in group:
        if is_ready(pod):
            instance = ready.setdefault((label(pod, "role-id"), label(pod, "revision")), set())
            instance.add(int(pod["metadata"]["name"].rsplit("-", 1)[1]))
    sizes = {label(pod, "role-id"): int(environment(pod)["GROUP_SIZE"]) for pod in group}
    complete = [role_id for (role_id, _), indexes in ready.items() if indexes == set(range(sizes[role_id]))]
    return all(
        sum(role_id.rsplit("-", 1)[0] == role for role_id in complete) >= count for role, count in rules.roles.items()
    )


def _is_moving(group: list[Object], newest: str) -> bool:
    live = [pod for pod in group if "deletionTimestamp" not in pod["metadata"]]
    return len(live) < len(group) or not live or any(label(pod, "revision") == newest for pod in live)


def environment(pod: Object) -> dict[str, str]:
    """The variables of the pod's first container that have a value."""
    return {one["name"]: one.get("value", "") for one in pod["spec"]["containers"][0]["env"]}
