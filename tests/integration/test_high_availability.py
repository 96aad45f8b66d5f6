"""Two replicas with leader election: one of them works, and whatever becomes of it no pod is touched twice."""

from __future__ import annotations

import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_process import COMMAND, WRITES, replica_kubeconfig, user_of, wait_until_served
from controller_process import NAMESPACE as SYSTEM
from controlplane import AuditEvent, ControlPlane, Settings
from controlplane.processes import spawn
from models import model, role, update
from tcp_proxy import TcpProxy
from user import User

MANIFESTS = Path(__file__).parents[2] / "manifests"
SHORT = ("--leader-elect-lease-duration=3s", "--leader-elect-renew-deadline=2s", "--leader-elect-retry-period=500ms")
LEADERSHIP_LOST = 6
REPLICAS = 5


@pytest.fixture(scope="module")
def ha_control_plane() -> Iterator[ControlPlane]:
    """A control plane of this module's own: its controllers look after all namespaces."""
    with ControlPlane.start(Settings(nodes=3)) as control_plane:
        control_plane.kubectl("apply", "-f", str(MANIFESTS / "crd"))
        wait_until_served(control_plane)
        control_plane.kubectl("apply", "-k", str(MANIFESTS / "rbac"))
        yield control_plane


class Replica:
    """One replica, under a service account of its own, so that the audit log tells its requests from the other's."""

    def __init__(self, control_plane: ControlPlane, name: str, *arguments: str, port: int | None = None) -> None:
        self.user = user_of(name)
        self._log = control_plane.logs / f"{name}.log"
        kubeconfig = replica_kubeconfig(control_plane, name)
        if port is not None:
            kubeconfig.write_text(kubeconfig.read_text().replace(control_plane.server, f"https://127.0.0.1:{port}"))
        self._log.unlink(missing_ok=True)
        options = [f"--kubeconfig={kubeconfig}", "--leader-elect", f"--leader-elect-namespace={SYSTEM}", *arguments]
        self.process = spawn([str(COMMAND), "run", *options], self._log)

    def says(self, text: str) -> bool:
        assert self.process.poll() is None or text == "", self.log
        return text in self.log

    @property
    def log(self) -> str:
        return self._log.read_text() if self._log.exists() else ""

    @property
    def leads(self) -> bool:
        return self.says("Workers started")

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def exit_code(self, timeout: float = 20.0) -> int:
        return self.process.wait(timeout)

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Pair:
    """The leader, and the follower with warm caches."""

    def __init__(self, control_plane: ControlPlane, *arguments: str, leaders_port: int | None = None) -> None:
        self._control_plane = control_plane
        self.leader = Replica(control_plane, "replica-a", *arguments, port=leaders_port)
        try:
            wait(lambda: self.leader.leads, "the first replica leads")
            self.follower = Replica(control_plane, "replica-b", *arguments)
        except BaseException:
            self.leader.end()
            raise

    def __enter__(self) -> Pair:
        return self

    def __exit__(self, *_: object) -> None:
        self.leader.end()
        self.follower.end()

    def wait_for_warm_caches(self) -> None:
        wait(lambda: self.follower.says("Waiting for leadership"), "the follower's caches are warm")
        assert not self.follower.leads

    def writes(self, since: int, *replicas: Replica) -> list[AuditEvent]:
        """The writes to everything but the lease."""
        users = {replica.user for replica in replicas or (self.leader, self.follower)}
        events = self._control_plane.audit_events(since)
        return [e for e in events if e.user in users and e.verb in WRITES and e.resource not in IGNORED]


IGNORED = {"leases", "selfsubjectaccessreviews"}


def wait(look: object, what: str, timeout: float = 30.0) -> float:
    """Polls often; the seconds it took."""
    assert callable(look)
    began = time.monotonic()
    while not look():
        assert time.monotonic() - began < timeout, f"not within {timeout:g} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - began


@pytest.fixture
def ha_user(ha_control_plane: ControlPlane, request: pytest.FixtureRequest) -> Iterator[User]:
    namespace = f"ha-{request.node.name.replace('_', '-').lower()[5:40].strip('-')}"
    ha_control_plane.create_namespace(namespace)
    user = User(ha_control_plane, namespace)
    yield user
    user.kubectl("delete", "modelinfers", "--all", "--wait=false")
    user.close()


