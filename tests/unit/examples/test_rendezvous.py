"""The scripts by which an entry pod learns its workers' addresses, run as processes on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .conftest import FOLDERS, documents

WITH_RENDEZVOUS = [folder for folder in FOLDERS if any("entry.py" in one.get("data", {}) for one in documents(folder))]


@pytest.fixture(params=WITH_RENDEZVOUS)
def scripts(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    (config,) = (one for one in documents(request.param) if one["kind"] == "ConfigMap")
    for name, content in config["data"].items():
        (tmp_path / name).write_text(content)
    return tmp_path


@pytest.fixture
def port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        number: int = free.getsockname()[1]
        return number


@pytest.fixture
def workers(scripts: Path, port: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Two, started before the entry: they wait for it. They come in the wrong order."""
    started = [
        subprocess.Popen(
            [sys.executable, str(scripts / "worker.py"), "localhost", str(port)],
            env={**os.environ, "WORKER_INDEX": index},
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in ("2", "1")
    ]
    yield started
    for process in started:
        process.kill()
        process.communicate()


def start_entry(scripts: Path, port: int, count: int) -> subprocess.Popen[str]:
    """In a session of its own: what it leaves behind is ended with it."""
    return subprocess.Popen(
        [sys.executable, str(scripts / "entry.py"), str(port), str(count)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def test_the_entry_learns_all_addresses_and_workers_end_with_it(
    scripts: Path, port: int, workers: list[subprocess.Popen[str]]
) -> None:
    entry = start_entry(scripts, port, 2)
    try:
        output, _ = entry.communicate(timeout=30)
        assert output.split() == ["127.0.0.1", "127.0.0.1"]
        assert entry.returncode == 0
        assert [process.poll() for process in workers] == [None, None]
    finally:
        os.killpg(entry.pid, signal.SIGKILL)
    for process in workers:
        assert process.wait(timeout=30) == 1
        assert process.stderr is not None
        assert "the entry pod is gone" in process.stderr.read()


def test_a_probe_of_the_port_is_no_worker(scripts: Path, port: int) -> None:
    entry = start_entry(scripts, port, 1)
    try:
        for greeting in (b"", b"GET / HTTP/1.1\r\n", b"1"):
            connection = connect(port)
            connection.sendall(greeting)
            if greeting != b"1":
                connection.close()
        output, _ = entry.communicate(timeout=30)
        assert output.split() == ["127.0.0.1"]
        connection.close()
    finally:
        os.killpg(entry.pid, signal.SIGKILL)


def connect(port: int) -> socket.socket:
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port), timeout=5)
        except ConnectionRefusedError:
            continue  # it has not begun to listen
