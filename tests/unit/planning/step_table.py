"""Plays the scripts of `test_update_steps`, and draws a row of the table for each decision."""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

from modelinfer_controller.planning.actions import CreatePod, DeletePod
from modelinfer_controller.planning.decide import Decision
from modelinfer_controller.planning.pod_identity import parse_pod_name
from planning.world import NAME, World, a_role, a_spec, pod_name

MOST_STEPS = 60


def play(script: Iterable[str]) -> Iterator[str]:
    """The script with the rows that there really are. Goes on, past its end, until nothing is done."""
    stage = Stage()
    for line in script:
        if line.startswith(">"):
            stage.move(line.removeprefix("> "))
            yield line
        else:
            yield stage.step()
    for _ in range(MOST_STEPS):
        if stage.is_at_rest():
            return
        yield stage.step()
    yield f"... and so on after {MOST_STEPS} more steps"


class Stage:
    """A world in which all that was asked for has happened before the next decision."""

    def __init__(self) -> None:
        self._world = World(a_spec())
        self._unready: set[int] = set()
        self._is_idle = False

    def move(self, text: str) -> None:  # noqa: C901 # one case for each move
        world = self._world
        match text.split():
            case ["spec", *fields]:
                values = dict(_value(field) for field in fields)
                self._world = World(a_spec(0, a_role(image="A")))
                self._world.edit(**values)
                self._world.settle()
            case ["image", image]:
                world.edit(image=image)
            case ["set", *fields]:
                world.edit(**dict(_value(field) for field in fields))
            case [image, "never", "starts"]:
                world.bad_images.add(image)
            case [image, "starts"]:
                world.bad_images.remove(image)
                self._nodes()
            case ["group", ordinal, "becomes", "unready"]:
                self._unready.add(int(ordinal))
                world.unready(pod_name(int(ordinal)))
            case ["group", ordinal, "becomes", "ready"]:
                self._unready.remove(int(ordinal))
                self._nodes()
            case ["group", ordinal, "fails"]:
                world.finish(pod_name(int(ordinal)))
            case ["group", ordinal, "vanishes"]:
                world.vanish(pod_name(int(ordinal)))
            case [seconds, "s", "pass"]:
                world.pass_time(float(seconds))
            case _:
                raise ValueError(text)

    def step(self) -> str:
        """Decide once, carry it out, and let every pod get where it goes. The row of the decision."""
        decision = self._world.decide()
        row = Row(_letters(self._world, decision), _available(decision), _done(decision), _waits(decision))
        self._is_idle = not self._world.reconcile().actions
        self._nodes()
        return str(row)

    def _nodes(self) -> None:
        for name, pod in list(self._world.pods.items()):
            if pod.metadata.is_terminating:
                self._world.vanish(name)
            elif _group_of(name) not in self._unready:
                self._world.start(name)

    def is_at_rest(self) -> bool:
        """Whether the last decision did nothing, and the next, which sees its status, does nothing either."""
        return self._is_idle and not self._world.plan().actions


@dataclass(frozen=True)
class Row:
    groups: str
    available: int
    done: str
    waits: str

    def __str__(self) -> str:
        return f"{self.groups:<8} {self.available}  {self.done:<22} {self.waits}".rstrip()


def _value(field: str) -> tuple[str, object]:
    """`maxSurge=1` as an argument of a_spec and edit."""
    key, _, text = field.partition("=")
    word = re.sub("([A-Z])", r"_\1", key).lower() if key in ("maxSurge", "maxUnavailable") else key
    return word, {"true": True, "false": False}.get(text, int(text) if text.isdigit() else text)


def _group_of(pod: str) -> int:
    identity = parse_pod_name(NAME, pod)
    assert identity is not None
    return identity.group


def _letters(world: World, decision: Decision) -> str:
    images = world.groups()
    return (
        "".join(
            _letter(images.get(ordinal, set()), is_available=decision.is_available(ordinal))
            for ordinal in range(max([*images, -1]) + 1)
        )
        or "."
    )


def _letter(images: set[str], *, is_available: bool) -> str:
    letter = "/".join(sorted(images)) or "."
    return letter if is_available else letter.lower()


def _available(decision: Decision) -> int:
    return sum(map(decision.is_available, decision.groups))


def _done(decision: Decision) -> str:
    update, actions = decision.update, decision.plan.actions
    deleted = [action.identity.group for action in actions if isinstance(action, DeletePod)]
    created = [action.identity.group for action in actions if isinstance(action, CreatePod)]
    words = (
        ("replace", [o for o in deleted if o in update.replaced]),
        ("remove", [o for o in deleted if o in update.removed]),
        ("recreate", [o for o in deleted if o not in (*update.replaced, *update.removed)]),
        ("create", created),
    )
    return ", ".join(f"{word} {_listed(ordinals)}" for word, ordinals in words if ordinals) or "-"


def _waits(decision: Decision) -> str:
    waiting = sorted(decision.update.waiting, key=lambda one: (one.rule, -one.ordinal))
    rules = groupby(waiting, key=lambda one: one.rule)
    return "; ".join(f"{_listed(one.ordinal for one in found)}: {rule}" for rule, found in rules)


def _listed(ordinals: Iterable[int]) -> str:
    return " ".join(map(str, ordinals))
