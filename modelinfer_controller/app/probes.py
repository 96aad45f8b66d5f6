"""What the kubelet asks: /healthz, to be started again, and /readyz, whether this replica could do its work."""

from collections.abc import Callable, Mapping

Check = Callable[[], str]
"""Returns "" where all is well, else what is wrong."""


class Probe:
    """Several checks under one path. Must not block."""

    def __init__(self, checks: Mapping[str, Check]) -> None:
        self._checks = checks

    def answer(self) -> tuple[int, str]:
        """The HTTP status, and one line for each check, as Kubernetes' own components answer."""
        problems = {name: check() for name, check in self._checks.items()}
        lines = [f"[-]{name} {problem}" if problem else f"[+]{name} ok" for name, problem in problems.items()]
        is_well = not any(problems.values())
        return (200 if is_well else 503), "\n".join([*lines, "ok" if is_well else "failed", ""])
