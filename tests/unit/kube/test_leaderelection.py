"""Leader election: who leads when, what a lost lease does, and never two at once whatever the network does."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lease_server import Connection, LeaseServer, Link
from structlog.testing import capture_logs

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.leaderelection import LeaderElector, LeadershipLost, LeaseTiming
from modelinfer_controller.kube.tasks import CancelledFromWithin
from modelinfer_controller.simulator import virtual_time
from modelinfer_controller.simulator.virtual_time import EPOCH, VirtualClock, VirtualTimeLoop

LEASE = ObjectName("kube-system", "the-controller")


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    with capture_logs():
        yield


def now() -> float:
    return asyncio.get_running_loop().time()


def clock(skew: timedelta = timedelta()) -> VirtualClock:
    return VirtualClock(asyncio.get_running_loop(), EPOCH + skew)


@dataclass
class Work:
    """The guarded work: notes its times, takes `cleanup` seconds to end when cancelled."""

    cleanup: float = 0.0
    seconds: float = 10**9
    began: list[float] = field(default_factory=list)
    ended: list[float] = field(default_factory=list)

    async def __call__(self) -> None:
        self.began.append(now())
        try:
            await asyncio.sleep(self.seconds)
        finally:
            await asyncio.sleep(self.cleanup)
            self.ended.append(now())


class Candidate:
    """An elector with its connection and its work, running."""

    def __init__(self, server: LeaseServer, name: str, work: Work | None = None, *, skew: timedelta = timedelta()):
        self.connection = Connection(server)
        self.work = work or Work()
        self.told: list[tuple[float, bool]] = []
        self.elector = LeaderElector(
            self.connection,
            LEASE,
            name,
            clock=clock(skew),
            random=Random(name),
            on_change=lambda is_leader: self.told.append((now(), is_leader)),
        )
        self.running = asyncio.create_task(self.elector.run(self.work), name=name)

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


@pytest.fixture
def server() -> LeaseServer:
    return LeaseServer()


@pytest.fixture
async def candidates() -> AsyncIterator[list[Candidate]]:
    """Whatever is put in is stopped after the test."""
    candidates: list[Candidate] = []
    yield candidates
    for candidate in candidates:
        candidate.connection.link = Link.UP
        await candidate.stop()


async def start(server: LeaseServer, candidates: list[Candidate], name: str, work: Work | None = None) -> Candidate:
    candidates.append(Candidate(server, name, work))
    await asyncio.sleep(1)
    return candidates[-1]


async def test_the_first_leads_the_second_waits(server: LeaseServer, candidates: list[Candidate]) -> None:
    first = await start(server, candidates, "first")
    second = await start(server, candidates, "second")
    await asyncio.sleep(3600)
    assert first.elector.is_leading()
    assert not second.elector.is_leading()
    assert second.elector.holder == "first"
    assert len(first.work.began) == 1
    assert not second.work.began
    assert server.holders == ["first"]
    lease = server.lease()
    assert lease.spec.lease_duration_seconds == 15
    assert lease.spec.renew_time is not None
    assert clock().now() - lease.spec.renew_time < timedelta(seconds=3)


async def test_after_a_clean_stop_the_next_leads_within_two_seconds(
    server: LeaseServer, candidates: list[Candidate]
) -> None:
    first = await start(server, candidates, "first", Work(cleanup=60))
    second = await start(server, candidates, "second")
    await asyncio.sleep(30)
    first.running.cancel()
    await asyncio.sleep(59)
    assert first.elector.is_leading(), "the lease is renewed while the work ends"
    assert not second.work.began
    with pytest.raises(asyncio.CancelledError):
        await first.running
    await asyncio.sleep(2)
    [ended], [began] = first.work.ended, second.work.began
    assert ended < began < ended + 2
    assert server.holders == ["first", "", "second"]
    assert server.lease().spec.lease_transitions == 1
    assert [is_leader for _, is_leader in first.told] == [True, False]


async def test_work_that_ends_or_fails_releases_the_lease(server: LeaseServer) -> None:
    ending = Candidate(server, "ending", Work(seconds=20))
    await ending.running
    assert server.holders == ["ending", ""]

    async def fail() -> None:
        await asyncio.sleep(5)
        raise ValueError("crashed")

    failing = LeaderElector(Connection(server), LEASE, "failing", clock=clock(), random=Random(1))
    with pytest.raises(ValueError, match="crashed"):
        await failing.run(fail)
    assert server.holders == ["ending", "", "failing", ""]
    assert not failing.is_leading()


@pytest.mark.parametrize("link", [Link.REFUSED, Link.SILENT, Link.DEAF, Link.BROKEN])
async def test_a_leader_that_is_cut_off_stops_before_another_starts(
    server: LeaseServer, candidates: list[Candidate], link: Link
) -> None:
    first = await start(server, candidates, "first", Work(cleanup=1))
    second = await start(server, candidates, "second")
    await asyncio.sleep(20)
    first.connection.link = link
    cut_at = now()
    with pytest.raises(LeadershipLost, match="not renewed"):
        await first.running
    assert now() < cut_at + 11.5
    assert first.work.ended == [now()]
    assert first.told[-1][1] is False
    await asyncio.sleep(30)
    assert second.elector.is_leading()
    [ended], [began] = first.work.ended, second.work.began
    assert ended + 2 < began
    assert "" not in server.holders, "a lost lease is not released"


async def test_a_renewal_that_a_library_breaks_off_is_tried_again(
    server: LeaseServer, candidates: list[Candidate]
) -> None:
    first = await start(server, candidates, "first")
    await asyncio.sleep(30)
    first.connection.link = Link.STRAY
    await asyncio.sleep(5)
    first.connection.link = Link.UP
    await asyncio.sleep(60)
    assert first.elector.is_leading()
    assert not first.work.ended


async def test_a_candidate_whose_attempts_a_library_breaks_off_goes_on_trying(
    server: LeaseServer, candidates: list[Candidate]
) -> None:
    first = Candidate(server, "first")
    candidates.append(first)
    first.connection.link = Link.STRAY
    await asyncio.sleep(60)
    assert not first.running.done()
    first.connection.link = Link.UP
    await asyncio.sleep(5)
    assert first.elector.is_leading()


async def test_work_that_a_library_breaks_off_is_an_error(server: LeaseServer) -> None:
    async def breaks_off() -> None:
        raise asyncio.CancelledError

    elector = LeaderElector(Connection(server), LEASE, "breaking", clock=clock(), random=Random("breaking"))
    with pytest.raises(CancelledFromWithin):
        await elector.run(breaks_off)
    assert server.holders == ["breaking", ""]


async def test_a_short_outage_costs_nothing(server: LeaseServer, candidates: list[Candidate]) -> None:
    first = await start(server, candidates, "first")
    second = await start(server, candidates, "second")
    for link in (Link.SILENT, Link.DEAF, Link.REFUSED, Link.BROKEN, Link.LATE):
        first.connection.link = link
        await asyncio.sleep(4)
        first.connection.link = Link.UP
        await asyncio.sleep(10)
        assert first.elector.is_leading(), link
    assert not second.work.began


async def test_a_killed_leader_is_replaced_once_its_lease_was_seen_unchanged_for_its_duration(
    server: LeaseServer, candidates: list[Candidate]
) -> None:
    await start(server, candidates, "first")
    candidates[0].connection.link = Link.REFUSED
    second = await start(server, candidates, "second")
    await asyncio.sleep(13)
    assert not second.work.began
    await asyncio.sleep(3)
    assert second.elector.is_leading()


@pytest.mark.parametrize("hours", [-10_000, 10_000])
async def test_wall_clocks_do_not_matter(server: LeaseServer, candidates: list[Candidate], hours: int) -> None:
    first = await start(server, candidates, "first")
    candidates.append(Candidate(server, "skewed", skew=timedelta(hours=hours)))
    await asyncio.sleep(600)
    assert first.elector.is_leading()
    assert not candidates[1].work.began
    await first.stop()
    await asyncio.sleep(600)
    assert candidates[1].elector.is_leading()


class StoppedClock:
    def now(self) -> "object":
        return EPOCH


async def test_a_stopped_wall_clock_still_renews(server: LeaseServer, candidates: list[Candidate]) -> None:
    elector = LeaderElector(Connection(server), LEASE, "first", clock=StoppedClock(), random=Random(1))  # type: ignore[arg-type]
    running = asyncio.create_task(elector.run(Work()))
    second = await start(server, candidates, "second")
    await asyncio.sleep(100)
    assert elector.is_leading()
    assert not second.work.began
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_after_a_stall_longer_than_the_lease_no_write_is_allowed_and_the_work_is_stopped(
    server: LeaseServer,
) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    first = Candidate(server, "first")
    await asyncio.sleep(30)
    assert first.elector.is_leading()
    loop.stall(60)
    assert not first.elector.is_leading(), "before anything of the process has run again"
    assert not first.elector.is_healthy(max_tolerable_expired=20)
    requests = first.connection.request_count
    with pytest.raises(LeadershipLost):
        await first.running
    assert first.work.ended == [now()] == [90]
    assert first.connection.request_count == requests, "what it missed is not made good"


async def test_a_lease_that_another_took_stops_the_work_at_the_next_renewal(server: LeaseServer) -> None:
    first = Candidate(server, "first")
    await asyncio.sleep(30)
    lease = server.stored
    assert lease is not None
    server.update({**lease, "spec": {**lease["spec"], "holderIdentity": "usurper"}})
    with pytest.raises(LeadershipLost, match="held by usurper"):
        await first.running
    assert now() < 33
    assert server.holders == ["first", "usurper"]


async def test_a_deleted_lease_is_the_holders_to_restore(server: LeaseServer, candidates: list[Candidate]) -> None:
    first = await start(server, candidates, "first")
    second = await start(server, candidates, "second")
    first.connection.link = Link.REFUSED
    server.stored = None
    await asyncio.sleep(6)
    assert not second.work.began, "the holder may not know yet"
    first.connection.link = Link.UP
    await asyncio.sleep(30)
    assert first.elector.is_leading()
    assert not second.work.began


async def test_the_deadline_counts_from_before_the_renewal_was_sent(server: LeaseServer) -> None:
    first = Candidate(server, "first")
    first.connection.latency = 1
    await asyncio.sleep(30)
    first.connection.link = Link.REFUSED
    with pytest.raises(LeadershipLost):
        await first.running
    lost_at, is_leader = first.told[-1]
    assert not is_leader
    assert lost_at == pytest.approx(server.stored_at - 1 + 10)


async def test_a_claim_whose_answer_is_read_too_late_does_not_begin_the_work(
    server: LeaseServer, candidates: list[Candidate]
) -> None:
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualTimeLoop)
    candidates.append(Candidate(server, "first"))
    candidates[0].connection.latency = 0
    server.before_answer = lambda: loop.stall(60)
    await asyncio.sleep(60)
    server.before_answer = lambda: None
    assert server.holders == ["first"]
    assert not candidates[0].work.began
    await asyncio.sleep(3)
    assert candidates[0].elector.is_leading()


async def test_work_that_ignores_its_cancellation_is_left_behind_and_unhealthy(server: LeaseServer) -> None:
    first = Candidate(server, "first", Work(cleanup=100))
    await asyncio.sleep(20)
    first.connection.link = Link.REFUSED
    with pytest.raises(LeadershipLost):
        await first.running
    assert 30 < now() < 36
    assert not first.elector.is_leading()
    await asyncio.sleep(10)
    assert not first.elector.is_healthy()
    assert first.elector.is_healthy(max_tolerable_expired=20)
    await asyncio.sleep(100)
    assert first.elector.is_healthy(), "the work has ended at last"


async def test_a_candidate_stopped_while_its_claim_is_unanswered_gives_back_what_it_may_have_got(
    server: LeaseServer,
) -> None:
    first = Candidate(server, "first")
    first.connection.link = Link.UP
    await asyncio.sleep(0.02)  # the look is answered, the creation under way
    first.connection.link = Link.DEAF
    await asyncio.sleep(1)
    assert server.holders == ["first"]
    first.connection.link = Link.UP
    await first.stop()
    assert server.holders == ["first", ""]
    assert not first.work.began


@pytest.mark.parametrize(
    ("timing", "message"),
    [
        ((0.5, 0.4, 0.1), "must be 1 s or more"),
        ((10, 10, 2), "longer than the renew deadline of 10 s"),
        ((15, 2.4, 2), r"longer than 1\.2 times the retry period of 2 s"),
        ((15, 10, 0), "retry period 0 s: must be more than 0"),
    ],
)
def test_timings_that_cannot_be_safe_are_refused(timing: tuple[float, float, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        LeaseTiming(*timing)


@dataclass(frozen=True)
class Phase:
    """What becomes of the three links for so many seconds, and who is stopped cleanly at its start."""

    links: tuple[Link, Link, Link]
    seconds: float
    stopped: int | None


LINKS = st.sampled_from([Link.UP, Link.UP, *Link])
PHASES = st.builds(
    Phase,
    links=st.tuples(LINKS, LINKS, LINKS),
    seconds=st.floats(0.1, 25),
    stopped=st.none() | st.integers(0, 2),
)


class Replica:
    """A pod: its elector, and after the process has ended, with a new identity, the next."""

    def __init__(self, server: LeaseServer, index: int, working: set[str], skew: timedelta) -> None:
        self.connection = Connection(server, latency=0.01 + 0.2 * index)
        self.index = index
        self.working = working
        self.skew = skew
        self.errors: list[BaseException] = []
        self.elector: LeaderElector | None = None
        self.process: asyncio.Task[None] | None = None
        self.running = asyncio.create_task(self.restart_for_ever(), name=f"replica {index}")

    async def restart_for_ever(self) -> None:
        for generation in range(10**6):
            identity = f"{self.index}-{generation}"
            self.process = asyncio.create_task(self.lead_once(identity), name=identity)
            await asyncio.wait((self.process,))
            self.note_error()
            await asyncio.sleep(0.5)

    async def lead_once(self, identity: str) -> None:
        random = Random(identity)
        self.elector = LeaderElector(self.connection, LEASE, identity, clock=clock(self.skew), random=random)

        async def lead() -> None:
            assert not self.working, "two leaders"
            self.working.add(identity)
            try:
                await asyncio.sleep(10**9)
            finally:
                try:
                    await asyncio.sleep(random.random() * 4)  # less than the lease outlasts the renew deadline
                finally:
                    self.working.remove(identity)

        try:
            await self.elector.run(lead)
        except LeadershipLost:
            assert identity not in self.working

    async def end(self) -> None:
        self.running.cancel()
        assert self.process is not None
        self.process.cancel()
        await asyncio.wait((self.running, self.process))
        self.note_error()

    def note_error(self) -> None:
        if self.process is not None and not self.process.cancelled() and (error := self.process.exception()):
            self.errors.append(error)


@settings(max_examples=60, deadline=None)
@given(phases=st.lists(PHASES, min_size=2, max_size=12), skew=st.integers(-100, 100))
def test_never_two_leaders_and_always_one_in_the_end(phases: list[Phase], skew: int) -> None:
    virtual_time.run(play(phases, timedelta(hours=skew)))


async def play(phases: list[Phase], skew: timedelta) -> None:
    server, working = LeaseServer(), set[str]()
    replicas = [Replica(server, index, working, index * skew) for index in range(3)]
    for phase in phases:
        for replica, link in zip(replicas, phase.links, strict=True):
            replica.connection.link = link
        if phase.stopped is not None and (process := replicas[phase.stopped].process) is not None:
            process.cancel()
        await asyncio.sleep(phase.seconds)
    for replica in replicas:
        replica.connection.link = Link.UP
    await asyncio.sleep(30)
    assert len(working) == 1
    assert [replica.elector.is_leading() for replica in replicas if replica.elector].count(True) == 1
    for replica in replicas:
        await replica.end()
    assert not working
    assert not [error for replica in replicas for error in replica.errors]
    await asyncio.sleep(10)  # for what is still on its way
