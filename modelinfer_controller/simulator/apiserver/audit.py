"""Who asked the server for what: what a test counts when nothing, or not too much, is to be written."""

from collections.abc import Callable
from dataclasses import dataclass, field

READS = frozenset({"get", "list", "watch"})


@dataclass(frozen=True, slots=True)
class Call:
    """One request. verb is Kubernetes' (get, list, watch, create, update, patch, delete, deletecollection)."""

    user_agent: str
    verb: str
    resource: str
    subresource: str
    namespace: str
    name: str
    status: int

    @property
    def is_write(self) -> bool:
        return self.verb not in READS


@dataclass(slots=True)
class Audit:
    """All calls since the server started or `clear` was called, oldest first."""

    calls: list[Call] = field(default_factory=list)
    is_kept: bool = True

    def record(self, call: Call) -> None:
        if self.is_kept:
            self.calls.append(call)

    def clear(self) -> None:
        self.calls.clear()

    def writes(self, user_agent: str, accept: Callable[[Call], bool] = lambda call: True) -> list[Call]:
        """The writes of one client, whether they succeeded or not."""
        return [call for call in self.calls if call.is_write and call.user_agent == user_agent and accept(call)]
