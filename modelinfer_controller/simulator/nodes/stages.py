"""How a pod behaves once it has a node, and the annotations that ask for it.

The annotations are those of the pods that hack/cluster simulates, with the same meaning, so that one test runs on both.
They are read at every change of the pod: annotating a running pod makes something happen to that pod now.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from modelinfer_controller.api.duration import parse_duration

PREFIX: Final = "kwok.stage/"
_NO_TIME = timedelta()


@dataclass(frozen=True, slots=True)
class Behaviour:
    """A pod's script; the default one runs and is ready at once, and stays so.

    pull_after: until its images are there. init_after: how long each init container runs. ready_after: from a
    container's start. fail_after, succeed_after: from the start of the containers, the whole pod ends.
    restart_after: from the first container's start, which ends with exit_code until it has been restarted
    `restarts` times; as the pod's restartPolicy has it, with the kubelet's back-off. crash_loop: the first container
    ends as soon as it starts, always; restart_every takes the place of the kubelet's back-off. unready_after: from
    Ready, readiness is lost without a restart. init_restart_now: the restart count that the first init container has
    while the pod runs. terminate_after: from the deletion, at most the grace period.
    """

    pull_after: timedelta = _NO_TIME
    image_pull_error: bool = False
    init_after: timedelta = _NO_TIME
    init_restarts: int = 0
    init_restart_after: timedelta = timedelta(milliseconds=200)
    ready_after: timedelta = _NO_TIME
    never_ready: bool = False
    fail_after: timedelta | None = None
    succeed_after: timedelta | None = None
    exit_code: int = 1
    reason: str = "Error"
    restart_after: timedelta | None = None
    restarts: int = 1
    ready_again_after: timedelta = timedelta(milliseconds=500)
    crash_loop: bool = False
    restart_every: timedelta | None = None
    unready_after: timedelta | None = None
    init_restart_now: int = 0
    terminate_after: timedelta = timedelta(milliseconds=100)


HEALTHY: Final = Behaviour()


def from_annotations(annotations: Mapping[str, str]) -> Behaviour:
    """The behaviour that the annotations ask for. Raises ValueError on a value that cannot be read."""
    given = {key.removeprefix(PREFIX): text for key, text in annotations.items() if key.startswith(PREFIX)}
    if not given:
        return HEALTHY

    def time(name: str, default: timedelta) -> timedelta:
        return parse_duration(given[name]) if name in given else default

    def maybe(name: str) -> timedelta | None:
        return parse_duration(given[name]) if name in given else None

    def count(name: str, default: int) -> int:
        return int(given.get(name, default))

    return Behaviour(
        pull_after=time("pull-after", _NO_TIME),
        image_pull_error="image-pull-error" in given,
        init_after=time("init-after", _NO_TIME),
        init_restarts=count("init-restarts", 0),
        init_restart_after=time("init-restart-after", HEALTHY.init_restart_after),
        ready_after=time("ready-after", _NO_TIME),
        never_ready="never-ready" in given,
        fail_after=maybe("fail-after"),
        succeed_after=maybe("succeed-after"),
        exit_code=count("exit-code", 1),
        reason=given.get("reason", "Error"),
        restart_after=maybe("restart-after"),
        restarts=count("restarts", 1),
        ready_again_after=time("ready-again-after", HEALTHY.ready_again_after),
        crash_loop="crash-loop" in given,
        restart_every=maybe("restart-every"),
        unready_after=maybe("unready-after"),
        init_restart_now=count("init-restart-now", 0),
        terminate_after=time("terminate-after", HEALTHY.terminate_after),
    )
