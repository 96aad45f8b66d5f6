"""What is known of children goes with their owner, and is complete at the first look."""

from typing import Any

from modelinfer_controller.api import well_known
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.controller.children import Children
from modelinfer_controller.kube.resource import PODS
from tests.unit.controller.conftest import NAMESPACE, Shell, owner_of


def pod_of(stored: ModelInfer, name: str) -> dict[str, Any]:
    reference = {"apiVersion": "v1", "kind": "ModelInfer", "name": stored.metadata.name, "uid": stored.metadata.uid}
    metadata = {
        "name": name,
        "labels": {well_known.NAME: stored.metadata.name},
        "ownerReferences": [{**reference, "controller": True}],
    }
    return {"metadata": metadata, "spec": {"containers": [{"name": "server", "image": "inference:1"}]}}


async def test_children_that_were_there_before_the_first_look_are_seen_and_then_what_changes(shell: Shell) -> None:
    stored, children = await shell.model_infer(replicas=2), Children(shell.caches)
    await shell.client.create(PODS, NAMESPACE, pod_of(stored, "demo-0-decode-0-0"))
    await shell.sleep(1)
    found, _ = children.of(owner_of(stored))
    assert [pod.name for pod in found[0].pods] == ["demo-0-decode-0-0"]
    await shell.client.create(PODS, NAMESPACE, pod_of(stored, "demo-1-decode-0-0"))
    await shell.sleep(1)
    later, _ = children.of(owner_of(stored))
    assert sorted(later) == [0, 1]
    assert sorted(found) == [0], "an observation does not change later"


async def test_children_that_go_after_their_owner_leave_nothing_behind(shell: Shell) -> None:
    children = Children(shell.caches)

    async def live_and_go(name: str) -> None:
        stored = await shell.model_infer(name)
        pod = await shell.client.create(PODS, NAMESPACE, pod_of(stored, f"{name}-0-decode-0-0"))
        await shell.sleep(1)
        children.of(owner_of(stored))
        children.forget(stored.metadata.uid)
        await shell.client.delete(PODS, NAMESPACE, f"{name}-0-decode-0-0", uid=pod.metadata.uid)
        await shell.sleep(60)

    await live_and_go("first")
    before = _size(children)
    for number in range(20):
        await live_and_go(f"m{number}")
    assert _size(children) == before


def _size(root: object) -> int:
    """Entries of all that it holds, but for the caches, which are not its own."""
    seen: set[int] = set()

    def count(one: object) -> int:
        if id(one) in seen:
            return 0
        seen.add(id(one))
        if isinstance(one, dict):
            return len(one) + sum(count(value) for value in one.values())
        if isinstance(one, list | tuple | set):
            return len(one) + sum(map(count, one))
        is_own = getattr(type(one), "__module__", "").endswith("controller.children")
        return sum(count(value) for value in vars(one).values()) if is_own else 0

    return count(root)
