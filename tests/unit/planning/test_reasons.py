"""Reasons of conditions and events are listed once; whoever gives one takes it from there."""

import ast
from collections.abc import Iterator
from pathlib import Path

import modelinfer_controller
from modelinfer_controller.api.reasons import Reason

PACKAGE = Path(modelinfer_controller.__file__).parent
OF_THE_CLUSTER = {"ContainerCreating", "Suspended", "Unschedulable"}  # a container's wait, types of conditions


def literals(layer: str) -> Iterator[tuple[Path, str]]:
    for file in (PACKAGE / layer).rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield file, node.value


def test_no_reason_is_spelled_out() -> None:
    listed = {str(reason) for reason in Reason} - OF_THE_CLUSTER
    code = (found for layer in ("planning", "controller") for found in literals(layer))
    assert [(file.name, text) for file, text in code if text in listed] == []


def test_every_reason_is_given_somewhere() -> None:
    code = "".join(file.read_text() for layer in ("planning", "controller") for file in (PACKAGE / layer).rglob("*.py"))
    assert [reason.name for reason in Reason if f"Reason.{reason.name}" not in code] == []
