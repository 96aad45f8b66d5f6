"""CEL validation rules of a CRD's schema (x-kubernetes-validations), by the optional library of that name.

What the library cannot evaluate as Kubernetes would is refused, with a message, when the CRD is created: a rule is
never skipped. Missing are optional field selection (`a.?b`), cel.bind, and the quantity, URL, IP, CIDR, semver and
format libraries.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from modelinfer_controller.simulator.objects import Object

try:
    import cel
    from cel import stdlib
except ImportError:  # the simulator extra is not installed
    cel = None  # type: ignore[assignment, unused-ignore]


class Unsupported(Exception):
    """This rule cannot be evaluated here; the message says why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One entry of x-kubernetes-validations, ready to run. field_path is below the node, with a leading dot."""

    source: str
    message: str
    message_expression: str
    reason: str
    field_path: str
    is_transition: bool
    optional_old_self: bool


def rules_of(schema: Object) -> tuple[Rule, ...]:
    """The rules of one schema node. Raises Unsupported."""
    return tuple(_rule(entry) for entry in schema.get("x-kubernetes-validations") or ())


def _rule(entry: Object) -> Rule:
    source: str = entry["rule"]
    variables = _check(source)
    message_expression = entry.get("messageExpression", "")
    if message_expression:
        _check(message_expression)
    return Rule(
        source=source,
        message=entry.get("message") or f"failed rule: {source.strip()}",
        message_expression=message_expression,
        reason=entry.get("reason") or "FieldValueInvalid",
        field_path=entry.get("fieldPath", ""),
        is_transition="oldSelf" in variables and not entry.get("optionalOldSelf"),
        optional_old_self=bool(entry.get("optionalOldSelf")),
    )


def holds(rule: Rule, value: Any, old: Any | None) -> bool:
    """Whether the value satisfies the rule; old is the value before an update, None without one.

    Raises Unsupported on a run that fails.
    """
    result = _evaluate(rule.source, _variables(rule, value, old))
    if not isinstance(result, bool):
        raise Unsupported(f"rule {rule.source!r} gave {result!r}, which is no boolean")
    return result


def message_of(rule: Rule, value: Any, old: Any | None) -> str:
    if not rule.message_expression:
        return rule.message
    return str(_evaluate(rule.message_expression, _variables(rule, value, old)))


def _variables(rule: Rule, value: Any, old: Any | None) -> dict[str, Any]:
    if rule.optional_old_self:
        optional = cel.OptionalValue
        return {"self": value, "oldSelf": optional.none() if old is None else optional.of(old)}
    return {"self": value, "oldSelf": old} if rule.is_transition else {"self": value}


def _evaluate(source: str, variables: Mapping[str, Any]) -> Any:
    context = _context()
    context.update(dict(variables))
    try:
        return _compiled(source).execute(context)
    except Exception as error:  # the library raises whatever its callbacks and its core raise
        raise Unsupported(f"evaluating {source!r}: {error}") from error


@lru_cache(maxsize=1000)
def _compiled(source: str) -> "cel.Program":
    return cel.compile(source)


def _check(source: str) -> Sequence[str]:
    """The variables that the expression names. Raises Unsupported where it cannot be run faithfully."""
    if cel is None:
        raise Unsupported("CEL rules need the library common-expression-language: install the extra `simulator`")
    if "__" in source:
        raise Unsupported(f"rule {source!r} names an escaped field, which is not supported here")
    try:
        program = _compiled(source)
    except ValueError as error:
        raise Unsupported(f"rule {source!r} cannot be compiled here: {error}") from error
    known = {name.rpartition(".")[2] for name in _functions()}
    unknown = [name for name in program.functions() if name not in known and not _is_native(name)]
    if unknown:
        raise Unsupported(f"rule {source!r} calls {', '.join(unknown)}, not supported here")
    return program.variables()


_NATIVE_WORDS = (
    "size contains startsWith endsWith matches int uint double string bytes dyn type duration timestamp "
    "has all exists exists_one existsOne map filter getFullYear getMonth getDate getDayOfMonth getDayOfWeek "
    "getDayOfYear getHours getMinutes getSeconds getMilliseconds hasValue value orValue"
)
_NATIVE = frozenset(_NATIVE_WORDS.split())


def _is_native(name: str) -> bool:
    is_operator = not re.match(r"^[A-Za-z]", name)
    return is_operator or name in _NATIVE


def _is_sorted(values: list[Any]) -> bool:
    return all(one <= other for one, other in pairwise(values))


def _find(text: str, pattern: str) -> str:
    found = re.search(pattern, text)
    return found.group(0) if found else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found = [one.group(0) for one in re.finditer(pattern, text)]
    return found if limit < 0 else found[:limit]


# Of the library's extensions, those that Kubernetes has too.
_EXTENSION_WORDS = (
    "charAt indexOf lastIndexOf lowerAscii upperAscii replace split join substring trim reverse sum min max "
    "sets.contains sets.equivalent sets.intersects"
)
_EXTENSIONS = frozenset(_EXTENSION_WORDS.split())


@lru_cache(maxsize=1)
def _functions() -> dict[str, Any]:
    context = cel.Context()
    stdlib.add_stdlib_to_context(context)
    extensions = {name: function for name, function in context.functions.items() if name in _EXTENSIONS}
    return {**extensions, "isSorted": _is_sorted, "find": _find, "findAll": _find_all}


@lru_cache(maxsize=1)
def _context() -> "cel.Context":
    """One for all evaluations: it takes longer to fill than a rule takes to run."""
    context = cel.Context()
    for name, function in _functions().items():
        context.add_function(name, function)
    return context
