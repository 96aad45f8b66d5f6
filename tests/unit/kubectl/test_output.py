"""-o in all its formats."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest
import yaml

from modelinfer_controller.exits import Exit
from modelinfer_controller.kubectl.model.document import Document
from modelinfer_controller.kubectl.render.jsonpath import JsonPathError, evaluate
from modelinfer_controller.kubectl.render.output import render

CONTENT = {
    "items": [
        {"name": "a", "n": 1, "labels": {"x.io/y": "v"}, "c": [{"type": "Ready", "status": "True"}]},
        {"name": "b", "n": 2, "c": []},
    ]
}


class Example(Document, frozen=True):
    name: str
    created_at: datetime | None
    parts: tuple[int, ...] = (1, 2)


EXAMPLE = Example("qwen", datetime(2026, 3, 1, 3, 15, tzinfo=UTC))


def test_json_and_yaml_are_the_same_document() -> None:
    expected = {"name": "qwen", "createdAt": "2026-03-01T03:15:00Z", "parts": [1, 2]}
    expected = {"apiVersion": "cli.modelinfer.volcano.sh/v1", "kind": "Example", **expected}
    assert json.loads(render("Example", EXAMPLE, "json")) == expected
    assert yaml.load(render("Example", EXAMPLE, "yaml"), Loader=yaml.BaseLoader)["createdAt"] == "2026-03-01T03:15:00Z"


def test_names_and_templates() -> None:
    assert render("Example", EXAMPLE, "name") == "modelinfer.workload.volcano.sh/qwen\n"
    assert render("Example", EXAMPLE, "jsonpath={.parts[1]}") == "2"
    with pytest.raises(Exit, match="the JSONPath template"):
        render("Example", EXAMPLE, "jsonpath={.a")


@pytest.mark.parametrize(
    ("template", "expected"),
    [
        ("{.items[*].name}", "a b"),
        (".items[0].name", "a"),
        ("items[-1:].name", "b"),
        ("{.items[0,1].n}", "1 2"),
        ("{range .items[*]}{.name}={.n}{'\\n'}{end}", "a=1\nb=2\n"),
        ('{range .items[*]}{.name}:{range .c[*]}{.type}{end}{"\\t"}{end}', "a:Ready\tb:\t"),
        ('{.items[?(@.name=="b")].n}', "2"),
        ("{.items[?(@.n<2)].name}", "a"),
        ('{.items[0].c[?(@.type=="Ready")].status}', "True"),
        (r"{.items[0].labels.x\.io/y}", "v"),
        ("{.items[0].labels['x.io/y']}", "v"),
        ("{..n}", "1 2"),
        ("{.nothing.here}", ""),
        ("{.items[1].c}", "[]"),
        ("n={.items[0].n}", "n=1"),
        ("{$.items[0].name}", "a"),
    ],
)
def test_jsonpath_as_kubectl_reads_it(template: str, expected: str) -> None:
    assert evaluate(template, CONTENT) == expected


@pytest.mark.parametrize("template", ["{.items", "{range .items[*]}{.n}", "{.n}{end}", "{.items[}", "{items}"])
def test_a_template_that_is_not_understood(template: str) -> None:
    with pytest.raises(JsonPathError):
        evaluate(template, CONTENT)
