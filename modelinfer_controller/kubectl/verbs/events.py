"""The verb `events`."""

import os

from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kubectl.model.access import connected, namespace_of
from modelinfer_controller.kubectl.model.event_timeline import read_events, timeline_of
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags
from modelinfer_controller.kubectl.model.snapshot import read_snapshot
from modelinfer_controller.kubectl.render.event_timeline import timeline_lines, timeline_plot
from modelinfer_controller.kubectl.render.output import say, show
from modelinfer_controller.kubectl.render.picture import require_picture, write_picture


async def show_events(flags: ClusterFlags, name: str, picture: str | None, output: str | None) -> None:
    """picture: the file to draw into, in place of text."""
    if picture is not None:
        require_picture(picture)
    namespace = namespace_of(flags, os.environ)
    async with connected(flags, os.environ) as client:
        snapshot = await read_snapshot(client, namespace, name, SystemClock().now())
        timeline = timeline_of(snapshot, await read_events(client, namespace, name))
    if picture is not None:
        write_picture(picture, timeline_plot(timeline))
        say(f"drew {len(timeline.items)} events into {picture}\n")
    if picture is None or output is not None:
        show("EventTimeline", timeline, output, lambda terminal: timeline_lines(timeline, terminal))
