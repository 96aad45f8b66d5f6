"""The scheduler, kube-scheduler's and Volcano's in one: gives pods a node, gangs all or nothing. A client like any."""

import asyncio
import random
from collections.abc import Sequence

from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.kube.cache.factory import SharedInformerFactory
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, last_state
from modelinfer_controller.kube.client import STRATEGIC_MERGE_PATCH, Client
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kube.resource import Resource
from modelinfer_controller.kube.transport import TransportError
from modelinfer_controller.simulator.controllers.gangs import GangName, gang_name, gang_of
from modelinfer_controller.simulator.controllers.node_info import NodeInfos, amounts_of
from modelinfer_controller.simulator.controllers.plugins import Node, Unschedulable, choose, node_of
from modelinfer_controller.simulator.objects import Object, timestamp
from modelinfer_controller.simulator.resources import (
    NATIVE_POD_GROUPS,
    NODES,
    PODS,
    VOLCANO_POD_GROUPS,
    PlainObject,
)

BINDINGS = Resource("", "v1", "bindings", "Binding", KubeObject)
SCHEDULERS = frozenset({"default-scheduler", "volcano"})
_PAUSE = 0.005  # seconds from a change to the pass that it causes: changes come in swarms
_RETRY = 1.0  # seconds until a pass is repeated in which a write failed

Decision = tuple[PlainObject, Node | Unschedulable]


