"""Pods on their nodes: what a user sees of each behaviour, second by second."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from api_user import PODS, User, pod

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from modelinfer_controller.simulator.nodes.stages import Behaviour

Status = dict[str, Any]


class Seen:
    """A pod's status as a user reads it."""

    def __init__(self, body: dict[str, Any]) -> None:
        self.metadata = body["metadata"]
        self.status: Status = body["status"]

    @property
    def phase(self) -> str:
        return str(self.status["phase"])

    @property
    def is_ready(self) -> bool:
        return any(one["type"] == "Ready" and one["status"] == "True" for one in self.status.get("conditions", []))

    @property
    def container(self) -> Status:
        first: Status = self.status["containerStatuses"][0]
        return first

    @property
    def init(self) -> Status:
        first: Status = self.status["initContainerStatuses"][0]
        return first

    @property
    def restarts(self) -> int:
        return int(self.container["restartCount"])

    @property
    def waits_for(self) -> str:
        return str(self.container["state"].get("waiting", {}).get("reason", ""))


async def start(cluster: SimulatedControlPlane, spec: dict[str, Any] | None = None, **annotations: str) -> User:
    """A user who has made pod a, with annotations kwok.stage/..., a moment ago."""
    user = User(cluster)
    given = {f"kwok.stage/{name.replace('_', '-')}": text for name, text in annotations.items()}
    answer = await user.create(PODS, pod("a", annotations=given, **(spec or {})))
    assert answer.status == 201
    await asyncio.sleep(0.1)
    return user


async def see(user: User) -> Seen:
    return Seen((await user.get(f"{PODS}/a")).body)


async def annotate(user: User, **annotations: str | None) -> None:
    given = {f"kwok.stage/{name.replace('_', '-')}": text for name, text in annotations.items()}
    await user.patch(f"{PODS}/a", {"metadata": {"annotations": given}})
    await asyncio.sleep(0.1)


async def test_a_pod_runs_and_is_ready_at_once(cluster: SimulatedControlPlane) -> None:
    seen = await see(await start(cluster))

    assert (seen.phase, seen.is_ready, seen.restarts) == ("Running", True, 0)
    assert seen.status["podIP"]


async def test_ready_after(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster, ready_after="5s")
    early = await see(user)
    await asyncio.sleep(5)

    assert (early.phase, early.is_ready) == ("Running", False)
    assert (await see(user)).is_ready


async def test_pull_after(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster, pull_after="1m30s")
    early = await see(user)
    await asyncio.sleep(90)

    assert (early.phase, early.waits_for) == ("Pending", "ContainerCreating")
    assert (await see(user)).is_ready


async def test_never_ready_until_the_annotation_goes(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster, never_ready="true")
    await asyncio.sleep(3600)
    assert not (await see(user)).is_ready

    await annotate(user, never_ready=None)
    assert (await see(user)).is_ready


async def test_image_pull_error_until_the_annotation_goes(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster, image_pull_error="true")
    seen = await see(user)
    assert (seen.phase, seen.waits_for) == ("Pending", "ImagePullBackOff")

    await annotate(user, image_pull_error=None)
    assert (await see(user)).is_ready


async def test_fail_after(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster, fail_after="10s", exit_code="137", reason="OOMKilled")
    assert (await see(user)).is_ready
    await asyncio.sleep(10)
    seen = await see(user)

    assert (seen.phase, seen.is_ready) == ("Failed", False)
    terminated = seen.container["state"]["terminated"]
    assert (terminated["exitCode"], terminated["reason"]) == (137, "OOMKilled")
    assert terminated["finishedAt"] == "2026-01-01T00:00:10Z"


async def test_succeed_after(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster, succeed_after="1s")
    await asyncio.sleep(1)

    assert (await see(user)).phase == "Succeeded"


async def test_a_restart_is_counted_and_the_pod_ready_again_soon(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster, restart_after="10s", ready_again_after="2s")
    await asyncio.sleep(10)
    down = await see(user)
    await asyncio.sleep(2)
    up = await see(user)

    assert (down.phase, down.is_ready, down.restarts) == ("Running", False, 1)
    assert down.container["lastState"]["terminated"]["exitCode"] == 1
    assert (up.is_ready, up.restarts) == (True, 1)


