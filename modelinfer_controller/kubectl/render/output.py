"""Output: text at once on stdout, or a document as JSON, YAML, names, or through a JSONPath template."""

import errno
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec

from modelinfer_controller.api import modelinfer
from modelinfer_controller.kubectl.model.document import API_VERSION, Document
from modelinfer_controller.kubectl.model.kubeconfig import failure
from modelinfer_controller.kubectl.render.terminal import Terminal, terminal_of

WIDE = "wide"
TYPE = f"{modelinfer.KIND.lower()}.{modelinfer.API_VERSION.partition('/')[0]}"


def show(kind: str, document: Document, output: str | None, lines: Callable[[Terminal], Iterable[str]]) -> None:
    """The document in the format that -o names, or its lines for people (-o wide: nothing is cut)."""
    if output in (None, WIDE):
        terminal = terminal_of()
        say("".join(f"{line}\n" for line in lines(terminal.unlimited() if output == WIDE else terminal)))
    else:
        say(render(kind, document, output or ""))


def render(kind: str, document: Document, output: str) -> str:
    """The document with its apiVersion and kind before it; ends in a newline but for JSONPath, as kubectl's does."""
    return formatted({"apiVersion": API_VERSION, "kind": kind, **builtins_of(document)}, output)


def builtins_of(document: Document) -> dict[str, Any]:
    """The document as JSON would have it; times are RFC 3339 in UTC."""
    content: dict[str, Any] = msgspec.to_builtins(document, enc_hook=_encode, builtin_types=(datetime,))
    return {key: _times(value) for key, value in content.items()}


def formatted(content: Mapping[str, Any], output: str) -> str:
    """output: json, yaml, name, or jsonpath=TEMPLATE."""
    if output == "yaml":
        return as_yaml(content)
    if output == "name":
        return "".join(f"{TYPE}/{name}\n" for name in _names(content))
    if output.startswith("jsonpath="):
        from modelinfer_controller.kubectl.render.jsonpath import JsonPathError, evaluate

        try:
            return evaluate(output.removeprefix("jsonpath="), content)
        except JsonPathError as error:
            raise failure(f"the JSONPath template: {error}") from error
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def as_yaml(content: Any) -> str:
    import yaml

    # libyaml's dumper is many times faster, and not in every build of PyYAML. What is repeated is repeated: no anchors.
    fastest = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
    dumper: Any = type("_Dumper", (fastest,), {"ignore_aliases": lambda dumper, data: True})
    return str(yaml.dump(content, Dumper=dumper, sort_keys=False, allow_unicode=True, width=120))


def say(text: str) -> None:
    """On stdout, at once. Raises Exit where it cannot be written, as on a full disk."""
    try:
        sys.stdout.write(text)
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still buffered has nowhere to go
        reason = os.strerror(error.errno or errno.EIO)
        raise failure(f"cannot write the output: {reason}") from error


def write_file(path: str, content: str | bytes) -> None:
    """Text as UTF-8. Raises Exit where it cannot be written."""
    try:
        Path(path).write_bytes(content.encode() if isinstance(content, str) else content)
    except OSError as error:
        raise failure(f"cannot write {path}: {error.strerror}") from error


def _names(content: Mapping[str, Any]) -> Iterator[str]:
    if "items" in content:
        yield from (str(item["name"]) for item in content["items"])
    else:
        yield str(content.get("name") or content["metadata"]["name"])


def _times(value: Any) -> Any:
    match value:
        case datetime():
            return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
        case dict():
            return {key: _times(each) for key, each in value.items()}
        case list() | tuple():
            return [_times(each) for each in value]
        case _:
            return value


def _encode(value: Any) -> Any:
    raise TypeError(type(value))
