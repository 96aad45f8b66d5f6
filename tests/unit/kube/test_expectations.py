"""Own writes over a lagging cache: the view is never behind what the server confirmed, and shows no phantoms."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from modelinfer_controller.api.core import ObjectMeta, OwnerReference, Pod
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, ResourceEventHandler
from modelinfer_controller.kube.expectations import Expectations
from modelinfer_controller.simulator.virtual_time import VirtualClock

OWNER = "owner-uid"


def owner_of(pod: Pod) -> str | None:
    controller = pod.metadata.controller
    return controller.uid if controller else None


def pod(name: str, uid: str, version: int | str, *, owner: str | None = OWNER, terminating: bool = False) -> Pod:
    return Pod(
        metadata=ObjectMeta(
            name=name,
            namespace="ns",
            uid=uid,
            resource_version=str(version),
            owner_references=(OwnerReference(uid=owner, controller=True),) if owner else (),
            deletion_timestamp=datetime(2026, 1, 1, tzinfo=UTC) if terminating else None,
        )
    )


class World:
    """A server's history and a cache that follows it when told to."""

    def __init__(self) -> None:
        self.version = 0
        self.uids = 0
        self.history: dict[str, list[tuple[int, Pod | None]]] = {}
        self.events: list[tuple[int, str, Pod | None]] = []
        self.cached: dict[str, Pod] = {}
        self.synced_version = 0
        self.late_responses: list[Callable[[], None]] = []
        self.confirmed: dict[str, int] = {}
        self.deleted: set[str] = set()
        clock = VirtualClock(asyncio.get_running_loop())
        self.expectations = Expectations(owner_of, synced_version=lambda _: str(self.synced_version), clock=clock)
        self.handler: ResourceEventHandler[Pod] = self.expectations

    def stored(self, name: str, at: int | None = None) -> Pod | None:
        states = [state for version, state in self.history.get(name, []) if at is None or version <= at]
        return states[-1] if states else None

    def commit(self, name: str, make: Callable[[int], Pod | None]) -> Pod | None:
        self.version += 1
        state = make(self.version)
        self.history.setdefault(name, []).append((self.version, state))
        self.events.append((self.version, name, state))
        return state

    def answer(self, respond: Callable[[], None], late: bool) -> None:
        if late:
            self.late_responses.append(respond)
        else:
            respond()

    def create(self, name: str, own: bool, late: bool) -> None:
        if self.stored(name) is not None:
            return
        self.uids += 1
        uid = f"u{self.uids}"
        created = self.commit(name, lambda version: pod(name, uid, version))
        assert created is not None
        if own:
            self.answer(lambda: self.confirm(created), late)

    def update(self, name: str, own: bool, late: bool) -> None:
        current = self.stored(name)
        if current is None:
            return
        changed = self.commit(name, lambda version: _at_version(current, version))
        assert changed is not None
        if own:
            self.answer(lambda: self.confirm(changed), late)

    def confirm(self, written: Pod) -> None:
        name, version = written.metadata.name, int(written.metadata.resource_version)
        self.confirmed[name] = max(version, self.confirmed.get(name, 0))
        self.expectations.written(written)

    def delete(self, name: str, own: bool, late: bool) -> None:
        """Graceful: the object stays, terminating, until `remove`."""
        current = self.stored(name)
        if current is None:
            return
        uid = current.metadata.uid
        if not current.metadata.is_terminating:
            self.commit(name, lambda version: pod(name, uid, version, terminating=True))

        def respond() -> None:
            self.deleted.add(uid)
            self.expectations.deleted(uid)

        if own:
            self.answer(respond, late)

    def remove(self, name: str) -> None:
        if self.stored(name) is not None:
            self.commit(name, lambda version: None)

    def respond(self) -> None:
        if self.late_responses:
            self.late_responses.pop(0)()

    def deliver(self, count: int) -> None:
        due = [event for event in self.events if event[0] > self.synced_version][:count]
        for version, name, state in due:
            self.synced_version = version
            self.show(name, state)

    def relist(self) -> None:
        """The watch broke and what happened meanwhile is seen only by its result; deletions first."""
        newest = {name: self.stored(name) for name in self.history}
        for name, last in list(self.cached.items()):
            state = newest[name]
            if state is None or state.metadata.uid != last.metadata.uid:
                del self.cached[name]
                self.handler.on_delete(DeletedFinalStateUnknown(last.metadata.object_name, last))
        for name, state in newest.items():
            if state is not None:
                self.show(name, state)
        self.synced_version = self.version

    def show(self, name: str, state: Pod | None) -> None:
        old = self.cached.pop(name, None)
        if state is None:
            if old is not None:
                self.handler.on_delete(_at_version(old, self.synced_version))
            return
        self.cached[name] = state
        if old is None:
            self.handler.on_add(state, is_in_initial_list=False)
        else:
            self.handler.on_update(old, state)

    def check(self) -> None:
        view = {shown.metadata.name: shown for shown in self.expectations.overlay(OWNER, self.cached.values())}
        for name in self.history:
            known = self.stored(name, at=max(self.synced_version, self.confirmed.get(name, 0)))
            shown = view.pop(name, None)
            assert _identity(shown) == _identity(known), name
            if shown is not None:
                uid = shown.metadata.uid
                assert known is not None
                assert shown.metadata.is_terminating == (known.metadata.is_terminating or uid in self.deleted)
        assert not view


