"""One kwok Stage, and the words it is made of.

A stage is: when an object matches these jq conditions, wait for the delay, then patch its status with a template (Go
template that renders YAML), or delete it. Source: kwok's Stage API, kwok.x-k8s.io/v1alpha1.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Any, Literal

ANNOTATION_PREFIX = "kwok.stage/"


def annotation(name: str) -> str:
    """jq: the value of one of our annotations, null where the pod has none."""
    return f'.metadata.annotations["{ANNOTATION_PREFIX}{name}"]'


def has(name: str) -> str:
    return f"{annotation(name)} != null"


def lacks(name: str) -> str:
    return f"{annotation(name)} == null"


def number(name: str, default: int) -> str:
    """jq: the annotation as a number."""
    return f'({annotation(name)} // "{default}" | tonumber)'


@dataclass(frozen=True)
class Delay:
    """Milliseconds, unless the annotation names another duration (Go's format, such as 1m30s)."""

    milliseconds: int
    annotation: str | None = None


@dataclass(frozen=True)
class Stage:
    """`when` are jq conditions that must all hold. `status` is a template of the status patch, "delete" deletes.

    Where several stages match, those with `weight` 0 yield to the others.
    """

    name: str
    kind: Literal["Node", "Pod"]
    when: tuple[str, ...]
    status: str | None
    delay: Delay | None = None
    weight: int = 0

    def manifest(self) -> dict[str, Any]:
        condition = " and ".join(f"({part})" for part in self.when)
        spec: dict[str, Any] = {
            "resourceRef": {"apiGroup": "v1", "kind": self.kind},
            "selector": {"matchExpressions": [{"jq": {"key": condition, "operator": "In", "values": ["true"]}}]},
            "weight": self.weight,
            "steps": [{"delete": True} if self.status is None else {"patch": _patch(self.status)}],
        }
        if self.delay is not None:
            spec["delay"] = _delay(self.delay)
        return {
            "apiVersion": "kwok.x-k8s.io/v1alpha1",
            "kind": "Stage",
            "metadata": {"name": self.name},
            "spec": spec,
        }


def _delay(delay: Delay) -> dict[str, Any]:
    body: dict[str, Any] = {"durationMilliseconds": delay.milliseconds}
    if delay.annotation is not None:
        body["durationFrom"] = {"jq": {"expression": annotation(delay.annotation)}}
    return body


def _patch(status: str) -> dict[str, Any]:
    # The UID makes the server refuse a patch that comes late, for an object made again under the same name.
    head = "{{ $now := Now | Quote }}\nmetadata: {uid: {{ .metadata.uid | Quote }}}\nstatus:\n"
    template = head + textwrap.indent(status.strip("\n"), "  ")
    return {"subresource": "status", "type": "strategic", "template": template}
