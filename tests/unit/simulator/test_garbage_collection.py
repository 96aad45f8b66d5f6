"""What becomes of dependents when their owner goes, and of a namespace's content."""

import asyncio

from api_user import PODS, Answer, User, config_map, owned_by, pod

from modelinfer_controller.simulator.control_plane import SimulatedControlPlane

MAPS = "/api/v1/namespaces/default/configmaps"


async def owner_and_child(user: User, *, blocks: bool = True) -> tuple[Answer, Answer]:
    owner = await user.create(MAPS, config_map("owner"))
    return owner, await user.create(MAPS, config_map("child", ownerReferences=owned_by(owner.body, blocks=blocks)))


async def exists(user: User, name: str) -> bool:
    return (await user.get(f"{MAPS}/{name}")).status == 200


async def test_background_deletion_takes_the_owner_first(cluster: SimulatedControlPlane) -> None:
    user = User(cluster)
    await owner_and_child(user)

    await user.delete(f"{MAPS}/owner")
    assert not await exists(user, "owner")
    await asyncio.sleep(1)
    assert not await exists(user, "child")


async def test_foreground_deletion_waits_for_the_dependents(cluster: SimulatedControlPlane) -> None:
    user = User(cluster)
    owner = (await user.create(MAPS, config_map("owner"))).body
    held = config_map("child", ownerReferences=owned_by(owner), finalizers=["example.com/hold"])
    await user.create(MAPS, held)

    await user.delete(f"{MAPS}/owner", {"propagationPolicy": "Foreground"})
    await asyncio.sleep(1)
    waiting = (await user.get(f"{MAPS}/owner")).body["metadata"]
    assert waiting["finalizers"] == ["foregroundDeletion"]
    assert "deletionTimestamp" in (await user.get(f"{MAPS}/child")).body["metadata"]

    await user.patch(f"{MAPS}/child", {"metadata": {"finalizers": None}})
    await asyncio.sleep(1)
    assert not await exists(user, "owner")


async def test_foreground_deletion_waits_for_pods_to_stop(cluster: SimulatedControlPlane) -> None:
    user = User(cluster)
    owner = (await user.create(MAPS, config_map("owner"))).body
    body = pod("child", annotations={"kwok.stage/terminate-after": "5s"})
    body["metadata"]["ownerReferences"] = owned_by(owner)
    await user.create(PODS, body)
    await asyncio.sleep(1)

    await user.delete(f"{MAPS}/owner", propagationPolicy="Foreground")
    await asyncio.sleep(4)
    assert await exists(user, "owner")
    await asyncio.sleep(2)
    assert not await exists(user, "owner")


async def test_orphaned_dependents_stay_without_the_owner(cluster: SimulatedControlPlane) -> None:
    user = User(cluster)
    await owner_and_child(user)

    await user.delete(f"{MAPS}/owner", {"propagationPolicy": "Orphan"})
    await asyncio.sleep(1)

    assert not await exists(user, "owner")
    assert "ownerReferences" not in (await user.get(f"{MAPS}/child")).body["metadata"]


async def test_a_successor_of_the_same_name_is_no_owner(cluster: SimulatedControlPlane) -> None:
    user = User(cluster)
    await owner_and_child(user)

    await user.delete(f"{MAPS}/owner")
    await user.create(MAPS, config_map("owner"))
    await asyncio.sleep(1)

    assert await exists(user, "owner")
    assert not await exists(user, "child")


async def test_a_child_of_nobody_is_collected(cluster: SimulatedControlPlane) -> None:
    user = User(cluster)
    owner, _ = await owner_and_child(user)
    await user.delete(f"{MAPS}/owner")

    await user.create(MAPS, config_map("late", ownerReferences=owned_by(owner.body)))
    await asyncio.sleep(1)

    assert not await exists(user, "late")


async def test_one_remaining_owner_keeps_the_child(cluster: SimulatedControlPlane) -> None:
    user = User(cluster)
    owners = [(await user.create(MAPS, config_map(name))).body for name in ("one", "two")]
    references = [{**owned_by(owner)[0], "controller": False} for owner in owners]
    await user.create(MAPS, config_map("child", ownerReferences=references))

    await user.delete(f"{MAPS}/one")
    await asyncio.sleep(1)

    left = (await user.get(f"{MAPS}/child")).body["metadata"]["ownerReferences"]
    assert [one["name"] for one in left] == ["two"]


async def test_a_deleted_namespace_is_emptied(cluster: SimulatedControlPlane) -> None:
    user = User(cluster)
    cluster.add_namespace("other")
    await user.create("/api/v1/namespaces/other/pods", pod("a"))
    await asyncio.sleep(1)

    await user.delete("/api/v1/namespaces/other")
    refused = await user.create("/api/v1/namespaces/other/pods", pod("b"))
    await asyncio.sleep(5)

    assert refused.status == 403
    assert "because it is being terminated" in refused.message
    assert (await user.get("/api/v1/namespaces/other")).status == 404