async def test_a_crash_loop_backs_off_as_the_kubelet_does(cluster: SimulatedControlPlane) -> None:
    """The first restart is at once, then after 10, 20, 40, 80, 160 and at most 300 seconds."""
    user = await start(cluster, crash_loop="true")
    assert ((await see(user)).restarts, (await see(user)).waits_for) == (1, "CrashLoopBackOff")

    elapsed = 0
    for restarts, delay in enumerate([10, 20, 40, 80, 160, 300, 300], start=2):
        await asyncio.sleep(delay - 1)
        assert (await see(user)).restarts == restarts - 1, elapsed
        await asyncio.sleep(1)
        assert (await see(user)).restarts == restarts, elapsed
        elapsed += delay


async def test_a_crash_loop_ends_with_its_annotation(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster, crash_loop="true", restart_every="1s")
    await asyncio.sleep(5)
    assert (await see(user)).restarts >= 5

    await annotate(user, crash_loop=None)
    await asyncio.sleep(2)
    assert (await see(user)).is_ready


async def test_readiness_is_lost_without_a_restart(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster)
    await annotate(user, unready_after="0s")
    lost = await see(user)
    await annotate(user, unready_after=None)

    assert (lost.phase, lost.is_ready, lost.restarts) == ("Running", False, 0)
    assert (await see(user)).is_ready


@pytest.mark.parametrize(("policy", "code", "phase"), [("Never", 1, "Failed"), ("OnFailure", 0, "Succeeded")])
async def test_the_restart_policy_is_honoured(
    cluster: SimulatedControlPlane, policy: str, code: int, phase: str
) -> None:
    user = await start(cluster, {"restartPolicy": policy}, restart_after="1s", exit_code=str(code))
    await asyncio.sleep(1)
    seen = await see(user)

    assert (seen.phase, seen.restarts) == (phase, 0)


INIT = {"initContainers": [{"name": "init", "image": "init:1"}]}


async def test_init_containers_run_first(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster, INIT, init_after="5s")
    early = await see(user)
    await asyncio.sleep(5)

    assert (early.phase, early.waits_for) == ("Pending", "PodInitializing")
    assert (await see(user)).is_ready


async def test_init_restarts(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster, INIT, init_restarts="2", init_restart_after="1s")
    await asyncio.sleep(3)
    seen = await see(user)

    assert (seen.is_ready, seen.init["restartCount"]) == (True, 2)


async def test_a_sidecar_restarts_while_the_pod_runs(cluster: SimulatedControlPlane) -> None:
    sidecar = {"initContainers": [{"name": "proxy", "image": "proxy:1", "restartPolicy": "Always"}]}
    user = await start(cluster, sidecar)
    await annotate(user, init_restart_now="1")
    seen = await see(user)

    assert (seen.is_ready, seen.init["restartCount"]) == (True, 1)
    assert seen.init["lastState"]["terminated"]["finishedAt"]


async def test_terminate_after_at_most_the_grace_period(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster, {"terminationGracePeriodSeconds": 20}, terminate_after="1h")
    await user.delete(f"{PODS}/a")
    await asyncio.sleep(19)
    assert "deletionTimestamp" in (await see(user)).metadata
    await asyncio.sleep(2)

    assert (await user.get(f"{PODS}/a")).status == 404


async def test_a_pod_made_again_under_its_name_starts_afresh(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster, fail_after="1s")
    await asyncio.sleep(1)
    await user.delete(f"{PODS}/a")
    await user.create(PODS, pod("a"))
    await asyncio.sleep(60)

    assert (await see(user)).is_ready


async def test_a_living_pod_can_be_told_how_to_behave(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster)
    cluster.kubelet.behave(ObjectName("default", "a"), Behaviour(fail_after=timedelta()))
    await asyncio.sleep(0.1)

    assert (await see(user)).phase == "Failed"


async def test_a_container_can_be_made_to_exit(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster)
    cluster.kubelet.exit_container(ObjectName("default", "a"), 139)
    await asyncio.sleep(0.1)
    seen = await see(user)

    assert (seen.restarts, seen.container["lastState"]["terminated"]["exitCode"]) == (1, 139)


async def test_a_script_decides_for_every_pod(cluster: SimulatedControlPlane) -> None:
    cluster.kubelet.script = lambda pod: Behaviour(never_ready=pod.metadata.name == "a")
    user = await start(cluster)
    await user.create(PODS, pod("b"))
    await asyncio.sleep(1)

    assert not (await see(user)).is_ready
    assert Seen((await user.get(f"{PODS}/b")).body).is_ready


async def test_a_quiet_pod_is_not_written_to(cluster: SimulatedControlPlane) -> None:
    user = await start(cluster)
    version = (await see(user)).metadata["resourceVersion"]
    await asyncio.sleep(3600)

    assert (await see(user)).metadata["resourceVersion"] == version
