"""No right is granted that is not used: the audit log of one eventful day against the ClusterRole of the manifests."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from controller_process import USER, ControllerProcess, install
from controlplane import ControlPlane, Settings
from controlplane.tools import ensure_binaries
from models import DOMAIN, model, role
from test_manifests import MANIFESTS, NODES_ROLE, ONLY_FOR_ADMISSION, granted
from user import User

GANG = {"template": {"gangSchedule": {"minRoleReplicas": {"decode": 1}}}}
SCHEDULERS = {"volcano": "scheduling.volcano.sh/v1beta1", "default-scheduler": "scheduling.k8s.io/v1beta1"}


@pytest.fixture
def busy() -> Iterator[tuple[User, ControllerProcess]]:
    """A control plane with both kinds of PodGroup, which audits reads too; of Volcano there is the kind alone."""
    with ControlPlane.start(Settings(nodes=3, native_gang=True, audit="all")) as control_plane:
        install(control_plane, MANIFESTS / "crd")
        volcano_crds = ensure_binaries(volcano=True).volcano_crds
        assert volcano_crds is not None
        control_plane.kubectl("apply", "--server-side", "-f", *map(str, Path(volcano_crds).glob("*podgroups.yaml")))
        controller = ControllerProcess(control_plane)
        controller.start()
        control_plane.create_namespace("busy")
        user = User(control_plane, "busy")
        try:
            yield user, controller
        finally:
            user.close()
            if controller.is_running:
                controller.kill()


def used(control_plane: ControlPlane) -> set[tuple[str, str, str]]:
    """(group, resource, verb) of everything that the controller asked for."""
    return {
        (event.api_group, f"{event.resource}/{event.subresource}" if event.subresource else event.resource, event.verb)
        for event in control_plane.audit_events()
        if event.user == USER
    }


def test_every_right_is_used(busy: tuple[User, ControllerProcess]) -> None:
    user, controller = busy
    for scheduler in SCHEDULERS:
        _live(user, f"live-{scheduler[0]}", scheduler)
    _collide(user)
    _roll_back_and_forth(user)
    _hand_over(user)
    user.wait(lambda: any("many-" in told for told in user.events("NameCollision")), "the revision's name is taken")
    assert controller.stop() == 0  # a watch is in the audit log once it has ended
    of_nodes = granted(user.control_plane, NODES_ROLE)
    unused = (granted(user.control_plane) | of_nodes) - {ONLY_FOR_ADMISSION} - used(user.control_plane)
    assert not unused


def _hand_over(user: User) -> None:
    """A budget is made, repaired and taken away, and a stranger's has the name of another."""
    budgets = user.watch("poddisruptionbudgets").by_name
    user.apply(model("moving", role(), nodeDrainPolicy="HandOver"))
    user.wait(lambda: "moving" in budgets, "the budget made")
    user.kubectl("patch", "poddisruptionbudget", "moving", "--type=merge", '--patch={"spec": {"minAvailable": 1}}')
    user.wait(lambda: budgets["moving"]["spec"]["minAvailable"] > 1, "the budget repaired")
    user.patch("moving", {"nodeDrainPolicy": "Evict"})
    user.wait(lambda: "moving" not in budgets, "the budget gone")
    user.kubectl("create", "poddisruptionbudget", "taken-p", "--min-available=0", "--selector=app=other")
    user.apply(model("taken-p", role(), nodeDrainPolicy="HandOver"))
    told = "PodDisruptionBudget taken-p is in the way"
    user.wait(lambda: any(told in event for event in user.events("NameCollision")), "the name is taken")


def gang(name: str, scheduler: str, replicas: int) -> Any:
    return model(name, role(replicas=2, workers=1), replicas=replicas, schedulerName=scheduler, **GANG)


def _live(user: User, name: str, scheduler: str) -> None:
    """Made, changed in its minimum, its children edited, and scaled to nothing."""
    user.watch("services")
    user.apply(gang(name, scheduler, replicas=1))
    pod, service = f"{name}-0-decode-0-1", f"{name}-0-decode-0-0"
    user.wait(lambda: pod in user.pods and service in user.services, "made")
    user.patch(name, {"template": {"gangSchedule": {"minRoleReplicas": {"decode": 2}}}})
    user.kubectl("label", "pod", pod, f"{DOMAIN}/role-id=wrong", "--overwrite")
    user.wait(lambda: user.pods[pod]["metadata"]["labels"][f"{DOMAIN}/role-id"] == "decode-0", "the label repaired")
    selector = {"spec": {"selector": {"someone": "else"}}}
    user.kubectl("patch", "service", service, "--type=merge", f"--patch={json.dumps(selector)}")
    user.wait(lambda: "someone" not in user.services[service]["spec"]["selector"], "the selector repaired")
    user.patch(name, {"replicas": 0})
    user.wait(lambda: not user.pods and not user.services, "gone")


def _collide(user: User) -> None:
    """Foreign objects that no cache shows are looked at when they turn out to be in the way, twice for one event."""
    for scheduler, api_version in SCHEDULERS.items():
        name = f"taken-{scheduler[0]}"
        foreign = {"apiVersion": api_version, "kind": "PodGroup", "metadata": {"name": f"{name}-2"}}
        policy = {"schedulingPolicy": {"gang": {"minCount": 1}}} if "k8s" in api_version else {"minMember": 1}
        user.kubectl("create", "-f-", input=json.dumps({**foreign, "spec": policy}))
        user.kubectl("create", "service", "clusterip", f"{name}-0-decode-0-0", "--tcp=80")
        user.kubectl("run", f"{name}-1-decode-0-0", "--image=image:1")
        for _ in range(2):
            user.apply(gang(name, scheduler, replicas=3))
            user.wait(lambda name=name: len(_taken(user, name)) == 3, "three names are taken")
            user.patch(name, {"replicas": 0})
            user.wait(lambda name=name: user.condition(name, "Available").get("status") == "True", "scaled to nothing")


def _taken(user: User, name: str) -> list[str]:
    return [told for told in user.events("NameCollision") if f"{name}-" in told]


def _roll_back_and_forth(user: User) -> None:
    """More revisions than are kept, an old one again, and one whose name somebody else bears."""
    for number in range(13):
        user.apply(model("many", role(image=f"image:{number}"), replicas=0))
        user.wait_settled("many")
    user.apply(model("many", role(image="image:9"), replicas=0))
    user.wait_settled("many")
    revision = user.status("many")["updateRevision"]
    user.kubectl("delete", "modelinfer", "many", "--cascade=foreground")
    user.wait(lambda: revision not in user.revisions, "collected")
    foreign = {"apiVersion": "apps/v1", "kind": "ControllerRevision", "metadata": {"name": revision}, "revision": 1}
    user.kubectl("create", "-f-", input=json.dumps({**foreign, "data": {}}))
    user.apply(model("many", role(image="image:9"), replicas=0))
