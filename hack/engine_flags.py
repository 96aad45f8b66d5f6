"""Which command-line flags a version of an inference engine has, read from its wheels: for the examples' test.

    python hack/engine_flags.py vllm-0.33.0-*.whl sglang-0.5.23-*.whl ... > tests/unit/examples/engine_flags.json

`pip download --no-deps --only-binary :all: PACKAGE==VERSION` fetches a wheel. Nothing of it is executed: flags are
string literals that look like flags, and, where a package derives them from the fields of a class, that class's fields.
"""

from __future__ import annotations

import ast
import json
import re
import sys
import zipfile
from collections.abc import Iterator

_FLAG = re.compile(r"--(?:no-)?[a-z0-9][a-z0-9_-]*\Z")
# In routers a prefix for embedding comes between the dashes and the name: f"--{prefix}policy".
_PREFIXED = re.compile(r"--\{prefix\}([a-z0-9-]+)")
_SOURCES = {
    "vllm": ("vllm/engine/arg_utils.py", "vllm/entrypoints/common/cli_args.py"),
    "sglang": ("sglang/srt/server_args.py", "sglang/srt/arg_groups/fields/"),
    "sglang_router": ("sglang_router/router_args.py",),
    "vllm_router": ("vllm_router/router_args.py",),
}
# Packages that derive flags from the fields of classes, and how the names of those classes end.
_CLASSES = {"sglang": "", "vllm": "FrontendArgs"}


def flags_of(wheel: str) -> tuple[str, list[str]]:
    """("package version", its flags in order)"""
    package, version = wheel.rpartition("/")[2].split("-")[:2]
    found: set[str] = set()
    with zipfile.ZipFile(wheel) as archive:
        for path in (
            name for name in archive.namelist() if name.startswith(_SOURCES[package]) and name.endswith(".py")
        ):
            source = archive.read(path).decode()
            found |= set(_literals(ast.parse(source))) | set(_fields(ast.parse(source), _CLASSES.get(package)))
            found |= {f"--{name}" for name in _PREFIXED.findall(source)}
    return f"{package} {version}", sorted(found)


def _literals(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and _FLAG.match(node.value):
            yield node.value


def _fields(tree: ast.Module, class_name: str | None) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and class_name is not None and node.name.endswith(class_name):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    yield f"--{field.target.id.replace('_', '-')}"


if __name__ == "__main__":
    json.dump(dict(flags_of(wheel) for wheel in sys.argv[1:]), sys.stdout, indent=1)
    print()
