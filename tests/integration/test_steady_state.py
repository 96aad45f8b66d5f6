"""Observed = desired means no write at all, as counted by the API server's audit log."""

from __future__ import annotations

import json

import pytest
from controller_process import ControllerProcess
from models import DOMAIN, model, pod, role, update
from user import User


@pytest.fixture
def settled(user: User) -> User:
    """Models with whatever tempts a controller to write: templates with labels of ours, quantities, defaults, surge."""
    entry = pod(init=True)
    entry["metadata"] = {"labels": {f"{DOMAIN}/entry": "no", f"{DOMAIN}/name": "no", "team": "blue"}}
    entry["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "2000m", "memory": "1.5Gi"}}
    templates = {"entryTemplate": entry, "workerTemplate": entry}
    user.apply(model("plain", role("Prefill", replicas=2, workers=1) | templates, role("decode"), replicas=2))
    user.apply(model("surging", replicas=2, recoveryPolicy="InferGroupRecreate", **update(maxSurge="50%", partition=1)))
    user.apply(model("empty", replicas=0, recoveryPolicy="None"))
    spread = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "ScheduleAnyway"}
    user.apply(model("spread", role(workers=1), replicas=3, topologySpreadConstraints=[spread]))
    user.wait_settled("plain", "surging", "empty", "spread")
    return user


def writes(user: User, controller: ControllerProcess, since: int) -> list[str]:
    """What the controller wrote in the namespace, but for the model that only marks the time."""
    found = [event for event in controller.writes_since(since) if event.namespace == user.namespace]
    return [
        f"{one.verb} {one.resource}/{one.subresource} {one.name}" for one in found if not one.name.startswith("last")
    ]


def mark_the_time(user: User, name: str) -> None:
    """Returns when the controller has done everything that it was told of before."""
    user.apply(model(name))
    user.wait_settled(name)


def test_nothing_is_written_when_nothing_is_to_be_done(settled: User, controller: ControllerProcess) -> None:
    mark_the_time(settled, "last-0")
    since = settled.control_plane.audit_position()
    for name in ("plain", "surging", "empty", "spread"):
        settled.kubectl("annotate", "modelinfer", name, "look=again")
        settled.kubectl("label", "modelinfer", name, "look=again")
    settled.kubectl("annotate", "pods", "--all", "look=again")
    mark_the_time(settled, "last-1")
    assert writes(settled, controller, since) == []


def test_a_restart_writes_nothing(settled: User, controller: ControllerProcess) -> None:
    mark_the_time(settled, "last-0")
    controller.stop()
    since = settled.control_plane.audit_position()
    controller.start()
    mark_the_time(settled, "last-1")
    assert writes(settled, controller, since) == []


def test_creating_writes_each_object_once_and_the_status_a_few_times(user: User, controller: ControllerProcess) -> None:
    since = user.control_plane.audit_position()
    user.apply(model("mi", role(workers=1), replicas=3))
    user.wait_settled("mi")
    mark_the_time(user, "last-0")
    counts: dict[str, int] = {}
    for write in writes(user, controller, since):
        verb, resource, _ = write.split(" ")
        counts[f"{verb} {resource}"] = counts.get(f"{verb} {resource}", 0) + 1
    statuses = counts.pop("patch modelinfers/status")
    counts.pop("create events/", None)
    assert counts == {"create controllerrevisions/": 1, "create services/": 3, "create pods/": 6}
    assert statuses <= 20, json.dumps(counts)
