"""Items that wait, in lines of their own for each flow, so that many of one flow are not all before one of another."""

from collections import OrderedDict, deque
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)


class FairQueue(Generic[K]):
    """First in, first out for each flow; flows take turns. Invariant: no line in `_lines` is empty."""

    def __init__(self, flow_of: Callable[[K], Hashable]) -> None:
        self._flow_of = flow_of
        self._lines: OrderedDict[Hashable, deque[K]] = OrderedDict()  # that of the flow whose turn is next in front
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, item: K) -> None:
        self._lines.setdefault(self._flow_of(item), deque()).append(item)
        self._length += 1

    def pop(self, may_run: Callable[[Hashable], bool]) -> K | None:
        """The next item of the first flow that may run, whose turn comes again after all others; None if none may."""
        for flow in self._lines:
            if may_run(flow):
                return self._pop(flow)
        return None

    def _pop(self, flow: Hashable) -> K:
        line = self._lines[flow]
        item = line.popleft()
        self._length -= 1
        if line:
            self._lines.move_to_end(flow)
        else:
            del self._lines[flow]
        return item
