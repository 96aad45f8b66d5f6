"""A server that answers with the objects of one cluster, so that a verb runs from its command line to its exit code."""

from __future__ import annotations

import io
import json
import re
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from clusters import Cluster

from modelinfer_controller.kubectl.cli import main

TIME = re.compile(r'"(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(?:\.\d+)?Z)"')
OWN = "/apis/workload.volcano.sh/v1alpha1"

Answer = tuple[int, bytes]  # status and body


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def document(self) -> Any:
        return json.loads(self.out)


class Server(ThreadingHTTPServer):
    """Says nothing of clients that hang up: that would stand in the verb's own output."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None: ...


class Verbs:
    """Runs verbs against the served cluster, whose fixed time is moved to the present."""

    def __init__(self, url: str, columns: int = 80) -> None:
        self._url = url
        self._columns = columns

    def __call__(self, *arguments: str) -> Done:
        out, err = io.StringIO(), io.StringIO()
        command = ["kubectl-modelinfer", *arguments, f"--server={self._url}", "--namespace=models"]
        with pytest.MonkeyPatch.context() as patched, redirect_stdout(out), redirect_stderr(err):
            patched.setenv("KUBECONFIG", "/dev/null")
            patched.setenv("COLUMNS", str(self._columns))
            patched.setattr(sys, "argv", command)
            with pytest.raises(SystemExit) as ended:
                sys.exit(main.run_plugin())
        return Done(int(ended.value.code or 0), out.getvalue(), err.getvalue())


@contextmanager
def answering(answer: Callable[[str], Answer]) -> Iterator[str]:
    """The URL of a server that answers every request in this way."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            code, body = answer(self.path.partition("?")[0])
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_PATCH = do_DELETE = do_GET

        def log_message(self, format: str, *args: Any) -> None: ...

    server = Server(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def served(
    cluster: Cluster,
    texts: Mapping[str, str] = MappingProxyType({}),
    refused: Mapping[str, str] = MappingProxyType({}),
) -> Iterator[str]:
    """The URL. Its kinds can be read, and nothing can be watched or written.

    texts: what else it answers, by path. refused: what it answers with 403, by path.
    """
    answers = {path: json.dumps(body).encode() for path, body in _answers(cluster).items()}
    answers |= {path: text.encode() for path, text in texts.items()}

    def answer(path: str) -> Answer:
        if path in refused:
            return 403, refused[path].encode()
        body = answers.get(path)
        missing = b'{"kind":"Status","reason":"NotFound","code":404,"message":"not found"}'
        return (404, missing) if body is None else (200, body)

    with answering(answer) as url:
        yield url


def _answers(cluster: Cluster) -> Mapping[str, Any]:
    late = datetime.now(UTC) - cluster.now
    stored = {**_plain(cluster.stored, late), "kind": "ModelInfer", "apiVersion": OWN.removeprefix("/apis/")}
    lists: Mapping[str, list[Any]] = {
        f"{OWN}/namespaces/models/modelinfers": [stored],
        "/api/v1/namespaces/models/pods": [_plain(pod, late) for pod in cluster.pods.values()],
        "/api/v1/namespaces/models/services": [_plain(each, late) for each in cluster.services.values()],
        "/apis/apps/v1/namespaces/models/controllerrevisions": [
            _plain(each, late) for each in cluster.revisions.values()
        ],
        "/api/v1/nodes": [_plain(node, late) for node in cluster.nodes.values()],
        "/api/v1/namespaces/models/events": [],
    }
    answers: dict[str, Any] = {path: {"metadata": {}, "items": items} for path, items in lists.items()}
    answers[f"{OWN}/namespaces/models/modelinfers/{cluster.stored.metadata.name}"] = stored
    return answers


def _plain(obj: Any, late: timedelta) -> Any:
    def moved(match: re.Match[str]) -> str:
        return f'"{(datetime.fromisoformat(match[1]) + late).isoformat().replace("+00:00", "Z")}"'

    return json.loads(TIME.sub(moved, msgspec.json.encode(obj).decode()))
