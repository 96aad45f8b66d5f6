"""api/validation.py says the same of a stored object as admission says of a new one."""

import json

import pytest
from admission_cases import CASES, Case, role, spec, update

from modelinfer_controller.api.modelinfer import ModelInferSpec
from modelinfer_controller.api.validation import InvalidSpec, Violation, decode


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_rules_agree_with_admission(case: Case) -> None:
    decoded = decode(json.dumps(case.spec), case.name)
    if case.is_valid or case.only_at_admission:
        assert isinstance(decoded, ModelInferSpec), decoded
    else:
        assert isinstance(decoded, InvalidSpec)
        assert [violation.field for violation in decoded.violations] == [case.field]


def test_every_broken_rule_is_said_in_the_order_of_the_fields() -> None:
    decoded = decode(json.dumps(spec(role(replicas=-1), role("DECODE"), replicas=-2)), "Mi")
    assert isinstance(decoded, InvalidSpec)
    assert [violation.field for violation in decoded.violations] == [
        "metadata.name",
        "spec.replicas",
        "spec.template.roles",
        "spec.template.roles[0].replicas",
    ]


def test_an_object_that_breaks_a_rule_still_decodes() -> None:
    decoded = decode(json.dumps(spec(replicas=-2)), "mi")
    assert isinstance(decoded, InvalidSpec)
    assert decoded.spec is not None
    assert decoded.spec.replicas == -2


def test_what_has_the_wrong_type_is_named_by_its_path_in_the_api() -> None:
    decoded = decode(json.dumps(spec(role(name=["x"]), role(workerReplicas="many"), **update(maxSurge=[1]))), "mi")
    assert isinstance(decoded, InvalidSpec)
    assert decoded.spec is None
    assert decoded.violations == (
        Violation("spec.template.roles[0].name", "Input should be a valid string"),
        Violation(
            "spec.template.roles[1].workerReplicas",
            "Input should be a valid integer, unable to parse string as an integer",
        ),
        Violation(
            "spec.rolloutStrategy.rollingUpdateConfiguration.maxSurge",
            'must be a number that is not negative, or a percentage from "0%" to "100%"',
        ),
    )


@pytest.mark.parametrize("stored", ["{}", "null", "[]", "", '{"template": 3}'])
def test_a_spec_without_a_template_is_invalid_and_nothing_worse(stored: str) -> None:
    decoded = decode(stored, "mi")
    assert isinstance(decoded, InvalidSpec)
    assert decoded.violations
    assert all(violation.field.startswith("spec") for violation in decoded.violations)


def test_fields_of_a_newer_version_are_ignored() -> None:
    assert isinstance(decode(json.dumps({**spec(), "newer": {"a": 1}}), "mi"), ModelInferSpec)
