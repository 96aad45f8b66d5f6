"""The examples in the docstrings of the API's and the planner's types are true."""

import doctest
import importlib
import pkgutil

import pytest

import modelinfer_controller.api
import modelinfer_controller.planning

MODULES = [
    found.name
    for package in (modelinfer_controller.api, modelinfer_controller.planning)
    for found in pkgutil.walk_packages(package.__path__, f"{package.__name__}.")
]


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str) -> None:
    results = doctest.testmod(importlib.import_module(name), optionflags=doctest.NORMALIZE_WHITESPACE)
    assert results.failed == 0


def test_the_types_that_a_newcomer_meets_first_have_examples() -> None:
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = {test.name.rpartition(".")[2] for name in MODULES for test in finder.find(importlib.import_module(name))}
    first = {
        "GroupRecord",
        "InstanceKey",
        "InvalidSpec",
        "plan_update",
        "pod_count",
        "PodView",
        "Revision",
        "decide",
        "group_name",
        "meaning",
        "parse_duration",
        "parse_pod_name",
        "parse_quantity",
        "pod_name",
        "pod_requests",
    }
    assert first - {name for name in found if name} == set()
