"""The configuration of kube-state-metrics: it has the shape that is documented, and every path is one of the CRD.

source: kube-state-metrics, docs/metrics/extend/customresourcestate-metrics. tests/integration runs the program itself.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

MANIFESTS = Path(__file__).parents[3] / "manifests"
CONFIG = MANIFESTS / "components" / "kube-state-metrics" / "config.yaml"
METADATA = {"name", "namespace", "creationTimestamp", "generation"}
Name = Annotated[str, Field(pattern=r"^[a-z_][a-z0-9_]*$")]
FieldPath = Annotated[list[str], Field(min_length=1)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Labelled(Strict):
    path: FieldPath = []
    labelsFromPath: dict[Name, FieldPath] = {}


class Gauge(Labelled):
    valueFrom: FieldPath = []
    nilIsZero: bool = False


class GaugeEach(Strict):
    type: Literal["Gauge"]
    gauge: Gauge


class InfoEach(Strict):
    type: Literal["Info"]
    info: Labelled


class Metric(Strict):
    name: Name
    help: Annotated[str, Field(min_length=1)]
    each: GaugeEach | InfoEach

    @property
    def source(self) -> Labelled:
        return self.each.gauge if isinstance(self.each, GaugeEach) else self.each.info


class Resource(Strict):
    groupVersionKind: dict[Literal["group", "version", "kind"], str]
    metricNamePrefix: Name
    labelsFromPath: dict[Name, FieldPath]
    metrics: list[Metric]


class Resources(Strict):
    resources: list[Resource]


class Config(Strict):
    kind: Literal["CustomResourceStateMetrics"]
    spec: Resources


def resource() -> Resource:
    (found,) = Config.model_validate(yaml.safe_load(CONFIG.read_text())).spec.resources
    return found


def crd() -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((MANIFESTS / "crd" / "modelinfers.yaml").read_text())["spec"]
    return content


def schema() -> dict[str, Any]:
    (version,) = crd()["versions"]
    content: dict[str, Any] = version["schema"]["openAPIV3Schema"]
    return content


def paths(metric: Metric) -> Iterator[list[str]]:
    """Whole paths: those of labels and of the value are relative to that of the metric."""
    source = metric.source
    yield from ([*source.path, *path] for path in source.labelsFromPath.values())
    if isinstance(source, Gauge):
        yield [*source.path, *source.valueFrom]


def leaf(path: list[str]) -> dict[str, Any] | None:
    """The schema of the field; an array is passed through, as kube-state-metrics makes a metric of each element."""
    if path[0] == "metadata":
        return {"type": "string"} if path[1] in METADATA and len(path) == 2 else None
    found: dict[str, Any] | None = schema()
    for name in path:
        if found is not None and found.get("type") == "array":
            found = found["items"]
        found = found.get("properties", {}).get(name) if found is not None else None
    return found


def test_it_is_about_the_kind_that_the_crd_defines() -> None:
    definition = crd()
    (version,) = definition["versions"]
    assert resource().groupVersionKind == {
        "group": definition["group"],
        "version": version["name"],
        "kind": definition["names"]["kind"],
    }


@pytest.mark.parametrize("metric", resource().metrics, ids=lambda metric: metric.name)
def test_every_path_leads_to_a_value(metric: Metric) -> None:
    for path in paths(metric):
        found = leaf(path)
        assert found is not None, path
        assert found["type"] in ("string", "integer", "number", "boolean"), path


def test_names_are_given_once_and_the_labels_name_the_object() -> None:
    names = [metric.name for metric in resource().metrics]
    assert len(names) == len(set(names))
    assert resource().labelsFromPath == {"namespace": ["metadata", "namespace"], "modelinfer": ["metadata", "name"]}


def test_a_mistake_is_found() -> None:
    assert leaf(["status", "readyGroups"]) is None
    broken = yaml.safe_load(CONFIG.read_text().replace("nilIsZero", "nilIsNull"))
    with pytest.raises(ValidationError, match="nilIsNull"):
        Config.model_validate(broken)
