"""The glossary's list of types: each public class of the product, where it is, and what its docstring says first."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "modelinfer_controller"
GLOSSARY = ROOT / "docs" / "glossary.md"
HEADING = "## Types\n"


class Entry(NamedTuple):
    name: str
    file: str
    meaning: str

    def __str__(self) -> str:
        meaning = " ".join(self.meaning.replace("|", "\\|").split())
        return f"| `{self.name}` | `{self.file}` | {meaning} |"


def entries() -> Iterator[Entry]:
    """By folder and file, each file's in the order in which it defines them."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                first = (ast.get_docstring(node) or "").partition("\n\n")[0]
                yield Entry(node.name, str(path.relative_to(PACKAGE)), first.rstrip("."))


def section() -> str:
    rows = "\n".join(map(str, entries()))
    return (
        f"{HEADING}\n"
        "Every public class, with the first line of its docstring; `python hack/glossary.py` writes this. A class\n"
        "that has the name of a type of Kubernetes or client-go is that type.\n\n"
        f"| type | in `modelinfer_controller/` | is |\n|---|---|---|\n{rows}\n"
    )


def text() -> str:
    """The whole glossary, with the list as it is to be."""
    words, _, _ = GLOSSARY.read_text().partition(HEADING)
    return f"{words.rstrip()}\n\n{section()}"


if __name__ == "__main__":
    GLOSSARY.write_text(text())
    sys.exit()
