"""What is done to the ModelInfer, each time as a user would do it, and when that is complete."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from demo.example import EXAMPLE, NAME, NEW_TAG, updated_roles
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.resource import PODS
from modelinfer_controller.kubectl.model.snapshot import Snapshot
from modelinfer_controller.kubectl.model.tree import Tree

MORE = 3  # groups, after the scale-up
CRASH = {"kwok.stage/restart-after": "0s", "kwok.stage/exit-code": "137", "kwok.stage/ready-again-after": "10m"}


@dataclass(frozen=True)
class Step:
    """name: a word or two. summary: what happens, in a line. is_done is asked only of a world that has settled."""

    name: str
    summary: str
    change: Callable[[Client], Awaitable[object]]
    is_done: Callable[[Snapshot, Tree], bool]


def creation() -> Step:
    """The first step: the object has just been applied."""

    async def nothing(client: Client) -> None: ...

    return Step("apply", f"{EXAMPLE}, 2 groups of 5 pods", nothing, lambda snapshot, tree: True)


def scale_up(before: Snapshot) -> Step:
    return Step(
        "scale-up",
        f"replicas {before.owner.spec.replicas} → {MORE}",
        lambda client: client.patch(MODEL_INFERS, *NAME, {"spec": {"replicas": MORE}}),
        lambda snapshot, tree: tree.replicas == MORE,
    )


def crash(before: Snapshot) -> Step:
    """A worker's container exits and is not back in time: the controller recreates its instance, and no other."""
    pod = f"{NAME.name}-1-decode-1-1"
    uid = before.pods[pod].metadata.uid
    return Step(
        "crash",
        f"{pod} exits (137): the controller recreates its instance",
        lambda client: client.patch(PODS, NAME.namespace, pod, {"metadata": {"annotations": CRASH}}),
        lambda snapshot, tree: snapshot.pods[pod].metadata.uid != uid,
    )


def rolling_update(before: Snapshot) -> Step:
    revision = before.decision.revisions.update.name
    return Step(
        "rolling update",
        f"image → {NEW_TAG}, maxUnavailable 1: one group at a time",
        lambda client: client.patch(MODEL_INFERS, *NAME, {"spec": {"template": {"roles": updated_roles()}}}),
        lambda snapshot, tree: tree.update_revision != revision and tree.updated_groups == tree.replicas,
    )


def is_settled(snapshot: Snapshot, tree: Tree) -> bool:
    """Every pod that there should be is there and ready, no other is, and the status says so."""
    pods = [pod for group in tree.groups for role in group.roles for each in role.instances for pod in each.pods]
    status = snapshot.stored.status
    return (
        len(tree.groups) == tree.replicas
        and all(pod.is_ready for pod in pods)
        and status.observed_generation == snapshot.owner.metadata.generation
        and status.available_replicas == status.updated_replicas == tree.replicas
    )