class Rollout:
    """A rollout of five groups of 2 pods, one group at a time, which something disturbs in its middle."""

    def __init__(self, control_plane: ControlPlane, user: User) -> None:
        self._control_plane = control_plane
        self._user = user
        self.since = 0

    def prepare(self) -> None:
        self._apply("image:1")
        self._user.wait_settled("mi")

    def begin(self) -> None:
        """Returns when two groups have been replaced."""
        self.since = self._control_plane.audit_position()
        self._apply("image:2")
        self._user.wait(lambda: len(self._updated()) in (2, 3), "two groups are replaced")

    def _updated(self) -> set[str]:
        """Ordinals of groups with new pods; the status may say so up to a second later."""
        new = (name for name, pod in self._user.pods.items() if pod["spec"]["containers"][0]["image"] == "image:2")
        return {name.split("-")[1] for name in new}

    def finish(self) -> None:
        self._user.wait_settled("mi")
        images = {pod["spec"]["containers"][0]["image"] for pod in self._user.pods.values()}
        assert images == {"image:2"}
        assert len(self._user.pods) == 2 * REPLICAS

    def _apply(self, image: str) -> None:
        strategy = update(maxUnavailable=1)
        self._user.apply(model("mi", role(workers=1, image=image), replicas=REPLICAS, **strategy))

    def assert_no_pod_touched_twice(self, pair: Pair) -> None:
        """Each pod was deleted once and made once, by either replica; nothing was asked for that was done already.

        A request that broke off with its sender, who was killed, is one that the server did not carry out.
        """
        answered = [e for e in pair.writes(self.since) if e.resource == "pods" and 0 < e.code < 499]
        touched = Counter((e.verb, e.name) for e in answered)
        names = [f"mi-{g}-decode-0-{k}" for g in range(REPLICAS) for k in range(2)]
        assert touched == Counter({(verb, name): 1 for name in names for verb in ("delete", "create")})


@pytest.fixture
def rollout(ha_control_plane: ControlPlane, ha_user: User) -> Rollout:
    return Rollout(ha_control_plane, ha_user)


def test_a_clean_stop_hands_over_within_two_seconds(ha_control_plane: ControlPlane, rollout: Rollout) -> None:
    with Pair(ha_control_plane) as pair:  # with the default times of the lease
        rollout.prepare()
        pair.wait_for_warm_caches()
        rollout.begin()
        pair.leader.send(signal.SIGTERM)
        assert pair.leader.exit_code() == 0
        assert wait(lambda: pair.follower.leads, "the next leads") < 2.0
        rollout.finish()
        rollout.assert_no_pod_touched_twice(pair)


def test_a_killed_leader_is_followed_when_its_lease_expires(ha_control_plane: ControlPlane, rollout: Rollout) -> None:
    with Pair(ha_control_plane, *SHORT) as pair:
        rollout.prepare()
        pair.wait_for_warm_caches()
        rollout.begin()
        pair.leader.send(signal.SIGKILL)
        seconds = wait(lambda: pair.follower.leads, "the next leads")
        assert 1.5 < seconds < 5.0  # not before the lease has expired, and soon after
        rollout.finish()
        rollout.assert_no_pod_touched_twice(pair)


def test_a_leader_that_sleeps_past_its_lease_writes_nothing(ha_control_plane: ControlPlane, rollout: Rollout) -> None:
    with Pair(ha_control_plane, *SHORT) as pair:
        rollout.prepare()
        pair.wait_for_warm_caches()
        rollout.begin()
        pair.leader.send(signal.SIGSTOP)
        wait(lambda: pair.follower.leads, "the next leads")
        rollout.finish()
        asleep_until = ha_control_plane.audit_position()
        pair.leader.send(signal.SIGCONT)
        assert pair.leader.exit_code(timeout=5.0) == LEADERSHIP_LOST
        time.sleep(0.2)  # for the audit log
        assert pair.writes(asleep_until, pair.leader) == []
        assert "leadership lost" in pair.leader.log
        rollout.assert_no_pod_touched_twice(pair)


def test_a_leader_that_wakes_up_in_the_middle_of_the_next_ones_rollout(
    ha_control_plane: ControlPlane, rollout: Rollout
) -> None:
    with Pair(ha_control_plane, *SHORT) as pair:
        rollout.prepare()
        pair.wait_for_warm_caches()
        rollout.begin()
        pair.leader.send(signal.SIGSTOP)
        wait(lambda: pair.follower.leads, "the next leads")
        asleep_until = ha_control_plane.audit_position()
        pair.leader.send(signal.SIGCONT)
        assert pair.leader.exit_code(timeout=5.0) == LEADERSHIP_LOST
        rollout.finish()
        assert pair.writes(asleep_until, pair.leader) == []
        rollout.assert_no_pod_touched_twice(pair)


def test_a_leader_cut_off_from_the_cluster_leaves(ha_control_plane: ControlPlane, rollout: Rollout) -> None:
    port = int(ha_control_plane.server.rpartition(":")[2])
    with TcpProxy(port) as proxy, Pair(ha_control_plane, *SHORT, leaders_port=proxy.port) as pair:
        rollout.prepare()
        pair.wait_for_warm_caches()
        rollout.begin()
        proxy.cut()
        assert pair.leader.exit_code(timeout=3.5) == LEADERSHIP_LOST  # before another may lead, or about then
        wait(lambda: pair.follower.leads, "the next leads")
        rollout.finish()
        rollout.assert_no_pod_touched_twice(pair)


def test_the_second_replica_is_idle_while_the_first_leads(ha_control_plane: ControlPlane, rollout: Rollout) -> None:
    with Pair(ha_control_plane, *SHORT) as pair:
        rollout.prepare()
        pair.wait_for_warm_caches()
        rollout.begin()
        rollout.finish()
        assert pair.writes(rollout.since, pair.follower) == []
        rollout.assert_no_pod_touched_twice(pair)
        pair.follower.send(signal.SIGTERM)
        assert pair.follower.exit_code() == 0
