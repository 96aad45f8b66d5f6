"""Durations as Kubernetes users write them: 15s, 1m30s, 500ms. source: Go, time.ParseDuration"""

import re
from datetime import timedelta
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "ns": 1e-9}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|us|µs|ns|h|m|s)")
_WHOLE = re.compile(rf"(?:{_PART.pattern})+")


def parse_duration(text: str) -> timedelta:
    """Raises ValueError, with a message for people.

    >>> parse_duration("1m30s").total_seconds()
    90.0
    """
    if text == "0":
        return timedelta()
    if not _WHOLE.fullmatch(text):
        raise ValueError(f"{text!r} is not a duration such as 15s, 1m30s or 500ms")
    return timedelta(seconds=sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(text)))


def format_duration(duration: timedelta) -> str:
    """In seconds; `parse_duration` reads it."""
    return f"{duration.total_seconds():g}s"


def _parsed(value: object) -> object:
    return parse_duration(value) if isinstance(value, str) else value


Duration = Annotated[timedelta, BeforeValidator(_parsed), PlainSerializer(format_duration, return_type=str)]
