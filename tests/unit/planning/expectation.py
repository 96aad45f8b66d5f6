"""What a spec asks for, worked out from its JSON alone, and what is available. Shares no code with the planner."""

from collections.abc import Iterable
from typing import Any

import msgspec

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import Pod
from modelinfer_controller.planning.observed import GangSupport
from modelinfer_controller.planning.pod_identity import parse_pod_name
from planning.world import NAME, World


def image_of(world: World, role: str) -> str:
    """The image that the spec gives to a role (lower-case name)."""
    template = next(r for r in world.spec["template"]["roles"] if r["name"].lower() == role)["entryTemplate"]
    return str(template["spec"]["containers"][0]["image"])


def wanted_names(world: World, group: int, roles: Iterable[dict[str, Any]]) -> set[str]:
    return {
        f"{NAME}-{group}-{role['name'].lower()}-{instance}-{index}"
        for role in roles
        for instance in range(role["replicas"])
        for index in range(role.get("workerReplicas", 0) + 1)
    }


def live_pods(world: World, group: int) -> dict[str, Pod]:
    return {
        name: pod
        for name, pod in world.pods.items()
        if (identity := parse_pod_name(NAME, name)) and identity.group == group and not pod.metadata.is_terminating
    }


def update_value(world: World, key: str) -> int | str:
    default = {"maxUnavailable": 1, "maxSurge": 0, "partition": 0}[key]
    value: int | str = world.spec["rolloutStrategy"]["rollingUpdateConfiguration"].get(key, default)
    return value


def revision_data(world: World, name: str) -> dict[str, Any]:
    data: dict[str, Any] = msgspec.json.decode(world.revisions[name].data)
    return data


def revisions_of(pods: Iterable[Pod]) -> set[str]:
    return {pod.metadata.labels.get(well_known.REVISION, "") for pod in pods}


def is_available(world: World, group: int) -> bool:
    """By the spec's numbers, which all groups of a rollout without scaling have."""
    pods = live_pods(world, group)
    minimums = (world.spec["template"].get("gangSchedule") or {}).get("minRoleReplicas") or {}
    for role in world.spec["template"]["roles"]:
        complete = sum(
            all(
                (pod := pods.get(f"{NAME}-{group}-{role['name'].lower()}-{instance}-{index}")) is not None
                and pod.is_ready
                for index in range(role.get("workerReplicas", 0) + 1)
            )
            for instance in range(role["replicas"])
        )
        if complete < minimums.get(role["name"], role["replicas"]):
            return False
    return bool(pods)


def check_as_specified(world: World) -> None:
    """Exactly the specified children, every group wholly of one revision, all of it ready, and the status says so."""
    replicas, partition = world.spec["replicas"], update_value(world, "partition")
    assert isinstance(partition, int)
    roles = world.spec["template"]["roles"]
    expected: set[str] = set()
    services: set[str] = set()
    for group in range(replicas):
        pods = live_pods(world, group)
        found = revisions_of(pods.values())
        assert len(found) <= 1, f"group {group} is of several revisions: {found}"
        group_roles = roles
        if group < partition:
            counts = {role["name"].lower(): role["replicas"] for role in roles}
            revision = next(iter(found), world.status.current_revision)
            group_roles = [
                {**role, "replicas": counts.get(role["name"].lower(), _seen(pods, group, role["name"].lower()))}
                for role in revision_data(world, revision)["roles"]
            ]
        else:
            assert found <= {world.status.update_revision}, f"group {group} is not at the update revision"
            certain = [name for name, pod in pods.items() if pod.metadata.uid not in world.unlabelled]
            assert all(world.images[name] == image_of(world, _role(name)) for name in certain)
        expected |= wanted_names(world, group, group_roles)
        services |= {
            f"{NAME}-{group}-{role['name'].lower()}-{instance}-0"
            for role in group_roles
            for instance in range(role["replicas"])
            if role.get("workerReplicas")
        }
    assert set(world.pods) == expected
    assert all(pod.is_ready for pod in world.pods.values())
    assert set(world.services) == services
    check_status(world, replicas)


def _role(pod: str) -> str:
    identity = parse_pod_name(NAME, pod)
    assert identity is not None
    return identity.role


def _seen(pods: dict[str, Pod], group: int, role: str) -> int:
    identities = [parse_pod_name(NAME, name) for name in pods]
    return max((found.instance + 1 for found in identities if found is not None and found.role == role), default=0)


def check_status(world: World, replicas: int) -> None:
    status = world.status
    assert status.observed_generation == world.generation
    assert status.available_replicas == sum(is_ready_group(world, group) for group in range(replicas))
    assert status.replicas == sum(bool(live_pods(world, group)) for group in range(replicas))
    assert {c.type for c in status.conditions} >= {"Available", "Progressing", "UpdateInProgress"}
    assert all(c.status in ("True", "False") and c.reason and c.message for c in status.conditions)
    assert world.condition("Available").status == "True", world.condition("Available")
    assert world.condition("Progressing").status == "False", world.condition("Progressing")
    assert world.condition("UpdateInProgress").status == "False", world.condition("UpdateInProgress")


def is_ready_group(world: World, group: int) -> bool:
    return all(pod.is_ready for pod in live_pods(world, group).values())


def supports(number: int) -> GangSupport:
    return GangSupport(volcano=bool(number & 1), kubernetes=bool(number & 2))
