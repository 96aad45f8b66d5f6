"""Whether two outputs say the same, whatever differs each time."""

from __future__ import annotations

import re
from collections.abc import Iterable

# What is applied may have been there before. Chance are the group that answers, times, ages, addresses and hashes.
_REPLACED = (
    (re.compile(r" (created|configured|unchanged)$"), " APPLIED"),
    (re.compile(r"quickstart-\d+-(prefill|decode)"), r"quickstart-G-\1"),
    (re.compile(r"cmpl-[0-9a-f]+"), "ID"),
    (re.compile(r"-[0-9a-f]{8,10}(-[0-9a-z]{5})?\b"), "-HASH"),
    (re.compile(r"\b[0-9a-f]{10}\b"), "HASH"),
    (re.compile(r"\b(\d+h)?(\d+m)?\d+s\b|\b\d+m\b"), "AGE"),
    (re.compile(r'"created": \d+'), "TIME"),
    (re.compile(r"\breal-\d+"), "NODE"),
    (re.compile(r"\d+\.\d+\.\d+\.\d+"), "ADDRESS"),
    (re.compile(r" {2,}"), " "),
)


def essence(lines: Iterable[str]) -> list[str]:
    """The lines without what differs each time, in an order that does not depend on it."""
    return sorted(_without_chance(line) for line in lines)


def _without_chance(line: str) -> str:
    for pattern, word in _REPLACED:
        line = pattern.sub(word, line)
    return line.strip()
