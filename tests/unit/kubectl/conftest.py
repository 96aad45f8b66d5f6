"""Screens: text that a person has read, kept in files; UPDATE_SCREENS=1 writes them anew."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
import structlog

SCREENS = Path(__file__).parent / "screens"


@pytest.fixture(autouse=True)
def own_logging() -> Iterator[None]:
    """A command turns the libraries' logging off for its process, which here is that of other tests too."""
    yield
    structlog.reset_defaults()


@pytest.fixture
def screen() -> Callable[[str, Sequence[str]], None]:
    def compare(name: str, lines: Sequence[str]) -> None:
        path = SCREENS / f"{name}.txt"
        text = "\n".join(lines) + "\n"
        if os.environ.get("UPDATE_SCREENS"):
            path.parent.mkdir(exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert text == path.read_text(encoding="utf-8")

    return compare
