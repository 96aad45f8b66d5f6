"""What is measured: ModelInfers of one role, and the bodies of everything that they become."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from modelinfer_controller.api import validation
from modelinfer_controller.api.modelinfer import API_VERSION, KIND, ModelInferSpec
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.kube.resource import CONTROLLER_REVISIONS, PODS, SERVICES, Resource
from modelinfer_controller.planning import manifests
from modelinfer_controller.planning.actions import CreatePod, CreateRevision, CreateService
from modelinfer_controller.planning.decide import decide
from modelinfer_controller.planning.desired import identity_of
from modelinfer_controller.planning.observed import Observed, Owner


def model_infer(name: str, groups: int, image: str = "inference:1") -> dict[str, Any]:
    """A ModelInfer whose groups are one Service and two pods each: an entry and a worker."""
    template = {"spec": {"containers": [{"name": "server", "image": image}]}}
    role = {"name": "decode", "entryTemplate": template, "workerReplicas": 1, "workerTemplate": template}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "metadata": {"name": name},
        "spec": {"replicas": groups, "template": {"roles": [role]}},
    }


@dataclass(frozen=True)
class Child:
    """An object to post; group is its ordinal, None of a ControllerRevision."""

    resource: Resource[Any]
    name: str
    group: int | None
    body: bytes


def children_of(stored: ModelInfer) -> Iterator[Child]:
    """All that the controller would make of it, in its order: the ControllerRevision, Services, pods."""
    spec_json = bytes(stored.spec)
    spec = validation.decode(spec_json, stored.metadata.name)
    assert isinstance(spec, ModelInferSpec), spec
    owner = Owner(stored.metadata, spec, spec_json, stored.status)
    identity = identity_of(owner)
    for action in decide(Observed(owner), datetime.now(UTC)).plan.actions:
        match action:
            case CreateRevision(revision):
                yield Child(CONTROLLER_REVISIONS, revision.name, None, manifests.revision_body(identity, revision))
            case CreateService(group, name, body):
                yield Child(SERVICES, name, group, msgspec.json.encode(body))
            case CreatePod(place, name, revision, incarnation):
                body_of_pod = manifests.pod_body(identity, revision, place, incarnation)
                yield Child(PODS, name, place.group, body_of_pod)
            case _:
                pass
