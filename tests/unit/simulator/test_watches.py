"""Watches: what they show, where they start, how they end."""

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from api_user import PODS, User, config_map, pod

from modelinfer_controller.kube.transport import Request
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane

MAPS = "/api/v1/namespaces/default/configmaps"


async def watched(user: User, path: str, seconds: int, **query: str) -> list[tuple[str, Mapping[str, Any]]]:
    """Everything that a watch shows until the server closes it, after so many seconds."""
    request = Request("GET", path, {"watch": "true", "timeoutSeconds": str(seconds), **query})
    async with user.transport.stream(request) as response:
        assert response.status == 200
        events = [json.loads(line) async for line in response.lines()]
    return [(event["type"], event["object"]) for event in events]


def summary(events: list[tuple[str, Mapping[str, Any]]]) -> list[tuple[str, str]]:
    return [(type_, obj["metadata"]["name"]) for type_, obj in events]


async def test_a_watch_without_a_version_starts_with_what_is_there(user: User) -> None:
    await user.create(MAPS, config_map("a"))

    assert summary(await watched(user, MAPS, 1)) == [("ADDED", "a")]


async def test_a_watch_from_a_version_shows_what_came_after_it(user: User) -> None:
    version = (await user.create(MAPS, config_map("a"))).version
    await user.create(MAPS, config_map("b"))
    await user.patch(f"{MAPS}/a", {"data": {"a": "2"}})
    deleted = await user.delete(f"{MAPS}/b")

    events = await watched(user, MAPS, 1, resourceVersion=version)

    assert summary(events) == [("ADDED", "b"), ("MODIFIED", "a"), ("DELETED", "b")]
    versions = [int(obj["metadata"]["resourceVersion"]) for _, obj in events]
    assert versions == sorted(set(versions))
    assert deleted.status == 200


async def test_a_watch_shows_what_happens_while_it_is_open(user: User) -> None:
    watching = asyncio.create_task(watched(user, MAPS, 10))
    await asyncio.sleep(1)
    await user.create(MAPS, config_map("a"))

    assert summary(await watching) == [("ADDED", "a")]


async def test_leaving_and_entering_a_selection_looks_like_deletion_and_addition(user: User) -> None:
    version = (await user.create(MAPS, config_map("a", labels={"in": "yes"}))).version
    await user.patch(f"{MAPS}/a", {"metadata": {"labels": {"in": None}}})
    await user.patch(f"{MAPS}/a", {"data": {"a": "2"}})
    await user.patch(f"{MAPS}/a", {"metadata": {"labels": {"in": "yes"}}})

    events = await watched(user, MAPS, 1, resourceVersion=version, labelSelector="in=yes")

    assert summary(events) == [("DELETED", "a"), ("ADDED", "a")]
    assert events[0][1]["metadata"]["labels"] == {"in": "yes"}


async def test_a_version_that_is_forgotten_is_an_error_event(server: SimulatedControlPlane, user: User) -> None:
    version = (await user.create(MAPS, config_map("a"))).version
    await user.create(MAPS, config_map("b"))
    server.api.store.compact(("", "configmaps"))

    ((type_, status),) = await watched(user, MAPS, 1, resourceVersion=version)

    assert (type_, status["code"], status["reason"]) == ("ERROR", 410, "Expired")
    assert status["message"].startswith("too old resource version: ")


async def test_the_history_is_bounded() -> None:
    user = User(SimulatedControlPlane(history_limit=3))
    first = (await user.create(MAPS, config_map("a"))).version
    versions = [(await user.patch(f"{MAPS}/a", {"data": {"a": str(n)}})).version for n in range(2, 6)]

    assert [type_ for type_, _ in await watched(user, MAPS, 1, resourceVersion=versions[0])] == ["MODIFIED"] * 3
    assert [type_ for type_, _ in await watched(user, MAPS, 1, resourceVersion=first)] == ["ERROR"]


async def test_bookmarks_come_once_a_minute_and_move_the_version(user: User) -> None:
    version = (await user.create(MAPS, config_map("a"))).version
    await user.create(PODS, pod("a"))

    events = await watched(user, MAPS, 130, resourceVersion=version, allowWatchBookmarks="true")

    assert [type_ for type_, _ in events] == ["BOOKMARK", "BOOKMARK"]
    assert int(events[0][1]["metadata"]["resourceVersion"]) > int(version)


async def test_a_streaming_list_ends_with_its_bookmark(user: User) -> None:
    await user.create(MAPS, config_map("a"))
    streaming = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "true"}

    events = await watched(user, MAPS, 1, **streaming)

    assert [type_ for type_, _ in events] == ["ADDED", "BOOKMARK"]
    assert events[1][1]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_a_deleted_pod_is_shown_terminating_first(cluster: SimulatedControlPlane) -> None:
    user = User(cluster)
    await user.create(PODS, pod("a"))
    await asyncio.sleep(1)
    version = (await user.get(f"{PODS}/a")).version
    await user.delete(f"{PODS}/a")

    events = await watched(user, PODS, 5, resourceVersion=version)

    assert [type_ for type_, _ in events] == ["MODIFIED", "MODIFIED", "DELETED"]
    assert all("deletionTimestamp" in obj["metadata"] for _, obj in events)
