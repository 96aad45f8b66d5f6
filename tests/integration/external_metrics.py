"""The external metrics API as an adapter serves it, with values that a test sets, behind the aggregation layer."""

from __future__ import annotations

import datetime
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import yaml
from controlplane import ControlPlane

GROUP, VERSION = "external.metrics.k8s.io", "v1beta1"
PREFIX = f"/apis/{GROUP}/{VERSION}"
CERTIFICATES = Path(__file__).parent / "kube"
SERVICE = {"name": "external-metrics", "namespace": "kube-system"}


class ExternalMetrics:
    """values: by the metric's name; a metric without one is not found."""

    def __init__(self) -> None:
        self.values: dict[str, int] = {}

    def answer(self, path: str) -> tuple[int, dict[str, object]]:
        resource = path.partition("?")[0]
        if resource == PREFIX:
            return 200, {
                "kind": "APIResourceList",
                "apiVersion": "v1",
                "groupVersion": f"{GROUP}/{VERSION}",
                "resources": [],
            }
        name = resource.rpartition("/")[2]
        if name not in self.values:
            return 404, {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "NotFound", "code": 404}
        now = datetime.datetime.now(datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        item = {"metricName": name, "metricLabels": {}, "timestamp": now, "value": str(self.values[name])}
        return 200, {
            "kind": "ExternalMetricValueList",
            "apiVersion": f"{GROUP}/{VERSION}",
            "metadata": {},
            "items": [item],
        }


@contextmanager
def external_metrics(control_plane: ControlPlane) -> Iterator[ExternalMetrics]:
    """Served on the loopback, where the API server finds it by a Service of type ExternalName."""
    metrics = ExternalMetrics()
    server = _server(metrics)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    manifests = yaml.safe_dump_all(_manifests(server.server_port))
    control_plane.kubectl("apply", "-f-", input=manifests)
    try:
        control_plane.kubectl("wait", f"apiservice/{VERSION}.{GROUP}", "--for=condition=Available", "--timeout=60s")
        yield metrics
    finally:
        control_plane.kubectl("delete", "-f-", input=manifests)
        server.shutdown()
        server.server_close()
        thread.join()


def _server(metrics: ExternalMetrics) -> ThreadingHTTPServer:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, content = metrics.answer(self.path)
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None: ...

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "loopback.pem", CERTIFICATES / "loopback.key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True)
    return server


def _manifests(port: int) -> list[dict[str, object]]:
    return [
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": SERVICE,
            "spec": {"type": "ExternalName", "externalName": "localhost", "ports": [{"port": port}]},
        },
        {
            "apiVersion": "apiregistration.k8s.io/v1",
            "kind": "APIService",
            "metadata": {"name": f"{VERSION}.{GROUP}"},
            "spec": {
                "group": GROUP,
                "version": VERSION,
                "groupPriorityMinimum": 100,
                "versionPriority": 100,
                "insecureSkipTLSVerify": True,
                "service": {**SERVICE, "port": port},
            },
        },
    ]
