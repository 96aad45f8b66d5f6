"""Lists in the documentation that are read off the code: every public type, and every file of the product.

Each has the first line of its docstring, so that what is said of it is said once. `--check` writes nothing, and fails
where a list does not have all that there is.
"""

import ast
import sys
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "modelinfer_controller"
GLOSSARY, ARCHITECTURE = ROOT / "docs" / "glossary.md", ROOT / "docs" / "architecture.md"
TYPES, FILES = "## Types\n", "## Files\n"


class Entry(NamedTuple):
    """name: of a class, or of a file in its folder. place: its file, or folder, below the package."""

    name: str
    place: str
    meaning: str


def types() -> Iterator[Entry]:
    """By folder and file, each file's in the order in which it defines them."""
    for path in sorted(PACKAGE.rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield Entry(node.name, str(path.relative_to(PACKAGE)), _first_line(ast.get_docstring(node)))


def files() -> Iterator[Entry]:
    """By folder. `__init__.py` says what a folder is."""
    for path in sorted(PACKAGE.rglob("*.py"), key=lambda path: (path.parent, path.name)):
        folder = str(path.parent.relative_to(PACKAGE))
        yield Entry(
            path.name, "" if folder == "." else folder, _first_line(ast.get_docstring(ast.parse(path.read_text())))
        )


def _first_line(docstring: str | None) -> str:
    return " ".join((docstring or "").partition("\n\n")[0].split()).rstrip(".").replace("|", "\\|")


def glossary() -> str:
    """The page, with the list as it is to be."""
    rows = "".join(f"| `{entry.name}` | `{entry.place}` | {entry.meaning} |\n" for entry in types())
    return _with_section(
        GLOSSARY,
        TYPES,
        "Every public class, with the first line of its docstring; `python hack/code_lists.py` writes this. A class\n"
        "that has the name of a type of Kubernetes or client-go is that type.\n\n"
        f"| type | in `modelinfer_controller/` | is |\n|---|---|---|\n{rows}",
    )


def architecture() -> str:
    """The page, with the list as it is to be."""
    tables = []
    for folder, entries in groupby(files(), key=lambda entry: entry.place):
        listed = list(entries)
        about = next((entry.meaning for entry in listed if entry.name == "__init__.py"), "")
        rows = "".join(f"| `{entry.name}` | {entry.meaning} |\n" for entry in listed if entry.name != "__init__.py")
        heading = f"### `modelinfer_controller/{folder}`" if folder else "### `modelinfer_controller`"
        tables.append(f"{heading}\n\n{about}.\n" + (f"\n| file | is |\n|---|---|\n{rows}" if rows else ""))
    return _with_section(
        ARCHITECTURE,
        FILES,
        "Every file, with the first line of its docstring; `python hack/code_lists.py` writes this.\n\n"
        + "\n".join(tables),
    )


def _with_section(page: Path, heading: str, section: str) -> str:
    before, _, _ = page.read_text().partition(heading)
    return f"{before.rstrip()}\n\n{heading}\n{section}"


def _names(text: str) -> set[str]:
    return {
        line.rpartition(" | ")[0] if " | " in line else line for line in text.splitlines() if line[:3] in ("| `", "###")
    }


def missing() -> set[str]:
    """Lines of the lists that are not there, or there for something that is gone."""
    pages = {GLOSSARY: glossary(), ARCHITECTURE: architecture()}
    return {name for page, text in pages.items() for name in _names(page.read_text()) ^ _names(text)}


def main(arguments: list[str]) -> int:
    if "--check" not in arguments:
        GLOSSARY.write_text(glossary())
        ARCHITECTURE.write_text(architecture())
        return 0
    found = missing()
    if found:
        print("python hack/code_lists.py is to be run for", *sorted(found), sep="\n  ", file=sys.stderr)
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
