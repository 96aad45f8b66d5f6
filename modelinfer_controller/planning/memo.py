"""One decorator that lets a pass cost what has changed: a result is used again while its inputs are the same objects.

What is remembered belongs to one ModelInfer and goes with it. It changes no result, only when the result is worked out.
"""

from collections.abc import Callable, Mapping
from operator import is_
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class Memory:
    """The last results of one ModelInfer's passes, by function and key.

    evaluations: what had to be worked out, for tests.
    """

    __slots__ = ("at_rest", "children", "desired", "evaluations", "records", "results", "update")

    def __init__(self) -> None:
        self.evaluations = 0
        self.results: dict[str, dict[object, tuple[tuple[object, ...], Any]]] = {}
        self.records: Any = None
        self.at_rest: Any = None
        self.children: Any = None
        self.desired: Any = None
        self.update: Any = None

    def keep_only(self, keys: Mapping[int, object]) -> None:
        """Drop what is remembered of other ordinals."""
        for table in self.results.values():
            if len(table) > len(keys):
                for key in [key for key in table if key not in keys]:
                    del table[key]


class memoized(Generic[R]):
    """Decorates `function(*inputs)`, to be called as `decorated(memory, key, *inputs)`.

    Inputs are compared by identity, tuples element by element. is_final says of a result whether it holds for as long
    as the inputs are the same; other results are worked out anew each time.
    """

    def __init__(self, function: Callable[..., R], is_final: Callable[[R], bool] = lambda result: True) -> None:
        self._function = function
        self._is_final = is_final
        self._name = function.__name__

    def __call__(self, memory: Memory, key: object, *inputs: object, now: Any = None) -> R:
        """now: passed on as a keyword where it is given. It is no input: a final result is the same at any time."""
        results = memory.results.setdefault(self._name, {})
        known = results.get(key)
        if known is not None and _are_same(known[0], inputs):
            result: R = known[1]
            return result
        memory.evaluations += 1
        result = self._function(*inputs) if now is None else self._function(*inputs, now=now)
        if self._is_final(result):
            results[key] = (inputs, result)
        else:
            results.pop(key, None)
        return result


def _are_same(before: tuple[object, ...], inputs: tuple[object, ...]) -> bool:
    for one, other in zip(before, inputs, strict=True):
        if one is other:
            continue
        if not (type(one) is tuple and type(other) is tuple and len(one) == len(other) and all(map(is_, one, other))):
            return False
    return True
