"""The embedded control plane: API server, scheduler, kubelet and controllers, composed and run together."""

import asyncio
import random
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from types import TracebackType

import yaml

from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.simulator.apiserver.api_server import ApiServer
from modelinfer_controller.simulator.apiserver.deletion import DeleteOptions
from modelinfer_controller.simulator.apiserver.kinds import (
    CUSTOM_RESOURCE_DEFINITIONS,
    NAMESPACES,
    NATIVE_POD_GROUPS,
    NODES,
    VOLCANO_POD_GROUPS,
)
from modelinfer_controller.simulator.apiserver.registry import WriteOptions
from modelinfer_controller.simulator.apiserver.transport import InProcessTransport
from modelinfer_controller.simulator.apiserver.volcano import POD_GROUP_DEFINITION
from modelinfer_controller.simulator.controllers.finalization import NamespaceController, PodGroupProtection
from modelinfer_controller.simulator.controllers.garbage_collector import GarbageCollector
from modelinfer_controller.simulator.controllers.node_lifecycle import NodeController
from modelinfer_controller.simulator.controllers.scheduler import Scheduler
from modelinfer_controller.simulator.faults.transport import Faults
from modelinfer_controller.simulator.nodes.kubelet import Kubelet, Script, annotated
from modelinfer_controller.simulator.nodes.node import NodeShape, node_body
from modelinfer_controller.simulator.objects import Object, copy_of
from modelinfer_controller.simulator.virtual_time import VirtualClock

_NAMESPACES = ("default", "kube-system", "kube-node-lease", "kube-public")


class SimulatedControlPlane:
    """A cluster in one process. Make it inside the loop that it is to run on; use it as an async context.

    Everything that happens follows from the seed and from what its clients do. nodes: how many of the default shape,
    or their shapes. volcano, native_gang: which PodGroups are served at the start. clock: the wall clock; the default
    is virtual, with the loop's time. faults: what goes wrong between the cluster's own parts and its API server.
    """

    def __init__(  # noqa: PLR0913 # what a cluster may have
        self,
        seed: int = 0,
        *,
        nodes: int | Sequence[NodeShape] = 3,
        volcano: bool = False,
        native_gang: bool = False,
        definitions: Sequence[Path | Object] = (),
        script: Script = annotated,
        clock: Clock | None = None,
        history_limit: int = 10_000,
        faults: Faults | None = None,
    ) -> None:
        self.seed = seed
        self._faults = faults
        self.clock = clock or VirtualClock(asyncio.get_running_loop())
        self.api = ApiServer(self.clock, self._random("api"), history_limit=history_limit)
        self.gc = GarbageCollector(self.api.registry)
        self._namespaces = NamespaceController(self.api.registry)
        self._protection = PodGroupProtection(self.api.registry)
        self.kubelet = Kubelet(self._part("kubelet"), self.clock, self._random("kubelet"), script=script)
        self.scheduler = Scheduler(self._part("scheduler"), self.clock, self._random("scheduler"))
        self.node_controller = NodeController(
            self._part("kube-controller-manager"), self.clock, self._random("nodes"), self.kubelet
        )
        self._node_count = 0
        self._tasks: list[asyncio.Task[None]] = []
        self._prepare(nodes, definitions, volcano=volcano, native_gang=native_gang)

    def _prepare(
        self,
        nodes: int | Sequence[NodeShape],
        definitions: Sequence[Path | Object],
        *,
        volcano: bool,
        native_gang: bool,
    ) -> None:
        for name in _NAMESPACES:
            self.add_namespace(name)
        for definition in definitions:
            self.install(definition)
        if volcano:
            self.install_volcano()
        if native_gang:
            self.enable_native_gang()
        shapes = [NodeShape(f"node-{number}") for number in range(nodes)] if isinstance(nodes, int) else nodes
        for shape in shapes:
            self.add_node(shape)

    def transport(self, user_agent: str = "") -> InProcessTransport:
        """A new client's way to the API server; the audit knows it by this name."""
        return InProcessTransport(self.api, user_agent=user_agent)

    def client(self, user_agent: str = "test") -> Client:
        return Client(self.transport(user_agent))

    def _part(self, name: str) -> Client:
        """The client of one of the cluster's own parts."""
        transport = self.transport(name)
        return Client(self._faults.wrap(transport) if self._faults is not None else transport)

    def add_namespace(self, name: str) -> None:
        self.api.registry.create(NAMESPACES, "", {"metadata": {"name": name}}, WriteOptions())

    def add_node(self, shape: NodeShape) -> None:
        body = node_body(shape, self._node_count, self.clock.now())
        self._node_count += 1
        self.api.registry.create(NODES, "", body, WriteOptions())

    def install(self, definition: Path | Object) -> None:
        """Creates a CustomResourceDefinition, or every one of a YAML file. Raises StatusError."""
        documents = [definition] if isinstance(definition, dict) else _documents(definition)
        for document in documents:
            body = {**document, "metadata": copy_of(document["metadata"])}  # the rest, which is large, nobody changes
            self.api.registry.create(CUSTOM_RESOURCE_DEFINITIONS, "", body, WriteOptions())

    def replace_definition(self, definition: Path | Object) -> None:
        """Updates CustomResourceDefinitions that are there, as `kubectl replace` does. Raises StatusError."""
        documents = [definition] if isinstance(definition, dict) else _documents(definition)
        for document in documents:
            self._replace(document)

    def _replace(self, definition: Object) -> None:
        def replaced(old: Object) -> Object:
            names = {**old["spec"]["names"], **definition["spec"]["names"]}
            return {**old, "spec": {**old["spec"], **definition["spec"], "names": names}}

        key = ("", definition["metadata"]["name"])
        self.api.registry.update(CUSTOM_RESOURCE_DEFINITIONS, key, replaced, WriteOptions())

    def install_volcano(self) -> None:
        """Serves Volcano's PodGroups from now on."""
        self.install(POD_GROUP_DEFINITION)

    def remove_volcano(self) -> None:
        """Takes Volcano's PodGroups away, and their kind with them."""
        name = f"{VOLCANO_POD_GROUPS[1]}.{VOLCANO_POD_GROUPS[0]}"
        self.api.registry.delete(CUSTOM_RESOURCE_DEFINITIONS, ("", name), DeleteOptions())

    def enable_native_gang(self) -> None:
        """Serves Kubernetes' own PodGroups from now on."""
        self.api.kinds.add(NATIVE_POD_GROUPS)

    async def __aenter__(self) -> "SimulatedControlPlane":
        parts = (self.gc, self._namespaces, self._protection, self.kubelet, self.scheduler, self.node_controller)
        for part in parts:
            self._tasks.append(asyncio.create_task(part.run(), name=f"simulated-{type(part).__name__}"))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stops every part. Raises what a part has failed with, where nothing else is being raised."""
        for task in self._tasks:
            task.cancel()
        outcomes = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        self.api.watches.end_all()
        failures = [one for one in outcomes if isinstance(one, Exception)]
        if failures and error is None:
            raise ExceptionGroup("parts of the control plane failed", failures)

    def _random(self, part: str) -> random.Random:
        """A part's own source, so that what one draws does not depend on what another one does."""
        return random.Random(f"{self.seed}-{part}")


@lru_cache(maxsize=16)
def _documents(path: Path) -> tuple[Object, ...]:
    """Remembered, and parsed by the fast loader where there is one: a definition of 9000 lines takes a while."""
    return tuple(yaml.load_all(path.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))
