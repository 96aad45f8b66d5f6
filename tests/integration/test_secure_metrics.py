"""Metrics over TLS: the API server says who sent a token, and its RBAC whether they may scrape."""

from __future__ import annotations

import http.client
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from controller_process import NAMESPACE, install
from controlplane import ControlPlane, Settings
from controlplane.processes import free_ports
from running_command import RunningCommand

MANIFESTS = Path(__file__).parents[2] / "manifests"
RBAC = MANIFESTS / "components" / "secure-metrics" / "rbac.yaml"


@pytest.fixture(scope="module")
def cluster() -> Iterator[ControlPlane]:
    with ControlPlane.start(Settings(nodes=1)) as control_plane:
        install(control_plane, MANIFESTS / "crd")
        for account in ("scraper", "guest"):
            control_plane.kubectl(f"--namespace={NAMESPACE}", "create", "serviceaccount", account)
        yield control_plane


@pytest.fixture(scope="module")
def secure_port(cluster: ControlPlane) -> Iterator[int]:
    cluster.kubectl("apply", "-f", str(RBAC))
    cluster.kubectl(
        "create",
        "clusterrolebinding",
        "scraper",
        "--clusterrole=modelinfer-metrics-reader",
        f"--serviceaccount={NAMESPACE}:scraper",
    )
    (port,) = free_ports(1)
    command = RunningCommand(cluster, f"--metrics-secure-bind-address=127.0.0.1:{port}")
    yield port
    command.end()


def scrape(port: int, token: str | None) -> tuple[int, str]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=10, context=context)
    try:
        connection.request("GET", "/metrics", headers={"Authorization": f"Bearer {token}"} if token else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()
    finally:
        connection.close()


def token_of(cluster: ControlPlane, account: str) -> str:
    return cluster.kubectl(f"--namespace={NAMESPACE}", "create", "token", account).strip()


def test_an_account_that_may_get_metrics_scrapes(cluster: ControlPlane, secure_port: int) -> None:
    status, text = scrape(secure_port, token_of(cluster, "scraper"))
    assert status == 200
    assert "workqueue_depth" in text


def test_an_account_that_may_not_is_refused(cluster: ControlPlane, secure_port: int) -> None:
    assert scrape(secure_port, token_of(cluster, "guest")) == (403, "forbidden\n")


@pytest.mark.parametrize("token", [None, "made-up"])
def test_who_is_nobody_is_refused(secure_port: int, token: str | None) -> None:
    assert scrape(secure_port, token) == (401, "unauthenticated\n")


def test_the_component_grants_no_more_than_the_two_reviews(cluster: ControlPlane) -> None:
    role = json.loads(cluster.kubectl("get", "clusterrole", "modelinfer-controller-scrape-authorization", "-o", "json"))
    assert [(rule["resources"], rule["verbs"]) for rule in role["rules"]] == [
        (["tokenreviews"], ["create"]),
        (["subjectaccessreviews"], ["create"]),
    ]
