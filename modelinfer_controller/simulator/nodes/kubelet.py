"""The kubelet of every simulated node: runs the pods bound to it, by their behaviour. A client like any other.

Status patches and deletions carry the pod's UID, so it can serve a real API server's nodes too.
"""

import asyncio
import random
from collections.abc import Callable
from datetime import datetime, timedelta

from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.cache.factory import SharedInformerFactory
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, last_state
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.controller import Controller, Result
from modelinfer_controller.kube.errors import Conflict, Invalid, NotFound
from modelinfer_controller.kube.workqueue import WorkQueue
from modelinfer_controller.kube.workqueue.rate_limiter import ItemExponentialBackoff
from modelinfer_controller.simulator.apiserver.strategies import Addresses
from modelinfer_controller.simulator.nodes.pod_runtime import PodRuntime
from modelinfer_controller.simulator.nodes.stages import Behaviour, from_annotations
from modelinfer_controller.simulator.objects import Object
from modelinfer_controller.simulator.resources import PODS, PlainObject

_RETRY = timedelta(seconds=1)

Script = Callable[[PlainObject], Behaviour]


def annotated(pod: PlainObject) -> Behaviour:
    """The default script: what the pod's own annotations ask for."""
    return from_annotations(pod.metadata.annotations)


class Kubelet:
    """All kubelets in one: `run` serves until it is cancelled.

    script says how each pod behaves, and may be replaced at any time; `behave` overrides it for one living pod.
    on_liveness_changed is called with each node that is lost or back: it takes the place of heartbeats.
    """

    def __init__(
        self, client: Client, clock: Clock, rng: random.Random, *, script: Script = annotated, workers: int = 8
    ) -> None:
        self.script = script
        self.on_liveness_changed: Callable[[str], None] = lambda node: None
        self._client = client
        self._clock = clock
        self._informers = SharedInformerFactory(client, random=rng)
        self._pods = self._informers.informer(PODS)
        self._queue: WorkQueue[ObjectName] = WorkQueue(ItemExponentialBackoff(base=0.05, cap=10.0))
        self._controller = Controller("kubelet", self._queue, self._sync, workers=workers)
        self._runtime_by_uid: dict[str, PodRuntime] = {}
        self._override_by_uid: dict[str, Behaviour] = {}
        self._written_by_uid: dict[str, Object] = {}
        self._frozen_since_by_node: dict[str, datetime] = {}
        self._addresses = Addresses("10.244")
        self._pods.add_event_handler(self)

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._informers.run(), name="kubelet-informers")
            tasks.create_task(self._controller.run(), name="kubelet-workers")

    def behave(self, name: ObjectName, behaviour: Behaviour) -> None:
        """From now on this pod, not a later one of its name, behaves so. Raises KeyError where there is none."""
        pod = self._pods.store.get(name)
        if pod is None:
            raise KeyError(name)
        self._override_by_uid[pod.metadata.uid] = behaviour
        self._queue.add(name)

    def exit_container(self, name: ObjectName, exit_code: int = 1) -> None:
        """The pod's first running container ends now. Raises KeyError where the kubelet does not run such a pod."""
        pod = self._pods.store.get(name)
        runtime = self._runtime_by_uid.get(pod.metadata.uid) if pod is not None else None
        if runtime is None:
            raise KeyError(name)
        runtime.exit_container(self._clock.now(), exit_code)
        self._queue.add(name)

    def freeze(self, node: str) -> None:
        """The node is lost: its kubelet neither does nor says anything, until it is thawed."""
        self._frozen_since_by_node.setdefault(node, self._clock.now())
        self.on_liveness_changed(node)

    def thaw(self, node: str) -> None:
        """The node is back; its pods go on from where they are."""
        self._frozen_since_by_node.pop(node, None)
        for pod in self._pods.store.list():
            if pod.node_name == node:
                self._written_by_uid.pop(pod.metadata.uid, None)  # others wrote to it meanwhile
                self._queue.add(pod.name)
        self.on_liveness_changed(node)

    def frozen_since(self, node: str) -> datetime | None:
        """When the node's last sign of life was, or None where it is alive."""
        return self._frozen_since_by_node.get(node)

    # ResourceEventHandler

    def on_add(self, obj: PlainObject, is_in_initial_list: bool) -> None:
        if obj.node_name:
            self._queue.add(obj.name)

    def on_update(self, old: PlainObject, new: PlainObject) -> None:
        if new.node_name:
            self._queue.add(new.name)

    def on_delete(self, obj: PlainObject | DeletedFinalStateUnknown[PlainObject]) -> None:
        uid = last_state(obj).metadata.uid
        for kept in (self._runtime_by_uid, self._override_by_uid, self._written_by_uid):
            kept.pop(uid, None)

    async def _sync(self, name: ObjectName) -> Result:
        pod = self._pods.store.get(name)
        if pod is None or not pod.node_name or pod.node_name in self._frozen_since_by_node:
            return Result()
        try:
            return await (self._terminate(pod) if pod.metadata.is_terminating else self._advance(pod))
        except NotFound:
            return Result()  # the watch will tell
        except (Conflict, Invalid):
            return Result(requeue_after=_RETRY)  # another pod has the name, as the watch may still have to show

    async def _advance(self, pod: PlainObject) -> Result:
        if pod.is_finished and pod.metadata.uid not in self._runtime_by_uid:
            return Result()
        now = self._clock.now()
        runtime = self._runtime(pod, now)
        due = runtime.advance(now)
        await self._write_status(pod, runtime)
        return Result(requeue_after=None if due is None else max(due - self._clock.now(), due - due))

    async def _terminate(self, pod: PlainObject) -> Result:
        now = self._clock.now()
        runtime = self._runtime(pod, now)
        deadline = pod.metadata.deletion_timestamp or now
        due = runtime.terminate(now, deadline)
        if due > now:
            return Result(requeue_after=due - now)
        runtime.stop(now)
        await self._write_status(pod, runtime)
        await self._client.delete(PODS, pod.name.namespace, pod.name.name, uid=pod.metadata.uid, grace_period_seconds=0)
        return Result()

    def _runtime(self, pod: PlainObject, now: datetime) -> PodRuntime:
        uid = pod.metadata.uid
        behaviour = self._override_by_uid.get(uid) or self.script(pod)
        runtime = self._runtime_by_uid.get(uid)
        if runtime is None:
            host = f"192.168.0.{sum(pod.node_name.encode()) % 256}"
            runtime = PodRuntime(pod, behaviour, now, self._addresses.next(), host)
            self._runtime_by_uid[uid] = runtime
        runtime.behaviour = behaviour
        return runtime

    async def _write_status(self, pod: PlainObject, runtime: PodRuntime) -> None:
        """Patches the status where it differs from both what is cached and what was written last."""
        status, uid = runtime.status(pod.status), pod.metadata.uid
        if status == pod.status:
            self._written_by_uid.pop(uid, None)
            return
        if status == self._written_by_uid.get(uid):
            return
        body = {"metadata": {"uid": uid}, "status": status}
        await self._client.patch(PODS, pod.name.namespace, pod.name.name, body, subresource="status")
        self._written_by_uid[uid] = status
