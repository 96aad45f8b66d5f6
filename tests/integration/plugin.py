"""`kubectl modelinfer`, run by the real kubectl, which finds the plugin on the PATH."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from controlplane.kubectl import find_kubectl

BIN = Path(sys.executable).parent


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str


class Plugin:
    """In one namespace, with the rights of one kubeconfig."""

    def __init__(self, kubeconfig: Path, namespace: str) -> None:
        self.kubeconfig = kubeconfig
        self.namespace = namespace

    def run(self, *arguments: str, columns: int | None = None, input: str | None = None, timeout: float = 60.0) -> Done:
        environ = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "KUBECONFIG": str(self.kubeconfig)}
        if columns is not None:
            environ["COLUMNS"] = str(columns)
        command = [str(find_kubectl()), "modelinfer", *arguments, f"--namespace={self.namespace}"]
        done = subprocess.run(
            command, env=environ, input=input, capture_output=True, text=True, timeout=timeout, check=False
        )
        return Done(done.returncode, done.stdout, done.stderr)

    def document(self, *arguments: str) -> Any:
        """What `-o json` prints; exit codes 0 and 2 are answers."""
        done = self.run(*arguments, "--output=json")
        assert done.code in (0, 2), done.err
        return json.loads(done.out)

    def explain(self, name: str) -> Any:
        return self.document("explain", name)

    def explain_until(self, name: str, reason: str, group: int = 0, timeout: float = 30.0) -> Any:
        """The explanation of that group as soon as it has that reason."""
        deadline = time.monotonic() + timeout
        while True:
            told = self.explain(name)
            for each in told["groups"]:
                if each["ordinal"] == group and each["reason"] == reason:
                    return each
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"group {group} of {name} is not explained by {reason}: {json.dumps(told, indent=1)}"
                )
            time.sleep(0.3)

    @contextmanager
    def following(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A verb that goes on; its output is a pipe. Ended at the end if it has not ended itself."""
        environ = {**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "KUBECONFIG": str(self.kubeconfig)}
        command = [str(BIN / "kubectl-modelinfer"), *arguments, f"--namespace={self.namespace}"]
        with subprocess.Popen(
            command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as process:
            try:
                yield process
            finally:
                process.terminate()
