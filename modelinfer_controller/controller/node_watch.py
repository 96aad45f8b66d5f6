"""What the controller knows of nodes: those that leave or do not answer, and whose ModelInfers a change concerns."""

from collections.abc import Callable, Collection

from modelinfer_controller.api.core import Node
from modelinfer_controller.kube.cache.discovered_informer import DiscoveredInformer
from modelinfer_controller.kube.cache.handlers import DeletedFinalStateUnknown, last_state
from modelinfer_controller.planning.nodes import UNKNOWN_NODES, LeavingNode, Nodes, leaving_node, nodes_of


class NodeWatch:
    """A ResourceEventHandler. A heartbeat is no change, and costs nobody anything."""

    def __init__(
        self,
        discovered: DiscoveredInformer[Node],
        leaving_taints: Collection[str],
        on_changed: Callable[[str], None],
    ) -> None:
        """on_changed(node): told when a node comes, goes, leaves, is schedulable again, or is or is not ready."""
        self._discovered = discovered
        self._taints = frozenset(leaving_taints)
        self._on_changed = on_changed
        self._nodes: Nodes | None = None
        discovered.informer.add_event_handler(self)

    @property
    def nodes(self) -> Nodes:
        """The same object for as long as nothing of it changes."""
        if not self._discovered.is_served:
            problem = self._discovered.problem
            is_forbidden = self._discovered.informer.missing_permission is not None
            return Nodes(missing_permission=problem) if is_forbidden else UNKNOWN_NODES
        if self._nodes is None:
            self._nodes = nodes_of(self._discovered.informer.store, self._taints)
        return self._nodes

    def on_add(self, obj: Node, is_in_initial_list: bool) -> None:
        self._changed(obj)

    def on_update(self, old: Node, new: Node) -> None:
        if self._said_of(old) != self._said_of(new):
            self._changed(new)

    def on_delete(self, obj: Node | DeletedFinalStateUnknown[Node]) -> None:
        self._changed(last_state(obj))

    def _said_of(self, node: Node) -> tuple[LeavingNode | None, bool]:
        return leaving_node(node, self._taints), node.is_ready

    def _changed(self, node: Node) -> None:
        self._nodes = None
        self._on_changed(node.metadata.name)
