"""Carries out the steps of a Dockerfile's stage without Docker: in a folder, with the image's paths mapped into it.

What that does not show: the base image, and the layers' file modes.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction, lines joined; `rest` is everything behind the keyword."""

    keyword: str
    rest: str

    def exec_form(self) -> list[str]:
        """The JSON list of an ENTRYPOINT or CMD."""
        parsed = json.loads(self.rest)
        assert isinstance(parsed, list)
        return parsed


def parse(dockerfile: Path) -> list[list[Instruction]]:
    """The stages, each from its FROM on; ARGs before the first are a stage of their own."""
    text = re.sub(r"\\\n\s*", " ", dockerfile.read_text())
    stages: list[list[Instruction]] = [[]]
    for line in text.splitlines():
        if not line.strip() or line.startswith("#"):
            continue
        keyword, _, rest = line.partition(" ")
        if keyword == "FROM":
            stages.append([])
        stages[-1].append(Instruction(keyword, rest.strip()))
    return stages


def carry_out(stage: list[Instruction], context: Path, root: Path, python: Path) -> None:
    """RUN, COPY and WORKDIR of a stage; absolute paths of the image lie below root. Raises CalledProcessError."""
    working_folder = root
    tools = root / "usr" / "bin"
    tools.mkdir(parents=True)
    (tools / "python").symlink_to(python)
    for instruction in stage:
        match instruction.keyword:
            case "WORKDIR":
                working_folder = root / instruction.rest.lstrip("/")
                working_folder.mkdir(parents=True, exist_ok=True)
            case "COPY":
                source, target = shlex.split(instruction.rest)
                _copy(context / source, working_folder / target)
            case "RUN":
                command = re.sub(r"(?<![\w.])/app\b", str(root / "app"), instruction.rest)
                environ = {"PATH": f"{tools}:/usr/bin:/bin", "HOME": str(root), **_network_settings()}
                subprocess.run(["/bin/sh", "-c", command], cwd=working_folder, env=environ, check=True)
            case "FROM" | "ARG":
                pass
            case other:
                raise AssertionError(f"a step that cannot be carried out here: {other}")


def _network_settings() -> dict[str, str]:
    """What a build would be given as arguments to get packages with: mirrors and proxies."""
    return {name: value for name, value in os.environ.items() if name.startswith("PIP_") or "PROXY" in name.upper()}


def _copy(source: Path, target: Path) -> None:
    if source.is_dir():
        shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
    else:
        shutil.copy(source, target)
