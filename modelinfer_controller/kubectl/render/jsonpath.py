"""kubectl's JSONPath templates: text, {.paths}, {range ...}{end}, [*], slices, unions, ..name and ?(@.a=="b") filters.

source: https://kubernetes.io/docs/reference/kubectl/jsonpath/
"""

import json
import re
from collections.abc import Iterable, Iterator
from typing import Any


class JsonPathError(ValueError):
    """The template is not understood; the message says where."""


_PART = re.compile(r"\{((?:\"(?:[^\"\\]|\\.)*\"|'(?:[^'\\]|\\.)*'|[^{}\"'])*)\}")
_STEP = re.compile(
    r"""\.\.(?P<deep>[\w-]+|\*)|\.(?P<key>(?:[\w/-]|\\\.)+|\*)|\[(?P<quoted>'[^']*'|"[^"]*")\]"""
    r"""|\[\?\((?P<filter>.*?)\)\]|\[(?P<index>[-\d:,*]+)\]"""
)
_FILTER = re.compile(r"\s*@(?P<path>[^=!<>]*?)\s*(?:(?P<operator>==|!=|<=|>=|<|>)\s*(?P<value>.+?))?\s*")


def evaluate(template: str, content: Any) -> str:
    """The template's text with what its paths find. Raises JsonPathError."""
    if "{" not in template:
        template = "{" + (template if template.startswith((".", "[", "$", "@")) else f".{template}") + "}"
    parts = _parts(template)
    text, rest = _run(parts, content, content)
    if rest:
        raise JsonPathError("{end} without {range}")
    return text


def _parts(template: str) -> list[tuple[bool, str]]:
    """(is an expression, text), in order."""
    parts, at = [], 0
    for match in _PART.finditer(template):
        if match.start() > at:
            parts.append((False, template[at : match.start()]))
        parts.append((True, match[1].strip()))
        at = match.end()
    rest = template[at:]
    if "{" in rest or "}" in rest:
        raise JsonPathError(f"a brace is not closed: {rest}")
    return [*parts, (False, rest)] if rest else parts


def _run(parts: list[tuple[bool, str]], content: Any, root: Any) -> tuple[str, list[tuple[bool, str]]]:
    """The text up to an {end} of its own, and the parts from there on."""
    text = ""
    while parts:
        (is_expression, part), *parts = parts
        if not is_expression:
            text += part
        elif part == "end":
            return text, [(True, "end"), *parts]
        elif part.startswith("range "):
            body, rest = parts, parts
            for item in _find(part.removeprefix("range ").strip(), content, root):
                piece, rest = _run(body, item, root)
                text += piece
            rest = rest if rest is not body else _run(body, None, root)[1]
            if not rest:
                raise JsonPathError("{range} without {end}")
            parts = rest[1:]
        elif part[:1] in "\"'" and part:
            text += _unquoted(part)
        else:
            text += " ".join(_text(found) for found in _find(part, content, root))
    return text, []


def _find(path: str, content: Any, root: Any) -> list[Any]:
    if content is None:
        return []
    start = root if path.startswith("$") else content
    path = path.lstrip("$@")
    if path and path[0] not in ".[":
        raise JsonPathError(f"{path!r} is no path: it begins with a dot")
    found, at = [start], 0
    path = "" if path == "." else path
    while at < len(path):
        step = _STEP.match(path, at)
        if step is None:
            raise JsonPathError(f"{path[at:]!r} is not understood")
        found = [value for each in found for value in _taken(step, each)]
        at = step.end()
    return found


def _taken(step: re.Match[str], value: Any) -> Iterable[Any]:
    if step["deep"]:
        return _deep(value, step["deep"])
    if step["filter"]:
        return [each for each in _children(value) if _is_kept(step["filter"], each)]
    if step["index"]:
        return _indexed(value, step["index"])
    key = step["key"].replace("\\.", ".") if step["key"] else step["quoted"][1:-1]
    if key == "*" and step["key"]:
        return _children(value)
    return [value[key]] if isinstance(value, dict) and key in value else []


def _indexed(value: Any, index: str) -> Iterable[Any]:
    if index == "*":
        return _children(value)
    if not isinstance(value, list):
        return []
    if ":" in index:
        bounds = [int(bound) if bound else None for bound in index.split(":")]
        return value[slice(*bounds)]
    chosen = [int(each) for each in index.split(",") if each]
    return [value[each] for each in chosen if -len(value) <= each < len(value)]


def _children(value: Any) -> Iterable[Any]:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _deep(value: Any, key: str) -> Iterator[Any]:
    if isinstance(value, dict) and key in value:
        yield value[key]
    for child in _children(value):
        if key == "*":
            yield child
        yield from _deep(child, key)


def _is_kept(condition: str, value: Any) -> bool:
    match = _FILTER.fullmatch(condition)
    if match is None:
        raise JsonPathError(f"the filter {condition!r} is not understood")
    found = _find(match["path"], value, value)
    if match["operator"] is None:
        return bool(found)
    return any(_compares(each, match["operator"], _literal(match["value"])) for each in found)


def _compares(left: Any, operator: str, right: Any) -> bool:
    if operator in ("==", "!="):
        return bool((left == right) == (operator == "=="))
    if type(left) is not type(right) and not (isinstance(left, int | float) and isinstance(right, int | float)):
        return False
    ordered = {"<": left < right, ">": left > right, "<=": left <= right, ">=": left >= right}
    return bool(ordered[operator])


def _literal(text: str) -> Any:
    if text[:1] in "\"'":
        return _unquoted(text)
    try:
        return json.loads(text)
    except ValueError as error:
        raise JsonPathError(f"{text!r} is no value: text stands in quotes") from error


def _unquoted(text: str) -> str:
    if text[0] != text[-1] or len(text) < 2:
        raise JsonPathError(f"{text} is not closed")
    inner = text[1:-1] if text[0] == '"' else text[1:-1].replace('"', '\\"')
    return str(json.loads(f'"{inner}"'))


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else json.dumps(value, ensure_ascii=False, separators=(",", ":"))
