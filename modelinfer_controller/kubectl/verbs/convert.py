"""The verb `convert`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from modelinfer_controller.kubectl.convert.conversion import CONVERTERS, Converted, Malformed, converted
from modelinfer_controller.kubectl.model.kubeconfig import failure
from modelinfer_controller.kubectl.render.output import as_yaml, say

_ENDINGS = (".yaml", ".yml", ".json")


def show_conversion(paths: Sequence[str], output: str, *, one_group: bool) -> int:
    """YAML with the notes as comments above each document; or a JSON list, with the notes on stderr."""
    documents = [document for path in paths for document in _documents(path)]
    try:
        results = converted(documents, one_group=one_group)
    except Malformed as malformed:
        raise failure(str(malformed)) from malformed
    if not any(result.source for result in results):
        kinds = ", ".join(sorted({kind for _, kind in CONVERTERS}))
        raise failure(f"there is nothing to convert: no {kinds}")
    if output == "json":
        bodies = [result.document for result in results]
        say(json.dumps({"apiVersion": "v1", "kind": "List", "items": bodies}, indent=2, ensure_ascii=False) + "\n")
    else:
        say("---\n".join(_as_text(result) for result in results))
    for line in _summary(results, with_notes=output == "json"):
        print(line, file=sys.stderr)
    return 0


def _as_text(result: Converted) -> str:
    title = [f"Converted from {result.source}."] if result.source else []
    lines = [*title, *map(str, result.notes)]
    return "".join(f"# {line}\n" for line in lines) + as_yaml(result.document)


def _summary(results: Sequence[Converted], *, with_notes: bool) -> Iterator[str]:
    for result in results:
        where = result.source or str(result.document.get("kind"))
        if with_notes:
            yield from (f"{where}: {note}" for note in result.notes)
        elif result.notes:
            count = len(result.notes)
            yield f"{where}: {count} {'field needs' if count == 1 else 'fields need'} a look; the comments say which"


def _documents(path: str) -> Iterator[Mapping[str, Any]]:
    """All of a file, of stdin ("-"), or of the manifests in a directory, in the order of their names. Raises Exit."""
    try:
        for text in _texts(path):
            for document in yaml.load_all(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)):
                if isinstance(document, dict):
                    yield from document.get("items") or [] if document.get("kind") == "List" else [document]
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise failure(f"cannot read {path}: {' '.join(str(error).split())}") from error


def _texts(path: str) -> Iterator[str]:
    if path == "-":
        yield sys.stdin.read()
    elif Path(path).is_dir():
        for file in sorted(Path(path).iterdir()):
            if file.suffix in _ENDINGS:
                yield file.read_text(encoding="utf-8")
    else:
        yield Path(path).read_text(encoding="utf-8")
