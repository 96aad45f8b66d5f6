"""Custom objects against their definition: shaped (pruned and defaulted) when they come in, then validated."""

from typing import Any

from modelinfer_controller.simulator.apiserver.kinds import CustomSchema
from modelinfer_controller.simulator.apiserver.schema import apply_defaults, prune
from modelinfer_controller.simulator.apiserver.status_errors import Cause
from modelinfer_controller.simulator.apiserver.validation import ABSENT, broken_rules, violations
from modelinfer_controller.simulator.objects import Object, copy_of

_NOT_IN_SCHEMA = ("apiVersion", "kind", "metadata")


def shaped(custom: CustomSchema, obj: Object) -> tuple[Object, list[str]]:
    """A new object without the fields that the schema does not know, and with defaults; and the dropped paths."""
    content = {name: copy_of(value) for name, value in obj.items() if name not in _NOT_IN_SCHEMA}
    unknown = prune(custom.schema, content)
    apply_defaults(custom.schema, content)
    return {**{name: obj[name] for name in _NOT_IN_SCHEMA if name in obj}, **content}, unknown


def custom_violations(custom: CustomSchema, new: Object, old: Object | None) -> list[Cause]:
    """What is wrong with the new object. Rules are looked at only where nothing else is wrong, as a server does."""
    view, old_view = _view(new), ABSENT if old is None else _view(old)
    return violations(custom.schema, view, old_view) or broken_rules(custom.schema, view, old_view)


def _view(obj: Object) -> Any:
    """What rules at the root see: of the metadata the names only."""
    metadata = {name: obj["metadata"][name] for name in ("name", "generateName") if name in obj["metadata"]}
    return {**obj, "metadata": metadata}
