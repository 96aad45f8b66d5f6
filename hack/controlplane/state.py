"""What a supervisor says of its control plane, in a file that others read."""

from __future__ import annotations

import dataclasses
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

Phase = Literal["starting", "ready", "failed"]


@dataclass(frozen=True)
class State:
    """`message` says what is being waited for, or why it failed. `pid_by_component` holds the supervisor too."""

    phase: Phase
    message: str = ""
    server: str = ""
    pid_by_component: dict[str, int] = field(default_factory=dict)


def write_state(path: Path, state: State) -> None:
    """Replace the file in one step: a reader sees the old state or the new one."""
    aside = path.with_suffix(".new")
    aside.write_text(json.dumps(dataclasses.asdict(state)))
    os.replace(aside, path)


def read_state(path: Path) -> State | None:
    """None where there is none yet."""
    try:
        return State(**json.loads(path.read_text()))
    except FileNotFoundError:
        return None
