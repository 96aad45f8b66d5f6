"""Worlds to draw: ModelInfers as the cluster would show them, made without one, at a fixed time."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import (
    Condition,
    ContainerState,
    ContainerStateTerminated,
    ContainerStateWaiting,
    ContainerStatus,
    ControllerRevision,
    Node,
    NodeSpec,
    ObjectMeta,
    Pod,
    PodDisruptionBudget,
    PodSpec,
    PodStatus,
    Service,
)
from modelinfer_controller.api.status import ModelInfer, ModelInferStatus
from modelinfer_controller.kubectl.model.snapshot import Listed, Snapshot, snapshot_of
from modelinfer_controller.planning import manifests
from modelinfer_controller.planning.actions import (
    CreatePod,
    CreateRevision,
    CreateService,
    DeletePod,
    DeleteService,
    PatchPodMetadata,
)
from modelinfer_controller.planning.desired import identity_of
from modelinfer_controller.planning.status import status_of

Changes = Mapping[str, str | None]
NOW = datetime(2026, 3, 1, 3, 15, tzinfo=UTC)
ZONE = "topology.kubernetes.io/zone"
NODES = {
    f"gpu-{n}": Node(metadata=ObjectMeta(name=f"gpu-{n}", labels={ZONE: f"zone-{'abc'[n % 3]}"})) for n in range(6)
}


def role(name: str, replicas: int = 1, workers: int = 0, image: str = "vllm:v1") -> dict[str, Any]:
    template = {"spec": {"containers": [{"name": "main", "image": image}]}}
    made = {"name": name, "replicas": replicas, "workerReplicas": workers, "entryTemplate": template}
    return {**made, "workerTemplate": template} if workers else made


def spec(replicas: int, *roles: dict[str, Any], **rolling: Any) -> dict[str, Any]:
    strategy = {"rollingUpdateConfiguration": {"maxUnavailable": 1, "maxSurge": 0, "partition": 0, **rolling}}
    return {"replicas": replicas, "rolloutStrategy": strategy, "template": {"roles": list(roles)}}


class Cluster:
    """One ModelInfer and its children. The controller acts when `act` is called; nothing else moves by itself."""

    def __init__(self, spec: dict[str, Any], name: str = "qwen") -> None:
        self.now = NOW - timedelta(days=2)
        meta = ObjectMeta(name=name, namespace="models", uid="uid-1", generation=1, resource_version="7")
        self.stored = ModelInfer(metadata=meta, spec=_raw(spec))
        self.pods: dict[str, Pod] = {}
        self.services: dict[str, Service] = {}
        self.revisions: dict[str, ControllerRevision] = {}
        self.nodes = dict(NODES)
        self.budgets: Sequence[PodDisruptionBudget] | None = None  # they may not be read
        self._made = 0

    def snapshot(self) -> Snapshot:
        children = (tuple(each.values()) for each in (self.pods, self.services, self.revisions))
        listed = Listed(*children, {}, budgets=self.budgets)
        return snapshot_of(self.stored, listed, self.nodes, self.now)

    def change(self, spec: dict[str, Any], **annotations: str) -> None:
        meta = self.stored.metadata
        meta = msgspec.structs.replace(
            meta, generation=meta.generation + 1, annotations={**meta.annotations, **annotations}
        )
        self.stored = msgspec.structs.replace(self.stored, metadata=meta, spec=_raw(spec))

    def act(self) -> None:
        """One pass of the controller; pods that it deletes are gone."""
        found = self.snapshot().decision
        identity = identity_of(found.owner)
        for action in found.plan.actions:
            match action:
                case CreateRevision(revision):
                    self.revisions[revision.name] = self._born(
                        manifests.revision_body(identity, revision), ControllerRevision
                    )
                case CreateService(_, name, body):
                    self.services[name] = self._born(body, Service)
                case CreatePod(identity_, name, revision, incarnation, serving):
                    body = manifests.pod_body(identity, revision, identity_, incarnation, is_serving=serving)
                    self.pods[name] = self._born(body, Pod)
                case PatchPodMetadata(_, name, _, labels, annotations) if well_known.DRAIN_DEADLINE in annotations:
                    self._relabel(name, labels, annotations)
                case DeletePod(_, name):
                    del self.pods[name]
                case DeleteService(_, name):
                    del self.services[name]
        self.note()

    def note(self, status: ModelInferStatus | None = None) -> None:
        found = self.snapshot().decision
        self.stored = msgspec.structs.replace(self.stored, status=status or status_of(found, {}))

    def start(self, which: Callable[[str], bool] = lambda name: True, seconds: float = 90) -> None:
        """Pods that were made are ready so much later."""
        self.now += timedelta(seconds=seconds)
        for at, (name, pod) in enumerate(sorted(self.pods.items())):
            if which(name) and not pod.is_ready:
                ready = Condition(type="Ready", status="True", last_transition_time=self.now)
                self._set(name, PodStatus(phase="Running", conditions=(ready,)), f"gpu-{at % len(NODES)}")
        self.note()

    def settle(self) -> None:
        for _ in range(50):
            before = (dict(self.pods), self.stored.status)
            self.act()
            self.start()
            if (dict(self.pods), self.stored.status) == before:
                return
        raise AssertionError("does not settle")

    def fail_to_pull(self, name: str) -> None:
        message = 'Back-off pulling image "vllm:v2": manifest for vllm:v2 not found'
        waiting = ContainerState(waiting=ContainerStateWaiting(reason="ImagePullBackOff", message=message))
        self._set(
            name, PodStatus(phase="Pending", container_statuses=(ContainerStatus(name="main", state=waiting),)), "gpu-2"
        )

    def restart(self, name: str, count: int, exit_code: int = 137, reason: str = "OOMKilled") -> None:
        """Its container crashed that often, and waits."""
        ended = ContainerState(
            terminated=ContainerStateTerminated(exit_code=exit_code, reason=reason, finished_at=self.now)
        )
        waiting = ContainerState(
            waiting=ContainerStateWaiting(reason="CrashLoopBackOff", message="back-off 10s restarting failed container")
        )
        status = ContainerStatus(name="main", restart_count=count, state=waiting, last_state=ended)
        ready = Condition(type="Ready", status="False", last_transition_time=self.now)
        self._set(name, PodStatus(phase="Running", conditions=(ready,), container_statuses=(status,)), "gpu-3")

    def leave_unscheduled(self, name: str, message: str) -> None:
        scheduled = Condition(type="PodScheduled", status="False", reason="Unschedulable", message=message)
        self._set(name, PodStatus(phase="Pending", conditions=(scheduled,)), "")

    def cordon(self, *names: str) -> None:
        for name in names:
            self.nodes[name] = msgspec.structs.replace(self.nodes[name], spec=NodeSpec(unschedulable=True))

    def end(self, name: str, *finalizers: str) -> None:
        pod = self.pods[name]
        meta = msgspec.structs.replace(pod.metadata, deletion_timestamp=self.now, finalizers=finalizers)
        self.pods[name] = msgspec.structs.replace(pod, metadata=meta)

    def delete(self, *finalizers: str) -> None:
        """The ModelInfer is being deleted, and kept by its finalizers."""
        meta = msgspec.structs.replace(self.stored.metadata, deletion_timestamp=self.now, finalizers=finalizers)
        self.stored = msgspec.structs.replace(self.stored, metadata=meta)

    def take_name(self, name: str) -> None:
        """A pod of somebody else, with our label."""
        meta = ObjectMeta(
            name=name, namespace="models", uid="other", labels={well_known.NAME: self.stored.metadata.name}
        )
        self.pods[name] = Pod(metadata=meta)

    def _relabel(self, name: str, labels: Changes, annotations: Changes) -> None:
        meta = self.pods[name].metadata
        meta = msgspec.structs.replace(
            meta, labels=_changed(meta.labels, labels), annotations=_changed(meta.annotations, annotations)
        )
        self.pods[name] = msgspec.structs.replace(self.pods[name], metadata=meta)

    def _set(self, name: str, status: PodStatus, node: str) -> None:
        self.pods[name] = msgspec.structs.replace(self.pods[name], status=status, spec=PodSpec(node_name=node))

    def _born(self, body: Any, kind: Any) -> Any:
        self._made += 1
        made = msgspec.json.decode(body if isinstance(body, bytes) else msgspec.json.encode(body), type=kind)
        meta = msgspec.structs.replace(made.metadata, uid=f"u{self._made}", creation_timestamp=self.now)
        return msgspec.structs.replace(made, metadata=meta)


def _changed(values: Mapping[str, str], changes: Changes) -> dict[str, str]:
    return {key: value for key, value in {**values, **changes}.items() if value is not None}


def _raw(spec: dict[str, Any]) -> msgspec.Raw:
    return msgspec.Raw(json.dumps(spec).encode())
