"""The short way into the cluster is taken where the kubeconfig asks for nothing else, and nowhere else."""

from __future__ import annotations

import http.server
import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from modelinfer_controller.kube.transport import Request, TransportError
from modelinfer_controller.kubectl.model.kubeconfig import Kubeconfig
from modelinfer_controller.kubectl.model.stdlib_transport import StdlibTransport, stdlib_transport


class Answering(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        answer: dict[str, Any] = {"path": self.path, "authorization": self.headers.get("Authorization")}
        if self.path == "/groups":
            answer["groups"] = self.headers.get_all("Impersonate-Group")
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None: ...


@pytest.fixture
def server() -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answering) as made:
        made.daemon_threads = True
        thread = threading.Thread(target=made.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{made.server_port}"
        made.shutdown()
        thread.join()


def made(server: str, user: dict[str, Any] | None = None, **cluster: Any) -> StdlibTransport | None:
    return stdlib_transport(Kubeconfig("", {"server": server, **cluster}, user or {}), {}, "test")


async def test_a_token_and_a_query_reach_the_server(server: str) -> None:
    transport = made(server, {"token": "secret\n"})
    assert transport is not None
    answer = await transport.request(Request("GET", "/api/v1/pods", {"labelSelector": "a=b"}, timeout=5))
    assert json.loads(answer.body) == {"path": "/api/v1/pods?labelSelector=a%3Db", "authorization": "Bearer secret"}
    await transport.close()


async def test_nobody_there_is_a_transport_error() -> None:
    transport = made("http://127.0.0.1:1")
    assert transport is not None
    with pytest.raises(TransportError, match="/version"):
        await transport.request(Request("GET", "/version", timeout=5))


@pytest.mark.parametrize(
    ("user", "cluster"),
    [
        ({"exec": {"command": "login"}}, {}),
        ({"auth-provider": {"name": "oidc"}}, {}),
        ({}, {"proxy-url": "http://proxy"}),
        ({}, {"tls-server-name": "other"}),
        ({"tokenFile": "/nonexistent/token"}, {}),
    ],
)
def test_what_asks_for_more_is_left_to_the_full_client(user: dict[str, Any], cluster: dict[str, Any]) -> None:
    assert made("http://127.0.0.1:1", user, **cluster) is None


def test_a_proxy_of_the_environment_is_left_to_the_full_client() -> None:
    assert stdlib_transport(Kubeconfig("", {"server": "http://x"}, {}), {"HTTPS_PROXY": "http://proxy"}, "test") is None


async def test_a_user_is_impersonated_with_several_groups(server: str) -> None:
    transport = made(server)
    assert transport is not None
    groups = [("Impersonate-Group", "ops"), ("Impersonate-Group", "night shift")]
    answer = await transport.request(Request("GET", "/groups", timeout=5, more_headers=groups))
    assert json.loads(answer.body)["groups"] == ["ops", "night shift"]
    await transport.close()
