"""The node lifecycle controller: gives up on lost nodes and cleans up after removed ones."""

import asyncio
import random
from datetime import datetime, timedelta

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.cache.factory import SharedInformerFactory
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, last_state
from modelinfer_controller.kube.client import STRATEGIC_MERGE_PATCH, Client
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.controller import Controller, Result
from modelinfer_controller.kube.errors import NotFound
from modelinfer_controller.kube.workqueue import WorkQueue
from modelinfer_controller.simulator.nodes.kubelet import Kubelet
from modelinfer_controller.simulator.nodes.node import ready_condition
from modelinfer_controller.simulator.objects import Object, timestamp
from modelinfer_controller.simulator.resources import NODES, PODS, PlainObject

UNREACHABLE = "node.kubernetes.io/unreachable"
OUT_OF_SERVICE = "node.kubernetes.io/out-of-service"
GRACE = timedelta(seconds=50)  # without a sign of life, until a node is NotReady
ORPHAN_QUARANTINE = timedelta(seconds=40)  # until the pods of a removed node are removed too


def _lost_condition(now: datetime) -> Object:
    reason = {"reason": "NodeStatusUnknown", "message": "Kubelet stopped posting node status."}
    return {"type": "Ready", "status": "Unknown", "lastTransitionTime": timestamp(now), **reason}


class NodeController:
    """The node lifecycle controller and the pod garbage collector of kube-controller-manager, in one.

    A node that is silent for GRACE is NotReady and tainted, its pods are not Ready; after their toleration they are
    deleted, and stay Terminating until the node is back, is said to be out of service, or its object is removed.
    source: pkg/controller/podgc, gcTerminating
    """

    def __init__(self, client: Client, clock: Clock, rng: random.Random, kubelet: Kubelet) -> None:
        self._client = client
        self._clock = clock
        self._kubelet = kubelet
        self._informers = SharedInformerFactory(client, random=rng)
        self._nodes = self._informers.informer(NODES)
        self._pods = self._informers.informer(PODS, indexers={"node": lambda pod: [pod.node_name]})
        self._queue: WorkQueue[str] = WorkQueue()
        self._controller = Controller("node-lifecycle", self._queue, self._sync)
        self._nodes.add_event_handler(self)
        kubelet.on_liveness_changed = self._queue.add

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._informers.run(), name="node-lifecycle-informers")
            tasks.create_task(self._controller.run(), name="node-lifecycle-workers")

    # ResourceEventHandler

    def on_add(self, obj: PlainObject, is_in_initial_list: bool) -> None:
        """A new node is alive."""

    def on_update(self, old: PlainObject, new: PlainObject) -> None:
        """Nodes change by our own writes; a user may say that one is out of service."""
        if _is_out_of_service(new) and not _is_out_of_service(old):
            self._queue.add(new.metadata.name)

    def on_delete(self, obj: PlainObject | DeletedFinalStateUnknown[PlainObject]) -> None:
        name = last_state(obj).metadata.name
        self._queue.add_after(name, ORPHAN_QUARANTINE.total_seconds())

    async def _sync(self, name: str) -> Result:
        node = self._nodes.store.get(_cluster_scoped(name))
        if node is None:
            await self._remove_orphans(name)
            return Result()
        silent_since = self._kubelet.frozen_since(name)
        if silent_since is None:
            await self._recover(node)
            return Result()
        lost_at = silent_since + GRACE
        now = self._clock.now()
        if now < lost_at:
            return Result(requeue_after=lost_at - now)
        await self._give_up(node)
        if _is_out_of_service(node):
            await self._remove_orphans(name)
            return Result()
        return await self._evict(name, lost_at)

    async def _recover(self, node: PlainObject) -> None:
        if (node.condition("Ready") or {}).get("status") == "True":
            return
        await self._write(node, ready_condition(self._clock.now()), [])

    async def _give_up(self, node: PlainObject) -> None:
        if (node.condition("Ready") or {}).get("status") == "True":
            taints = [{"key": UNREACHABLE, "effect": effect} for effect in ("NoSchedule", "NoExecute")]
            now = self._clock.now()
            await self._write(node, _lost_condition(now), [{**one, "timeAdded": timestamp(now)} for one in taints])
        for pod in self._pods.store.by_index("node", node.metadata.name):
            if (pod.condition("Ready") or {}).get("status") == "True":
                await self._mark_unready(pod)

    async def _write(self, node: PlainObject, condition: Object, taints: list[Object]) -> None:
        name = node.metadata.name
        others = [one for one in node.spec.get("taints") or [] if one["key"] != UNREACHABLE]
        await self._client.patch(NODES, None, name, {"spec": {"taints": [*others, *taints]}})
        status = {"status": {"conditions": [condition]}}
        await self._client.patch(NODES, None, name, status, content_type=STRATEGIC_MERGE_PATCH, subresource="status")

    async def _mark_unready(self, pod: PlainObject) -> None:
        # No reason: source: MarkPodsNotReady, pkg/controller/util/node
        condition = {"type": "Ready", "status": "False", "lastTransitionTime": timestamp(self._clock.now())}
        body = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}
        try:
            await self._client.patch(PODS, *pod.name, body, content_type=STRATEGIC_MERGE_PATCH, subresource="status")
        except NotFound:
            return

    async def _evict(self, node: str, lost_at: datetime) -> Result:
        """Deletes the pods whose toleration has run out; comes back for the others."""
        now, due = self._clock.now(), []
        for pod in self._pods.store.by_index("node", node):
            deadline = _eviction_time(pod, lost_at)
            if deadline is None or pod.metadata.is_terminating:
                continue
            if deadline <= now:
                await self._delete(pod, None)
            else:
                due.append(deadline)
        return Result(requeue_after=min(due) - now if due else None)

    async def _remove_orphans(self, node: str) -> None:
        for pod in self._pods.store.by_index("node", node):
            await self._delete(pod, 0)

    async def _delete(self, pod: PlainObject, grace: int | None) -> None:
        try:
            await self._client.delete(PODS, *pod.name, uid=pod.metadata.uid, grace_period_seconds=grace)
        except NotFound:
            return


def _is_out_of_service(node: PlainObject) -> bool:
    return any(one["key"] == OUT_OF_SERVICE for one in node.spec.get("taints") or [])


def _cluster_scoped(name: str) -> ObjectName:
    return ObjectName("", name)


def _eviction_time(pod: PlainObject, lost_at: datetime) -> datetime | None:
    """When the pod is to be evicted from a node lost at that time; None if never."""
    for toleration in pod.spec.get("tolerations") or []:
        if toleration.get("key", UNREACHABLE) == UNREACHABLE and toleration.get("effect", "NoExecute") == "NoExecute":
            seconds = toleration.get("tolerationSeconds")
            return None if seconds is None else lost_at + timedelta(seconds=seconds)
    return lost_at
