"""A file's documents, each converted by its kind, or passed on."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from modelinfer_controller.api import modelinfer
from modelinfer_controller.api.validation import InvalidSpec, decode
from modelinfer_controller.kubectl.convert import leader_worker_set, model_serving, role_based_group, stateful_set
from modelinfer_controller.kubectl.convert.foreign import notes_on_other, notes_on_result
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
# Kinds whose controller names pods as this one does: <name>-<group>-<role>-<instance>-<index>.
_SAME_POD_NAMES = ("ModelServing", "RoleBasedGroupSet")
# Fields of metadata that a manifest may have.
_METADATA = ("name", "namespace", "labels", "annotations")


class Malformed(Exception):
    """A document is not of the kind that it names; the message says which document, and what is wrong."""


@dataclass(frozen=True)
class Converted:
    """`document` is a ModelInfer where `source` is not None, else what the file had."""

    document: Document
    source: str | None  # "LeaderWorkerSet vllm"
    notes: tuple[Note, ...]


def converted(documents: Iterable[Document], *, one_group: bool = False) -> list[Converted]:
    """One for each document, in order. one_group: a StatefulSet is one group of ranks, not a set of servers.

    Raises Malformed.
    """
    return [_converted(document, one_group) for document in documents]


def _converted(document: Document, one_group: bool) -> Converted:
    group = str(document.get("apiVersion", "")).rpartition("/")[0]
    converter = CONVERTERS.get((group, str(document.get("kind"))))
    if converter is None:
        return Converted(document, None, tuple(notes_on_other(document)))
    if one_group and converter is stateful_set.convert:
        converter = stateful_set.convert_to_one_group
    source = source_of(document)
    spec = _spec_by(converter, source)
    metadata = _metadata(source)
    name = str(metadata.get("name", ""))
    if source.kind in _SAME_POD_NAMES:
        source.note("metadata.name", "while both run choose another: pods of the two have the same names")
    for violation in _violations(spec, name):
        source.note("result", f"the API server would refuse it: {violation}")
    body = {"apiVersion": modelinfer.API_VERSION, "kind": modelinfer.KIND, "metadata": metadata, "spec": spec}
    source.notes += notes_on_result(body)
    return Converted(body, f"{source.kind} {name}", source.finish())


def _spec_by(converter: Converter, source: Source) -> dict[str, Any]:
    """Converters rely on the shape of their kind. A file that no server has accepted may have another."""
    name = source.left.get("metadata", {}).get("name")
    try:
        return converter(source)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise Malformed(f"{source.kind} {name} does not have the shape of its kind: {error}") from error


def _metadata(source: Source) -> dict[str, Any]:
    """What a user writes of it. Owners and finalizers belong to the old object."""
    found = source.take("metadata") or {}
    for key in sorted(key for key, value in found.items() if value and key not in _METADATA):
        source.note(f"metadata.{key}", "is left out: it belongs to the old object")
    return {key: value for key, value in found.items() if value and key in _METADATA}


def _violations(spec: Mapping[str, Any], name: str) -> Iterator[str]:
    checked = decode(json.dumps(spec, default=str), name)
    if isinstance(checked, InvalidSpec):
        yield from map(str, checked.violations)
    for index, role in enumerate(spec["template"]["roles"]):
        for field in {"entryTemplate", "workerTemplate"} & role.keys():
            spec_of_pod = role[field]["spec"]
            if isinstance(spec_of_pod, dict) and not spec_of_pod.get("containers"):
                yield f"spec.template.roles[{index}].{field}.spec.containers: is required"
