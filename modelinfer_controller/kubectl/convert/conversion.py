"""A file's documents, each converted by its kind, or passed on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelinfer_controller.api import modelinfer
from modelinfer_controller.api.validation import InvalidSpec, decode
from modelinfer_controller.kubectl.convert import leader_worker_set, model_serving, role_based_group, stateful_set
from modelinfer_controller.kubectl.convert.source import Note, Source, source_of

Document = Mapping[str, Any]
Converter = Callable[[Source], dict[str, Any]]

# By API group and kind; versions of one group are told apart inside of a converter.
CONVERTERS: Mapping[tuple[str, str], Converter] = {
    ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"): leader_worker_set.convert,
    ("workload.serving.volcano.sh", "ModelServing"): model_serving.convert,
    ("workload.volcano.sh", "ModelInfer"): model_serving.convert,
    ("workloads.x-k8s.io", "RoleBasedGroup"): role_based_group.convert,
    ("workloads.x-k8s.io", "RoleBasedGroupSet"): role_based_group.convert,
    ("apps", "StatefulSet"): stateful_set.convert,
}
# Labels by which a Service of the old workload finds pods that will not have them.
_FOREIGN_LABELS = (
    "leaderworkerset.sigs.k8s.io/",
    "modelserving.volcano.sh/",
    "rbg.workloads.x-k8s.io/",
    "statefulset.kubernetes.io/",
    "apps.kubernetes.io/pod-index",
)
_INSTEAD = "pods of a ModelInfer lack it; select modelinfer.volcano.sh/name, /role and /entry"


@dataclass(frozen=True)
class Converted:
    """`document` is a ModelInfer where `source` is not None, else what the file had."""

    document: Document
    source: str | None  # "LeaderWorkerSet vllm"
    notes: tuple[Note, ...]


def converted(documents: Iterable[Document], *, one_group: bool = False) -> list[Converted]:
    """One for each document, in order. one_group: a StatefulSet is one group of ranks, not a set of servers."""
    return [_converted(document, one_group) for document in documents]


def _converted(document: Document, one_group: bool) -> Converted:
    group = str(document.get("apiVersion", "")).rpartition("/")[0]
    converter = CONVERTERS.get((group, str(document.get("kind"))))
    if converter is None:
        return Converted(document, None, tuple(_notes_on_others(document)))
    if one_group and converter is stateful_set.convert:
        converter = stateful_set.convert_to_one_group
    source = source_of(document)
    spec = converter(source)
    metadata = source.take("metadata") or {}
    name = str(metadata.get("name", ""))
    for violation in _violations(spec, name):
        source.note("result", f"the API server would refuse it: {violation}")
    body = {
        "apiVersion": modelinfer.API_VERSION,
        "kind": modelinfer.KIND,
        "metadata": {key: value for key, value in metadata.items() if value},
        "spec": spec,
    }
    return Converted(body, f"{source.kind} {name}", source.finish())


def _violations(spec: Mapping[str, Any], name: str) -> Iterator[str]:
    checked = decode(json.dumps(spec, default=str), name)
    if isinstance(checked, InvalidSpec):
        yield from map(str, checked.violations)


def _notes_on_others(document: Document) -> Iterator[Note]:
    """A Service that selects the old workload's labels finds no pod of the new one."""
    spec = document.get("spec")
    selector = spec.get("selector") if isinstance(spec, dict) else None
    for label in sorted(selector or {}) if isinstance(selector, dict) else ():
        if label.startswith(_FOREIGN_LABELS):
            where = f"{document.get('kind')} {document.get('metadata', {}).get('name')}"
            yield Note(f"{where}: spec.selector[{label}]", _INSTEAD)