def _at_version(state: Pod, version: int) -> Pod:
    metadata = msgspec.structs.replace(state.metadata, resource_version=str(version))
    return msgspec.structs.replace(state, metadata=metadata)


def _identity(state: Pod | None) -> tuple[str, str] | None:
    return None if state is None else (state.metadata.uid, state.metadata.resource_version)


NAMES = st.sampled_from("ab")
WRITES = st.tuples(st.sampled_from(["create", "update", "delete"]), NAMES, st.booleans(), st.booleans())
STEPS = (
    WRITES
    | st.tuples(st.just("remove"), NAMES)
    | st.tuples(st.just("deliver"), st.integers(1, 4))
    | st.tuples(st.just("respond"))
    | st.tuples(st.just("relist"))
)


CREATE_ANSWERED_LATE = ("create", "a", True, True)


@example(steps=[CREATE_ANSWERED_LATE, ("deliver", 1), ("remove", "a"), ("deliver", 1), ("respond",)])
@example(steps=[("create", "a", True, False), ("remove", "a"), ("relist",)])
@given(steps=st.lists(STEPS, min_size=5, max_size=60))
async def test_the_view_is_the_servers_state_at_the_newest_of_cache_and_confirmed_writes(
    steps: list[tuple[object, ...]],
) -> None:
    world = World()
    for step, *arguments in steps:
        getattr(world, str(step))(*arguments)
        world.check()
    while world.late_responses:
        world.respond()
    world.deliver(10**6)
    world.check()
    stored = {_identity(world.stored(name)) for name in world.history} - {None}
    shown = world.expectations.overlay(OWNER, world.cached.values())
    assert {_identity(pod) for pod in shown} == stored, "once the cache has caught up, the view is the cache"


@pytest.fixture
def blind(clock: VirtualClock) -> Expectations[Pod, str]:
    """Over a cache that does not tell what it has reached: the handlers alone must do."""
    return Expectations(owner_of, synced_version=lambda namespace: "", clock=clock, timeout=300)


async def test_a_created_pod_is_there_before_the_cache_shows_it(blind: Expectations[Pod, str]) -> None:
    created = pod("a", "u1", 5)
    blind.created(created)
    assert blind.overlay(OWNER, []) == [created]
    assert blind.overlay("somebody else", []) == []
    blind.on_add(pod("a", "u1", 5), is_in_initial_list=False)
    assert blind.pending_count == 0
    assert blind.overlay(OWNER, []) == [], "the cache has shown it, and now shows it no more"


async def test_what_was_written_and_not_shown_is_listed_by_namespace(blind: Expectations[Pod, str]) -> None:
    created = pod("a", "u1", 5)
    blind.created(created)
    assert (blind.written_objects(None), blind.written_objects("ns")) == ([created], [created])
    assert blind.written_objects("other") == []
    blind.on_add(created, is_in_initial_list=False)
    assert blind.written_objects(None) == []


