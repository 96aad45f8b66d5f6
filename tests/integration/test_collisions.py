"""A name that somebody else bears: theirs is left alone, the user is told, and it goes on when the name is free."""

from __future__ import annotations

import json
from typing import Any

from models import DOMAIN, model, pod, role
from user import User
from watched import Object


def foreign(kind: str, name: str, /, **labels: str) -> dict[str, Any]:
    keys = {f"{DOMAIN}/{key}": value for key, value in labels.items()}
    spec = pod()["spec"] if kind == "Pod" else {"ports": [{"port": 80}]}
    return {"apiVersion": "v1", "kind": kind, "metadata": {"name": name, "labels": keys}, "spec": spec}


def _theirs(user: User) -> list[tuple[str, str, Object]]:
    """What others have of the names, with its kind."""
    pods = [("Pod", name, child) for name, child in user.pods.items()]
    children = [*pods, *(("Service", name, child) for name, child in user.services.items())]
    return [one for one in children if "ownerReferences" not in one[2]["metadata"]]


def _marks(child: Object) -> tuple[Any, ...]:
    metadata = child["metadata"]
    return metadata["uid"], metadata.get("labels"), metadata.get("annotations"), child["spec"].get("selector")


def test_foreign_children_are_told_of_left_alone_and_waited_for(user: User) -> None:
    others = [
        foreign("Pod", "plain-1-decode-0-0"),
        foreign("Pod", "labelled-1-decode-0-0", name="labelled"),
        foreign("Service", "service-1-decode-0-0"),
    ]
    for other in others:
        user.kubectl("create", "-f-", input=json.dumps(other))
    user.wait(lambda: len(user.pods) == 2 and len(user.services) == 1, "what others have")
    before = [(kind, name, _marks(child)) for kind, name, child in _theirs(user)]
    names = ("plain", "labelled", "service")
    for name in names:
        user.apply(model(name, role(workers=1), replicas=2))

    for name in names:
        taken = f"{name}-1-decode-0-0"
        told = lambda name=name: user.condition(name, "Available").get("reason") == "NameCollision"  # noqa: E731
        user.wait(told, f"{name} says so in a condition")
        assert taken in user.condition(name, "Available")["message"]
        said = lambda taken=taken: any(taken in message for message in user.events("NameCollision"))  # noqa: E731
        user.wait(said, f"{name} says so in an event")
        others_run = lambda name=name: user.status(name)["availableReplicas"] == 1  # noqa: E731
        user.wait(others_run, f"the other group of {name} is available")
    assert [(kind, name, _marks(child)) for kind, name, child in _theirs(user)] == before

    user.delete_pods("plain-1-decode-0-0", "labelled-1-decode-0-0")
    user.kubectl("delete", "service", "service-1-decode-0-0")
    user.wait_settled(*names)
    for name in names:
        assert user.status(name)["availableReplicas"] == 2


def test_model_infers_whose_names_overlap_do_not_take_each_others_pods(user: User) -> None:
    """Both `a` with group 1 and `a-1` have names that begin with a-1; neither counts nor deletes the other's."""
    user.apply(model("a", role("b-0", replicas=2), replicas=2))
    user.apply(model("a-1", role("b", replicas=1), replicas=2))
    user.wait_settled("a", "a-1")
    counts = {name: user.status(name)["replicas"] for name in ("a", "a-1")}
    assert counts == {"a": 2, "a-1": 2}
    others = {
        name: uid for name, uid in user.uids.items() if user.pods[name]["metadata"]["labels"][f"{DOMAIN}/name"] == "a"
    }
    user.kubectl("delete", "modelinfer", "a-1", "--wait=false")
    user.wait(lambda: user.uids == others, "only the pods of a are left")
