"""From a CustomResourceDefinition to the kind that it defines. One served version is supported."""

import re
from collections.abc import Iterator
from functools import lru_cache

from modelinfer_controller.simulator.apiserver.cel_rules import Unsupported
from modelinfer_controller.simulator.apiserver.kinds import Column, CustomSchema, Kind, ScalePaths
from modelinfer_controller.simulator.apiserver.schema import Schema, compiled
from modelinfer_controller.simulator.apiserver.status_errors import Cause
from modelinfer_controller.simulator.objects import Object, decode, encode


def kind_of(definition: Object) -> Kind:
    """Raises Unsupported on what this server cannot do, KeyError on a definition that lacks a required field."""
    spec = definition["spec"]
    served = [version for version in spec["versions"] if version["served"]]
    if len(served) != 1:
        raise Unsupported("this server serves one version of each custom kind")
    version = served[0]
    names, subresources = spec["names"], version.get("subresources") or {}
    return Kind(
        group=spec["group"],
        version=version["name"],
        plural=names["plural"],
        kind=names["kind"],
        namespaced=spec["scope"] == "Namespaced",
        has_status="status" in subresources,
        has_generation=True,
        short_names=tuple(names.get("shortNames") or ()),
        categories=tuple(names.get("categories") or ()),
        scale=_scale(subresources.get("scale")),
        custom=_custom(version),
    )


def _custom(version: Object) -> CustomSchema:
    document = version["schema"]["openAPIV3Schema"]
    columns = tuple(
        Column(
            one["name"], one["type"], one["jsonPath"], one.get("priority", 0), one.get("description", one["jsonPath"])
        )
        for one in version.get("additionalPrinterColumns") or ()
    )
    return CustomSchema(document, _compiled(encode(document)), columns)


@lru_cache(maxsize=16)
def _compiled(document: bytes) -> Schema:
    """Remembered: a large schema takes longer to compile than a short history takes to run.

    Metadata is validated apart, for every kind alike; rules at the root see its names.
    """
    schema = compiled(decode(document))
    schema.properties.pop("metadata", None)
    return schema


def _scale(scale: Object | None) -> ScalePaths | None:
    if scale is None:
        return None
    return ScalePaths(
        _path(scale["specReplicasPath"]), _path(scale["statusReplicasPath"]), _path(scale.get("labelSelectorPath", ""))
    )


def _path(json_path: str) -> tuple[str, ...]:
    return tuple(json_path.lstrip(".").split(".")) if json_path else ()


def definition_violations(definition: Object) -> Iterator[Cause]:
    name, spec = definition["metadata"].get("name"), definition.get("spec") or {}
    try:
        kind = kind_of(definition)
    except KeyError as error:
        yield Cause.required(f"spec.{error.args[0]}")
        return
    except (Unsupported, re.error) as error:
        yield Cause.invalid("spec.versions", spec.get("versions"), str(error))
        return
    if name != kind.resource:
        yield Cause.invalid("metadata.name", name, 'must be spec.names.plural+"."+spec.group')


def established(definition: Object, now: str) -> Object:
    """The definition with the status that a server which has taken it up gives it."""
    spec = definition["spec"]
    names = {"listKind": f"{spec['names']['kind']}List", "singular": spec["names"]["kind"].lower(), **spec["names"]}
    conditions = [
        {"type": "NamesAccepted", "reason": "NoConflicts", "message": "no conflicts found"},
        {"type": "Established", "reason": "InitialNamesAccepted", "message": "the initial names have been accepted"},
    ]
    status = {
        "conditions": [{**one, "status": "True", "lastTransitionTime": now} for one in conditions],
        "acceptedNames": names,
        "storedVersions": [version["name"] for version in spec["versions"] if version.get("storage")],
    }
    return {**definition, "spec": {"conversion": {"strategy": "None"}, **spec, "names": names}, "status": status}