async def test_a_deleted_pod_is_terminating_until_the_cache_says_so(
    blind: Expectations[Pod, str], clock: VirtualClock
) -> None:
    await asyncio.sleep(60)
    alive = pod("a", "u1", 5)
    blind.deleted("u1")
    [shown] = blind.overlay(OWNER, [alive])
    assert shown.metadata.deletion_timestamp == clock.now()
    assert not alive.metadata.is_terminating
    await asyncio.sleep(60)
    terminating = pod("a", "u1", 6, terminating=True)
    assert blind.overlay(OWNER, [terminating]) == [terminating], "the server's own deletion timestamp counts"
    blind.on_update(alive, terminating)
    assert blind.pending_count == 0


async def test_created_then_deleted_before_the_cache_showed_anything(blind: Expectations[Pod, str]) -> None:
    blind.created(pod("a", "u1", 5))
    blind.deleted("u1")
    assert [shown.metadata.is_terminating for shown in blind.overlay(OWNER, [])] == [True]
    late = pod("a", "u1", 5)
    blind.on_add(late, is_in_initial_list=False)
    assert [shown.metadata.is_terminating for shown in blind.overlay(OWNER, [late])] == [True]
    blind.on_delete(pod("a", "u1", 6))
    assert blind.overlay(OWNER, []) == []
    assert blind.pending_count == 0


async def test_the_predecessors_late_deletion_does_not_hide_the_successor(blind: Expectations[Pod, str]) -> None:
    old, new = pod("a", "u1", 5), pod("a", "u2", 9)
    blind.created(new)
    assert blind.overlay(OWNER, [old]) == [new]
    terminating = pod("a", "u1", 7, terminating=True)
    blind.on_update(old, terminating)
    assert blind.overlay(OWNER, [terminating]) == [new]
    blind.on_delete(pod("a", "u1", 8))
    assert blind.overlay(OWNER, []) == [new]
    blind.on_delete(DeletedFinalStateUnknown(old.metadata.object_name, old))
    assert blind.overlay(OWNER, []) == [new]


async def test_a_deletion_does_not_reach_the_successor(blind: Expectations[Pod, str]) -> None:
    successor = pod("a", "u2", 9)
    blind.deleted("u1")
    assert blind.overlay(OWNER, [successor]) == [successor]


async def test_a_newer_object_of_the_name_ends_the_expectation(blind: Expectations[Pod, str]) -> None:
    blind.created(pod("a", "u1", 5))
    foreign = pod("a", "u2", 9, owner=None)
    blind.on_add(foreign, is_in_initial_list=False)
    assert blind.overlay(OWNER, []) == []


async def test_an_update_is_seen_before_the_cache_shows_it_and_after_older_events(
    blind: Expectations[Pod, str],
) -> None:
    cached, written = pod("a", "u1", 5), pod("a", "u1", 8)
    blind.written(written)
    blind.written(pod("a", "u1", 7))
    blind.on_update(cached, pod("a", "u1", 6))
    assert blind.overlay(OWNER, [cached]) == [written]
    assert blind.latest(cached.metadata.object_name, cached) == written
    newer = pod("a", "u1", 10)
    assert blind.overlay(OWNER, [newer]) == [newer]


async def test_an_adopted_pod_is_the_new_owners_and_a_released_one_nobodys(blind: Expectations[Pod, str]) -> None:
    before, adopted = pod("a", "u1", 5, owner=None), pod("a", "u1", 6)
    blind.written(adopted)
    assert blind.overlay(OWNER, []) == [adopted]
    blind.written(pod("a", "u1", 7, owner=None))
    assert blind.overlay(OWNER, [adopted]) == []
    assert before.metadata.object_name == adopted.metadata.object_name


async def test_versions_that_are_no_numbers_are_settled_by_uid(blind: Expectations[Pod, str]) -> None:
    created = pod("a", "u2", "xyz")
    blind.created(created)
    assert blind.overlay(OWNER, [pod("a", "u1", "abc")]) == [created]
    shown = pod("a", "u2", "zzz")
    assert blind.overlay(OWNER, [shown]) == [shown]


async def test_what_the_cache_never_shows_is_given_up_and_said(blind: Expectations[Pod, str]) -> None:
    blind.created(pod("a", "u1", 5))
    blind.deleted("u9")
    await asyncio.sleep(299)
    assert len(blind.overlay(OWNER, [])) == 1
    with capture_logs() as logs:
        await asyncio.sleep(1)
        assert blind.overlay(OWNER, []) == []
    assert blind.pending_count == 0
    assert [(entry["event"], entry["object"]) for entry in logs] == [
        ("The cache did not show an own write in time", "ns/a")
    ]