class Scheduler:
    """`run` serves until it is cancelled."""

    def __init__(self, client: Client, clock: Clock, rng: random.Random) -> None:
        self._client = client
        self._clock = clock
        self._informers = SharedInformerFactory(client, random=rng)
        self._pods = self._informers.informer(PODS)
        self._nodes = self._informers.informer(NODES)
        self._native = self._informers.discovered_informer(NATIVE_POD_GROUPS, on_served_changed=self._wake_up)
        self._volcano = self._informers.discovered_informer(VOLCANO_POD_GROUPS, on_served_changed=self._wake_up)
        self._infos = NodeInfos()
        self._pending: dict[str, PlainObject] = {}
        self._is_dirty = asyncio.Event()
        self._pods.add_event_handler(self)
        for resource in (self._nodes, self._native.informer, self._volcano.informer):
            resource.add_event_handler(_Wake(self._is_dirty))

    async def run(self) -> None:
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._informers.run(), name="scheduler-informers")
            tasks.create_task(self._schedule(), name="scheduler")

    # ResourceEventHandler

    def on_add(self, obj: PlainObject, is_in_initial_list: bool) -> None:
        self._follow(obj)

    def on_update(self, old: PlainObject, new: PlainObject) -> None:
        self._follow(new)

    def on_delete(self, obj: PlainObject | DeletedFinalStateUnknown[PlainObject]) -> None:
        uid = last_state(obj).metadata.uid
        self._pending.pop(uid, None)
        self._infos.remove_pod(uid)
        self._is_dirty.set()

    def _follow(self, pod: PlainObject) -> None:
        uid = pod.metadata.uid
        if pod.node_name:
            self._pending.pop(uid, None)
            if pod.is_finished:
                self._infos.remove_pod(uid)
                self._is_dirty.set()
            else:
                known = self._infos.find(uid)
                self._infos.add_pod(pod, pod.node_name, known.amounts if known is not None else None)
        elif pod.metadata.is_terminating or pod.spec.get("schedulerName") not in SCHEDULERS:
            self._pending.pop(uid, None)
        else:
            if uid not in self._pending:
                self._is_dirty.set()
            self._pending[uid] = pod

    def _wake_up(self, is_served: bool) -> None:
        self._is_dirty.set()

    async def _schedule(self) -> None:
        await self._informers.wait_for_sync()
        while True:
            await self._is_dirty.wait()
            await asyncio.sleep(_PAUSE)
            self._is_dirty.clear()
            if not await self._carry_out(self._decisions()):
                await asyncio.sleep(_RETRY)
                self._is_dirty.set()

    def _decisions(self) -> list[Decision]:
        """One for each pending pod, in the order of their priority and age; what is placed is counted as placed."""
        nodes = [node_of(node) for node in sorted(self._nodes.store.list(), key=lambda node: node.metadata.name)]
        decisions: list[Decision] = []
        for gang, pods in self._units().items():
            if isinstance(gang, GangName):
                decisions += self._place_gang(gang, pods, nodes)
            else:
                decisions += [self._place(pod, nodes) for pod in pods]
        return decisions

    def _units(self) -> dict[GangName | str, list[PlainObject]]:
        """Pods to be placed together, by their gang's name, or by the UID of a pod without one."""
        units: dict[GangName | str, list[PlainObject]] = {}
        unplaced = [pod for uid, pod in self._pending.items() if self._infos.find(uid) is None]
        for pod in sorted(unplaced, key=_urgency):
            name = gang_name(pod, is_native_served=self._native.is_served)
            units.setdefault(name or pod.metadata.uid, []).append(pod)
        return units

    def _place(self, pod: PlainObject, nodes: Sequence[Node]) -> Decision:
        amounts = amounts_of(pod)
        choice = choose(pod, amounts, nodes, self._infos)
        if isinstance(choice, Node):
            self._infos.add_pod(pod, choice.name, amounts)
        return pod, choice

    def _place_gang(self, name: GangName, pods: list[PlainObject], nodes: Sequence[Node]) -> list[Decision]:
        pod_group = (self._native if name.is_native else self._volcano).lister.get(name.group)
        if pod_group is None:
            refusal = Unschedulable(f'waiting for pods\' pod group "{name.group.name}" to appear in scheduling queue')
            return [(pod, refusal) for pod in pods]
        gang, bound = gang_of(pod_group, is_native=name.is_native), self._bound_members(name)
        if not gang.is_complete([*bound, *pods]):
            count = len(bound) + len(pods)
            refusal = Unschedulable(f"pod group is not ready, {count} of at least {gang.min_count} pods exist")
            return [(pod, refusal) for pod in pods]
        decisions = [self._place(pod, nodes) for pod in pods]
        placed = [pod for pod, choice in decisions if isinstance(choice, Node)]
        if gang.is_complete([*bound, *placed]):
            return decisions
        for pod in placed:
            self._infos.remove_pod(pod.metadata.uid)
        return _all_refused(decisions, gang.min_count)

    def _bound_members(self, name: GangName) -> list[PlainObject]:
        return [
            pod
            for pod in self._pods.store.list(name.group.namespace)
            if pod.node_name
            and not pod.metadata.is_terminating
            and not pod.is_finished
            and gang_name(pod, is_native_served=self._native.is_served) == name
        ]

    async def _carry_out(self, decisions: list[Decision]) -> bool:
        """Whether every write came through; what did not is decided anew."""
        is_done = True
        for pod, choice in decisions:
            try:
                match choice:
                    case Node():
                        await self._bind(pod, choice)
                    case Unschedulable():
                        await self._explain(pod, choice)
            except (ApiError, TransportError):
                current = self._pods.store.get(pod.name)
                if current is None or not current.node_name:
                    self._infos.remove_pod(pod.metadata.uid)
                is_done = False
        return is_done

    async def _bind(self, pod: PlainObject, node: Node) -> None:
        metadata = {"name": pod.name.name, "namespace": pod.name.namespace, "uid": pod.metadata.uid}
        target = {"apiVersion": "v1", "kind": "Node", "name": node.name}
        body = {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}
        await self._client.create(BINDINGS, pod.name.namespace, body)

    async def _explain(self, pod: PlainObject, refusal: Unschedulable) -> None:
        wanted: Object = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable"}
        wanted["message"] = refusal.message
        known = (self._pending.get(pod.metadata.uid) or pod).condition("PodScheduled") or {}
        if {name: known.get(name) for name in wanted} == wanted:
            return
        condition = {"lastTransitionTime": timestamp(self._clock.now()), **wanted}
        body = {"metadata": {"uid": pod.metadata.uid}, "status": {"conditions": [condition]}}
        await self._client.patch(PODS, *pod.name, body, content_type=STRATEGIC_MERGE_PATCH, subresource="status")


class _Wake:
    """A handler to which every change that frees or adds something is the same."""

    def __init__(self, event: asyncio.Event) -> None:
        self._event = event

    def on_add(self, obj: PlainObject, is_in_initial_list: bool) -> None:
        self._event.set()

    def on_update(self, old: PlainObject, new: PlainObject) -> None:
        self._event.set()

    def on_delete(self, obj: PlainObject | DeletedFinalStateUnknown[PlainObject]) -> None:
        self._event.set()


def _urgency(pod: PlainObject) -> tuple[int, str, ObjectName]:
    created = pod.metadata.creation_timestamp
    return (-int(pod.spec.get("priority") or 0), created.isoformat() if created else "", pod.name)


def _all_refused(decisions: list[Decision], min_count: int) -> list[Decision]:
    """None of an incomplete gang is placed, and each says what kept the gang from being complete."""
    causes = [choice.message for _, choice in decisions if isinstance(choice, Unschedulable)]
    lacking = len(causes)
    text = f"pod group is not ready, {len(decisions)} Pending, {min_count} minAvailable; {lacking} Unschedulable"
    refusal = Unschedulable(f"{text}: {causes[0]}" if causes else text)
    return [(pod, refusal) for pod, _ in decisions]
