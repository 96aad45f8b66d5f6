"""Logs of pods, read through the API server."""

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Pod
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kube.resource import PODS
from modelinfer_controller.kube.transport import TransportError
from modelinfer_controller.kubectl.model.snapshot import Snapshot


@dataclass(frozen=True)
class LogQuery:
    """tail: how many lines, None for all. container: "" for the only one, or that of the kubectl annotation."""

    container: str = ""
    previous: bool = False
    tail: int | None = None
    since_seconds: int | None = None
    timestamps: bool = False

    def parameters(self) -> Mapping[str, str]:
        given = {
            "container": self.container,
            "previous": "true" if self.previous else "",
            "tailLines": "" if self.tail is None else str(self.tail),
            "sinceSeconds": "" if self.since_seconds is None else str(self.since_seconds),
            "timestamps": "true" if self.timestamps else "",
        }
        return {key: value for key, value in given.items() if value}


async def read_log(client: Client, namespace: str, pod: str, query: LogQuery) -> str:
    """Raises ApiError where there is none, or it may not be read."""
    body = await client.raw_get(PODS.path(namespace, pod, "log"), query.parameters())
    return body.decode(errors="replace")


async def follow_log(client: Client, namespace: str, pod: str, query: LogQuery) -> AsyncIterator[str]:
    """Lines as they come, until the container ends."""
    path = PODS.path(namespace, pod, "log")
    async with client.raw_stream(path, {**query.parameters(), "follow": "true"}) as response:
        async for line in response.lines():
            yield line.decode(errors="replace")


async def last_words(client: Client, namespace: str, pod: Pod, lines: int) -> tuple[str, ...]:
    """The end of the log of the pod's container that died first; () where none died or it may not be read."""
    dead = _dead_container(pod)
    if dead is None:
        return ()
    container, is_previous = dead
    try:
        text = await read_log(client, namespace, pod.metadata.name, LogQuery(container, is_previous, lines))
    except (ApiError, TransportError):
        return ()
    return tuple(line for line in text.splitlines() if line.strip())


def _dead_container(pod: Pod) -> tuple[str, bool] | None:
    """The container whose end came first, and whether another one has taken its place since."""
    ends = []
    for status in (*pod.status.init_container_statuses, *pod.status.container_statuses):
        for ended, is_previous in ((status.state.terminated, False), (status.last_state.terminated, True)):
            if ended is not None and (ended.exit_code or is_previous) and ended.finished_at is not None:
                ends.append((ended.finished_at, status.name, is_previous))
                break
    return min(ends)[1:] if ends else None


def chosen_pods(snapshot: Snapshot, group: int | None, role: str | None) -> Sequence[Pod]:
    """The ModelInfer's pods in their order, those of one group or role alone where given."""
    views = sorted(snapshot.observed.pods, key=lambda view: view.identity)
    return [
        snapshot.pods[view.name]
        for view in views
        if group in (None, view.identity.group) and (role is None or view.identity.role == role.lower())
    ]


def prefix_of(pod: Pod) -> str:
    """[group 0 decode-1/0], which is shorter than the pod's name and says the same."""
    labels = pod.metadata.labels
    group = labels.get(well_known.GROUP_NAME, "").rpartition("-")[2]
    return f"[{group}/{labels.get(well_known.ROLE_ID, '')}/{pod.metadata.name.rpartition('-')[2]}]"
