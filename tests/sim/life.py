"""Random events of a group's life: what users set in the fields for it, and workloads that say that they are drained.

A mixin of the state machine of `histories`.
"""

import copy
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from modelinfer_controller.api import well_known
from sim.facts import Object
from sim.mixin import Mixin
from sim.world import set_image, set_update

SHORT = st.sampled_from([None, None, 3, 20])
DEADLINES = st.sampled_from([None, 30, 60, 100])
DRAINS = st.sampled_from([None, 1, 5, 40])
ON_FAILURE = st.sampled_from([None, "Halt", "Rollback", "Rollback"])
STARTUP = st.sampled_from([None, "Parallel", "EntryReady"])

DRAINED = {"metadata": {"annotations": {well_known.DRAINED: "true"}}}


@st.composite
def lives(draw: st.DrawFn) -> Object:
    """Values of the optional fields; None where a field is absent."""
    return {
        "minReadySeconds": draw(SHORT),
        "progressDeadlineSeconds": draw(DEADLINES),
        "onFailure": draw(ON_FAILURE),
        "drain": draw(DRAINS),
        "startupPolicy": draw(STARTUP),
    }


def with_life(spec: Object, life: Object) -> Object:
    spec = copy.deepcopy(spec)
    for name, value in life.items():
        set_life(name, value)(spec)
    return spec


def set_life(name: str, value: Any) -> Any:
    """An edit of one field, wherever it belongs."""

    def change(spec: Object) -> None:
        match name:
            case "onFailure":
                set_update(onFailure=value)(spec)
                if value is None:
                    del spec["rolloutStrategy"]["rollingUpdateConfiguration"]["onFailure"]
            case "drain":
                _set(spec["template"], name, {"timeoutSeconds": value} if value else None)
            case "startupPolicy":
                _set(spec["template"], name, value)
            case _:
                _set(spec, name, value)

    return change


def _set(fields: Object, name: str, value: Any) -> None:
    fields.pop(name, None)
    if value is not None:
        fields[name] = value


def lifted(spec: Object) -> None:
    """Nothing holds an update any more: what was paused, suspended or has failed goes on to a good revision."""
    for name in ("paused", "suspend", "progressDeadlineSeconds"):
        spec.pop(name, None)
    set_image("good:1")(spec)


def of_life(machine: Any) -> bool:
    return machine.theme in ("life", "rough")


class Life(Mixin):
    """Rules."""

    @precondition(of_life)
    @rule(is_paused=st.booleans())
    def pause(self, is_paused: bool) -> None:
        self._edit(set_life("paused", is_paused))

    @precondition(of_life)
    @rule(is_suspended=st.booleans())
    def suspend(self, is_suspended: bool) -> None:
        self._rollout.forgive()
        self._edit(set_life("suspend", is_suspended or None))

    @precondition(of_life)
    @rule(seconds=SHORT)
    def edit_min_ready(self, seconds: int | None) -> None:
        self._edit(set_life("minReadySeconds", seconds))

    @precondition(of_life)
    @rule(seconds=DEADLINES, on_failure=ON_FAILURE)
    def edit_deadline(self, seconds: int | None, on_failure: str | None) -> None:
        self._edit(set_life("progressDeadlineSeconds", seconds))
        self._edit(set_life("onFailure", on_failure))

    @precondition(of_life)
    @rule(seconds=DRAINS)
    def edit_drain(self, seconds: int | None) -> None:
        self._edit(set_life("drain", seconds))

    @precondition(of_life)
    @rule(policy=STARTUP)
    def edit_startup(self, policy: str | None) -> None:
        self._edit(set_life("startupPolicy", policy))

    @precondition(of_life)
    @rule(which=st.integers(0, 30))
    def say_drained(self, which: int) -> None:
        """A workload says so, in the middle of a drain or at any other time."""
        entries = [pod for pod in self.world.live_pods() if pod.index == 0]
        draining = [pod for pod in entries if pod.is_draining] or entries
        if draining:
            self._do(self.world.patch("pods", draining[which % len(draining)].name, DRAINED))
