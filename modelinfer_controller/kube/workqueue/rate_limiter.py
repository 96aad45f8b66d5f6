"""How long a failing item waits, by its number of failures in a row."""

from collections.abc import Hashable
from typing import Generic, Protocol, TypeVar

from modelinfer_controller.kube.backoff import exponential

K = TypeVar("K", bound=Hashable)
K_contra = TypeVar("K_contra", bound=Hashable, contravariant=True)


class RateLimiter(Protocol[K_contra]):
    """How long a key waits after each failure."""

    def when(self, item: K_contra) -> float:
        """Counts a failure; returns the seconds to wait for it."""

    def forget(self, item: K_contra) -> None:
        """The item's failures are over."""

    def num_requeues(self, item: K_contra) -> int:
        """Failures in a row."""


class ItemExponentialBackoff(Generic[K]):
    """base * 2^failures seconds, at most cap, for each item apart. It remembers an item until `forget`."""

    def __init__(self, base: float = 0.005, cap: float = 1000.0) -> None:
        self._base = base
        self._cap = cap
        self._failures: dict[K, int] = {}

    def when(self, item: K) -> float:
        failures = self._failures.get(item, 0)
        self._failures[item] = failures + 1
        return exponential(self._base, self._cap, failures)

    def forget(self, item: K) -> None:
        self._failures.pop(item, None)

    def num_requeues(self, item: K) -> int:
        return self._failures.get(item, 0)
