"""Hooks of the site's builder: the examples' READMEs become pages, with links that work here and on the site.

In the repository a page links to `../manifests/examples/X/README.md`. On the site the same file is
`examples/X/README.md`.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[1]
# Folder in the repository -> folder on the site.
FOLDERS = {"manifests/examples": "examples", "manifests/gitops/argocd": "argocd"}
_MERMAID = re.compile(r"<!-- on the site: (\S+) -->\n```mermaid\n.*?\n```", re.DOTALL)
_SUFFIXES = {".md", ".yaml", ".lua", ""}


def on_files(files: Files, config: Any) -> Files:
    for source, target in FOLDERS.items():
        for path in sorted((ROOT / source).rglob("*")):
            if path.is_file() and path.suffix in _SUFFIXES:
                where = f"{target}/{path.relative_to(ROOT / source)}"
                files.append(File.generated(config, where, content=path.read_bytes()))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links out of `docs` into the folders above, and back; and drawn pictures in place of mermaid.

    The theme would fetch mermaid's script from elsewhere.
    """
    markdown = _MERMAID.sub(r"![What the diagram shows](\1)", markdown)
    depth = page.file.src_uri.count("/")
    up = "../" * depth
    for source, target in FOLDERS.items():
        markdown = re.sub(rf"\]\((?:\.\./)+{source}/", f"]({up}{target}/", markdown)
    return re.sub(r"\]\((?:\.\./)+docs/", f"]({up}", markdown)
