"""kubectl's connection flags mean what they mean to kubectl."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from modelinfer_controller.exits import Exit
from modelinfer_controller.kube.transport import Request, Response
from modelinfer_controller.kubectl.model.access import namespace_of
from modelinfer_controller.kubectl.model.adjusted_transport import AdjustedTransport
from modelinfer_controller.kubectl.model.kubeconfig import ClusterFlags, names_in_kubeconfig, read_kubeconfig


@pytest.fixture
def environ(tmp_path: Path) -> Mapping[str, str]:
    document = {
        "current-context": "prod",
        "contexts": [
            {"name": "prod", "context": {"cluster": "east", "user": "alice", "namespace": "models"}},
            {"name": "test", "context": {"cluster": "west", "user": "bob"}},
        ],
        "clusters": [
            {"name": "east", "cluster": {"server": "https://east", "certificate-authority": "ca.crt"}},
            {"name": "west", "cluster": {"server": "https://west"}},
        ],
        "users": [
            {"name": "alice", "user": {"client-certificate-data": "Y2VydA==", "client-key-data": "a2V5"}},
            {"name": "bob", "user": {"token": "bobs"}},
        ],
    }
    path = tmp_path / "config"
    path.write_text(yaml.safe_dump(document))
    return {"KUBECONFIG": str(path)}


def test_the_current_context_with_paths_from_the_files_folder(environ: Mapping[str, str]) -> None:
    config = read_kubeconfig(ClusterFlags(), environ)
    folder = Path(environ["KUBECONFIG"]).parent
    assert config.cluster == {"server": "https://east", "certificate-authority": str(folder / "ca.crt")}
    assert namespace_of(ClusterFlags(), environ) == "models"
    assert namespace_of(ClusterFlags(context="test"), environ) == "default"
    assert namespace_of(ClusterFlags(context="test", namespace="other"), environ) == "other"


@pytest.mark.parametrize(
    ("flags", "server", "user"),
    [
        (ClusterFlags(context="test"), "https://west", {"token": "bobs"}),
        (ClusterFlags(cluster="west", user="bob"), "https://west", {"token": "bobs"}),
        (ClusterFlags(server="http://here", token="mine"), "http://here", {"token": "mine"}),
        (ClusterFlags(context="test", username="u", password="p"), "https://west", {"username": "u", "password": "p"}),
    ],
)
def test_flags_win_over_the_file(
    environ: Mapping[str, str], flags: ClusterFlags, server: str, user: dict[str, str]
) -> None:
    config = read_kubeconfig(flags, environ)
    assert config.cluster is not None
    assert (config.cluster["server"], config.user) == (server, user)


def test_trusting_any_certificate_leaves_the_authority_out(environ: Mapping[str, str]) -> None:
    config = read_kubeconfig(ClusterFlags(insecure_skip_tls_verify=True), environ)
    assert config.cluster == {"server": "https://east", "insecure-skip-tls-verify": True}


def test_a_server_and_a_token_need_no_file() -> None:
    flags = ClusterFlags(server="http://127.0.0.1:1", token="t", kubeconfig="/nonexistent")
    config = read_kubeconfig(flags, {})
    assert (config.cluster, config.user) == ({"server": "http://127.0.0.1:1"}, {"token": "t"})


def test_a_cluster_that_is_not_there_is_named(environ: Mapping[str, str]) -> None:
    with pytest.raises(Exit, match="no cluster 'north'"):
        read_kubeconfig(ClusterFlags(cluster="north"), environ)


def test_names_for_completion(environ: Mapping[str, str]) -> None:
    assert names_in_kubeconfig(ClusterFlags(), environ, "contexts") == ["prod", "test"]
    assert names_in_kubeconfig(ClusterFlags(), environ, "users") == ["alice", "bob"]


class Recording:
    def __init__(self) -> None:
        self.requests: list[Request] = []

    async def request(self, request: Request) -> Response:
        self.requests.append(request)
        return Response(200, b"{}")

    def stream(self, request: Request) -> Any:
        raise NotImplementedError

    async def close(self) -> None: ...


async def test_impersonation_and_the_time_limit_go_with_every_request(capsys: pytest.CaptureFixture[str]) -> None:
    inner = Recording()
    transport = AdjustedTransport(
        inner,
        headers=[("Impersonate-User", "eve"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b")],
        timeout=3.0,
        verbosity=6,
    )
    await transport.request(Request("GET", "/api/v1/pods", {"limit": "1"}, {"Accept": "x"}, timeout=30.0))
    (sent,) = inner.requests
    assert (sent.headers, sent.timeout) == ({"Accept": "x"}, 3.0)
    assert sent.more_headers == [("Impersonate-User", "eve"), ("Impersonate-Group", "a"), ("Impersonate-Group", "b")]
    assert capsys.readouterr().err.startswith("GET /api/v1/pods?limit=1 200 in ")
