"""`make demo` as its users see it: the steps, the summary, what can be done by hand, and nothing left at the end."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import sysconfig
import termios
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
KUBECTL = Path(sysconfig.get_path("scripts")) / "kubectl"
TIMEOUT = 120.0
WIDTH, HEIGHT = 80, 24
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def _hear_signals() -> None:
    """As in the foreground: what a shell starts in the background, these tests perhaps, is deaf to Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def _take_terminal() -> None:
    """The new session's own, so that Ctrl-C reaches it."""
    _hear_signals()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Demo:
    """The demo as a process: what it has printed so far, and an end of it whatever happens."""

    def __init__(self, *arguments: str, is_terminal: bool = False) -> None:
        ours, theirs = pty.openpty() if is_terminal else os.pipe()
        if is_terminal:
            fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", HEIGHT, WIDTH, 0, 0))
        environment = {
            name: value for name, value in os.environ.items() if name not in ("COLUMNS", "LINES", "NO_COLOR")
        }
        self.process = subprocess.Popen(
            [sys.executable, "-m", "demo", *arguments],
            cwd=ROOT,
            env={**environment, "PYTHONPATH": "hack", "TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
            stdin=theirs if is_terminal else subprocess.DEVNULL,
            stdout=theirs,
            stderr=theirs,
            start_new_session=True,
            preexec_fn=_take_terminal if is_terminal else _hear_signals,
        )
        os.close(theirs)
        self.terminal = ours
        self.output = ""
        self._undecoded = b""

    def read_until(self, text: str) -> None:
        deadline = time.monotonic() + TIMEOUT
        while text not in self.output:
            assert self._read(deadline), f"{text!r} is not in:\n{self.output}"

    def read_all(self) -> int:
        """To the end; the exit code."""
        deadline = time.monotonic() + TIMEOUT
        while self._read(deadline):
            pass
        return self.process.wait(TIMEOUT)

    def _read(self, deadline: float) -> bool:
        readable, _, _ = select.select([self.terminal], [], [], max(deadline - time.monotonic(), 0))
        assert readable, f"nothing more comes after:\n{self.output}"
        try:
            part = os.read(self.terminal, 65536)
        except OSError:  # how a pseudo-terminal tells that nobody has it open any more
            return False
        whole = self._undecoded + part
        self.output += (text := whole.decode(errors="ignore"))
        self._undecoded = whole[len(text.encode()) :] if part else b""
        return bool(part)

    @property
    def controller(self) -> int:
        found = re.search(r"controller runs \(pid (\d+)\)", self.output)
        assert found is not None
        return int(found[1])

    @property
    def kubeconfig(self) -> Path:
        found = re.search(r"export KUBECONFIG=(\S+)", self.output)
        assert found is not None
        return Path(found[1])

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        os.close(self.terminal)


@pytest.fixture
def demos() -> Iterator[list[Demo]]:
    """Every demo that a test starts."""
    started: list[Demo] = []
    yield started
    for demo in started:
        demo.close()


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def kubectl(demo: Demo, *arguments: str) -> str:
    command = [str(KUBECTL), f"--kubeconfig={demo.kubeconfig}", f"--cache-dir={demo.kubeconfig.parent}", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout


@pytest.mark.parametrize("cluster", ["simulated", "real"])
def test_all_acts_then_by_hand_then_nothing_is_left(demos: list[Demo], cluster: str) -> None:
    demos.append(demo := Demo("--keep", f"--cluster={cluster}"))
    demo.read_until("Ctrl-C ends it all.")

    assert re.findall(r"✓ (apply|scale-up|crash|rolling update)  [0-9.]+ s", demo.output) == [
        "apply",
        "scale-up",
        "crash",
        "rolling update",
    ]
    rows = re.findall(r"^ (\S.*?) +[0-9.]+ s +at least (\d) of (\d) +(\d+) +(\d+) *$", demo.output, re.MULTILINE)
    assert rows[1:] == [
        ("scale-up", "2", "3", "5", "10"),
        ("crash", "3", "3", "2", "13"),
        ("rolling update", "2", "3", "15", "0"),
    ]
    assert rows[0][0] == "apply"
    assert rows[0][2:] == ("2", "10", "0")

    assert kubectl(demo, "get", "mi", "--no-headers").split()[:4] == ["deepseek-pd", "3", "3", "3"]
    kubectl(demo, "scale", "mi/deepseek-pd", "--replicas=1")
    kubectl(demo, "wait", "mi/deepseek-pd", "--for=jsonpath={.status.replicas}=1", "--timeout=30s")

    folder = demo.kubeconfig.parent
    demo.process.send_signal(signal.SIGINT)
    assert demo.read_all() == 0
    assert not is_alive(demo.controller)
    assert not folder.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_demo_that_is_stopped_half_way_leaves_nothing(demos: list[Demo], number: signal.Signals) -> None:
    demos.append(demo := Demo())
    demo.read_until("controller runs")

    demo.process.send_signal(number)

    assert demo.read_all() == 128 + number
    assert "Traceback" not in demo.output
    assert not is_alive(demo.controller)


def test_a_controller_that_ends_is_told(demos: list[Demo]) -> None:
    demos.append(demo := Demo())
    demo.read_until("controller runs")

    os.kill(demo.controller, signal.SIGKILL)

    assert demo.read_all() == 1
    assert "demo: the controller ended with code -9" in demo.output


def test_on_a_terminal_the_tree_fits_and_the_cursor_comes_back(demos: list[Demo]) -> None:
    demos.append(demo := Demo(is_terminal=True))
    demo.read_until("worker 1")  # short names: the terminal is narrow
    demo.read_until("scale-up")
    os.write(demo.terminal, b"\x03")

    assert demo.read_all() == 128 + signal.SIGINT
    drawings = demo.output.split("\x1b[?2026h")[1:]
    assert drawings
    for drawing in drawings:
        lines = _CONTROL.sub("", drawing.partition("\x1b[?2026l")[0]).splitlines()
        assert len(lines) < HEIGHT
        assert all(len(line) <= WIDTH for line in lines), lines
    assert demo.output.rindex("\x1b[?25h") > demo.output.rindex("\x1b[?25l")
    assert not is_alive(demo.controller)
