"""Output: text at once on stdout, or a document as JSON or YAML."""

import json
import sys
from datetime import datetime
from typing import Any

import msgspec
import yaml

from modelinfer_controller.kubectl.model.document import API_VERSION, Document

# libyaml's dumper is many times faster, and not in every build of PyYAML. What is repeated is repeated: no anchors.
_FASTEST_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)
_DUMPER: Any = type("_Dumper", (_FASTEST_DUMPER,), {"ignore_aliases": lambda dumper, data: True})


def as_yaml(content: Any) -> str:
    return str(yaml.dump(content, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120))


def render(kind: str, document: Document, output: str) -> str:
    """The document in the format "json" or "yaml", with its apiVersion and kind before it; ends in a newline."""
    content = {"apiVersion": API_VERSION, "kind": kind, **msgspec.to_builtins(document, enc_hook=_encode)}
    return as_yaml(content) if output == "yaml" else json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def _encode(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    raise TypeError(type(value))


def say(text: str) -> None:
    """On stdout, at once."""
    sys.stdout.write(text)
    sys.stdout.flush()
