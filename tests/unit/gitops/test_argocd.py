"""Argo CD's scripts for ModelInfers, run by a Lua interpreter of the version that Argo CD embeds (5.1)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from lupa import lua51

SCRIPTS = Path(__file__).parents[3] / "manifests" / "gitops" / "argocd"
ACTIONS = {path.stem for path in (SCRIPTS / "actions").glob("*.lua")} - {"discovery"}


def run(script: str, obj: dict[str, Any]) -> Any:
    """What the script returns for `obj`, as Python values."""
    lua = lua51.LuaRuntime(unpack_returned_tuples=True)
    lua.globals().obj = lua.table_from(obj, recursive=True)
    return as_python(lua.execute((SCRIPTS / script).read_text()))


def as_python(value: Any) -> Any:
    if lua51.lua_type(value) != "table":
        return value
    keys = list(value.keys())
    if keys and keys == list(range(1, len(keys) + 1)):
        return [as_python(value[key]) for key in keys]
    return {key: as_python(value[key]) for key in keys}


def model(observed: int | None = 2, **conditions: tuple[str, str]) -> dict[str, Any]:
    """A ModelInfer of generation 2. Conditions: type = (status, reason)."""
    told = [
        {"type": type_, "status": status, "reason": reason, "message": f"{type_} {reason}"}
        for type_, (status, reason) in conditions.items()
    ]
    status = {} if observed is None else {"observedGeneration": observed, "conditions": told}
    return {"metadata": {"generation": 2}, "spec": {}, "status": status}


OLD = {"Available": ("True", "A"), "Progressing": ("False", "P"), "UpdateInProgress": ("False", "U")}


@pytest.mark.parametrize(
    ("obj", "health"),
    [
        ({"metadata": {"generation": 1}, "spec": {}}, "Progressing"),
        (model(observed=-1, Ready=("True", "Available")), "Progressing"),
        (model(observed=1, Ready=("True", "Available")), "Progressing"),
        (model(observed=None), "Progressing"),
        (model(), "Progressing"),
        (model(Ready=("True", "Available")), "Healthy"),
        (model(Ready=("False", "Updating")), "Progressing"),
        (model(Ready=("False", "Suspended")), "Suspended"),
        (model(Ready=("False", "Paused")), "Suspended"),
        (model(Ready=("False", "ProgressDeadlineExceeded"), Stalled=("True", "RolledBack")), "Degraded"),
        (model(Ready=("True", "Available"), Stalled=("False", "X")), "Healthy"),
        (model(**OLD), "Healthy"),
        (model(**{**OLD, "Available": ("False", "A")}), "Progressing"),
        (model(**{**OLD, "Progressing": ("True", "P")}), "Progressing"),
        (model(**{**OLD, "UpdateInProgress": ("True", "U")}), "Progressing"),
    ],
)
def test_health(obj: dict[str, Any], health: str) -> None:
    told = run("health.lua", obj)
    assert told["status"] == health
    assert told["message"]


def test_actions_are_those_that_are_offered() -> None:
    assert set(run("actions/discovery.lua", {"spec": {}})) == ACTIONS


@pytest.mark.parametrize(
    ("spec", "disabled"),
    [
        ({}, {"resume", "unsuspend"}),
        ({"paused": True}, {"pause", "unsuspend"}),
        ({"suspend": True}, {"restart", "resume", "suspend"}),
    ],
)
def test_actions_are_disabled_where_they_would_change_nothing(spec: dict[str, Any], disabled: set[str]) -> None:
    offered = run("actions/discovery.lua", {"spec": spec})
    assert {name for name, state in offered.items() if state["disabled"]} == disabled


@pytest.mark.parametrize(
    ("action", "spec"),
    [
        ("pause", {"paused": True}),
        ("resume", {"paused": False}),
        ("suspend", {"suspend": True}),
        ("unsuspend", {"suspend": False}),
    ],
)
def test_actions_set_one_field(action: str, spec: dict[str, Any]) -> None:
    assert run(f"actions/{action}.lua", {"spec": {"replicas": 2}})["spec"] == {"replicas": 2, **spec}


def test_restart_marks_every_template() -> None:
    roles = [{"name": "a", "entryTemplate": {}, "workerTemplate": {"metadata": {"labels": {"b": "c"}}}}]
    changed = run("actions/restart.lua", {"spec": {"template": {"roles": roles}}})
    (role,) = changed["spec"]["template"]["roles"]
    marks = [
        role[name]["metadata"]["annotations"]["kubectl.kubernetes.io/restartedAt"]
        for name in ("entryTemplate", "workerTemplate")
    ]
    assert marks[0] == marks[1]
    assert role["workerTemplate"]["metadata"]["labels"] == {"b": "c"}
