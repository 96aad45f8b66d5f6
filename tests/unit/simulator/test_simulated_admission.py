"""The simulator refuses what a real server refuses: the shared cases, and the words of its refusals."""

from typing import Any

import pytest
from admission_cases import CASES, Case
from api_user import User

from modelinfer_controller.simulator.apiserver import cel_rules
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane

MODEL_INFERS = "/apis/workload.volcano.sh/v1alpha1/namespaces/default/modelinfers"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
async def test_shared_cases(server: SimulatedControlPlane, case: Case) -> None:
    answer = await User(server).create(MODEL_INFERS, case.manifest)
    case.check(answer.status, answer.body)
    assert case.is_valid or answer.body["details"]["kind"] == "ModelInfer"


async def test_a_refusal_names_each_field_and_reason(user: User) -> None:
    manifest = {"metadata": {"name": "mi"}, "spec": {"replicas": -1, "recoveryPolicy": "Never"}}

    answer = await user.create(MODEL_INFERS, manifest)

    causes = {(one["field"], one["reason"]) for one in answer.body["details"]["causes"]}
    assert causes == {
        ("spec.replicas", "FieldValueInvalid"),
        ("spec.recoveryPolicy", "FieldValueNotSupported"),
        ("spec.template", "FieldValueRequired"),
    }


async def test_defaults_are_filled_in_and_unknown_fields_dropped(user: User) -> None:
    valid = next(case for case in CASES if case.id == "least")
    manifest = {**valid.manifest, "spec": {**valid.spec, "colour": "blue"}, "status": {"replicas": 7}}

    answer = await user.create(MODEL_INFERS, manifest)

    assert answer.body["spec"]["replicas"] == 1
    assert answer.body["spec"]["recoveryPolicy"] == "RoleRecreate"
    assert "colour" not in answer.body["spec"]
    assert answer.body["status"] == {"observedGeneration": -1}


async def test_unknown_fields_are_an_error_where_the_client_is_strict(user: User) -> None:
    valid = next(case for case in CASES if case.id == "least")
    manifest = {**valid.manifest, "spec": {**valid.spec, "colour": "blue"}}

    answer = await user.create(MODEL_INFERS, manifest, fieldValidation="Strict")

    assert answer.status == 400
    assert answer.message == 'strict decoding error: unknown field "spec.colour"'


async def test_what_was_wrong_before_is_not_held_against_an_update(server: SimulatedControlPlane, user: User) -> None:
    """Ratcheting: an object from before a rule can still be changed elsewhere."""
    valid = next(case for case in CASES if case.id == "least")
    created = await user.create(MODEL_INFERS, valid.manifest)
    path = f"{MODEL_INFERS}/{valid.name}"
    kind = server.api.kinds.find("workload.volcano.sh", "v1alpha1", "modelinfers")
    assert kind is not None
    broken = {**created.body, "spec": {**created.body["spec"], "recoveryPolicy": "OfYore"}}
    server.api.store.put(kind.key, ("default", valid.name), broken)

    assert (await user.patch(path, {"spec": {"replicas": 2}})).status == 200
    assert (await user.patch(path, {"spec": {"recoveryPolicy": "Wrong"}})).status == 422


@pytest.mark.parametrize(
    ("rule", "says"),
    [
        ("self.?a.orValue(1) == 1", "cannot be compiled here"),
        ("quantity(self.a) == quantity('1')", "calls quantity, not supported here"),
    ],
)
async def test_a_rule_that_cannot_be_evaluated_is_refused(user: User, rule: str, says: str) -> None:
    answer = await user.create(DEFINITIONS, _definition([{"rule": rule}]))

    assert answer.status == 422
    assert says in answer.message


async def test_without_the_library_rules_are_refused_and_not_skipped(
    user: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cel_rules, "cel", None)

    answer = await user.create(DEFINITIONS, _definition([{"rule": "self.a > 0"}]))

    assert answer.status == 422
    assert "install the extra `simulator`" in answer.message


async def test_a_rule_that_fails_to_run_refuses_the_object(user: User) -> None:
    await user.create(DEFINITIONS, _definition([{"rule": "self.a > 0 && self.b > 0", "message": "both"}]))

    answer = await user.create("/apis/example.com/v1/namespaces/default/things", {"metadata": {"name": "x"}, "a": 1})

    assert answer.status == 422
    assert "rule could not be evaluated" in answer.message


async def test_transition_rules_see_the_old_value(user: User) -> None:
    await user.create(DEFINITIONS, _definition([{"rule": "self.a >= oldSelf.a", "message": "a may only grow"}]))
    things = "/apis/example.com/v1/namespaces/default/things"
    await user.create(things, {"metadata": {"name": "x"}, "a": 2})

    assert (await user.patch(f"{things}/x", {"a": 3})).status == 200
    assert "a may only grow" in (await user.patch(f"{things}/x", {"a": 1})).message


async def test_a_removed_definition_takes_its_objects_and_its_kind_along(user: User) -> None:
    await user.create(DEFINITIONS, _definition([]))
    things = "/apis/example.com/v1/namespaces/default/things"
    await user.create(things, {"metadata": {"name": "x"}, "a": 2})

    await user.delete(f"{DEFINITIONS}/things.example.com")

    answer = await user.get(things)
    assert (answer.status, answer.message) == (404, "the server could not find the requested resource")


def _definition(rules: list[dict[str, Any]]) -> dict[str, Any]:
    integer = {"type": "integer"}
    schema = {"type": "object", "properties": {"a": integer, "b": integer}, "x-kubernetes-validations": rules}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "things", "kind": "Thing"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": [version]}
    return {"metadata": {"name": "things.example.com"}, "spec": spec}
