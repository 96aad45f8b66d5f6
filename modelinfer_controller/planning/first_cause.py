"""Of several pods that are not ready, the one that came first: the others fail because of it."""

from collections.abc import Collection

from modelinfer_controller.api.reasons import Cause, Reason
from modelinfer_controller.planning.message import one_line
from modelinfer_controller.planning.pod_view import PodView

STARTING = Cause(Reason.CONTAINER_CREATING, "it still pulls its image or mounts its volumes")


def first_cause(pods: Collection[PodView]) -> Cause | None:
    """What keeps the pods of a group from being ready, or None where all of them are on their way.

    A pod that waits for a node or an image comes first: its siblings may well fail for as long as it is not there.
    Then what failed first in time. The siblings that failed after it are named after it, without their own causes.
    """
    failed = sorted((pod for pod in pods if pod.cause and not pod.waits_to_start), key=lambda pod: pod.failure_order)
    waiting = sorted((pod for pod in pods if pod.waits_to_start), key=lambda pod: (pod.cause is None, pod.identity))
    if waiting and (failed or waiting[0].cause is not None):
        return _told(waiting[0], waiting[0].cause or STARTING, failed)
    return _told(failed[0], failed[0].cause, failed[1:]) if failed else None


def _told(first: PodView, cause: Cause | None, others: Collection[PodView]) -> Cause:
    assert cause is not None
    text = f"pod {first.name}: {cause.reason}: {cause.message}".rstrip(": ")
    return Cause(cause.reason, one_line(f"{text}{_named_after(others)}"))


def _named_after(others: Collection[PodView]) -> str:
    if not others:
        return ""
    more = f" and {len(others) - 1} more" if len(others) > 1 else ""
    return f"; after it {next(iter(others)).name}{more} failed"
