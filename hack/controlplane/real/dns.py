"""The objects of cluster DNS: CoreDNS as a Deployment of one pod on a real node."""

from __future__ import annotations

from typing import Any

from controlplane.real.addresses import DNS_DOMAIN, DNS_SERVICE

IMAGE = "local/coredns:1"
REAL_NODE_LABEL = "modelinfer.dev/node"
_NAMESPACE = "kube-system"
_NAME = "coredns"
_LABELS = {"k8s-app": "kube-dns"}
_COREFILE = f"""\
.:53 {{
    errors
    health
    ready
    kubernetes {DNS_DOMAIN} in-addr.arpa {{
        pods insecure
        ttl 5
    }}
    cache 5
    loadbalance
}}
"""
DEPLOYMENT_PATH = f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments/{_NAME}"


def objects() -> list[tuple[str, dict[str, Any]]]:
    """Each object, with the path to post it to."""
    rbac = "/apis/rbac.authorization.k8s.io/v1"
    return [
        (f"/api/v1/namespaces/{_NAMESPACE}/serviceaccounts", _named()),
        (f"{rbac}/clusterroles", {**_named(None), "rules": _rules()}),
        (f"{rbac}/clusterrolebindings", {**_named(None), **_binding()}),
        (f"/api/v1/namespaces/{_NAMESPACE}/configmaps", {**_named(), "data": {"Corefile": _COREFILE}}),
        (f"/apis/apps/v1/namespaces/{_NAMESPACE}/deployments", {**_named(), "spec": _deployment()}),
        (f"/api/v1/namespaces/{_NAMESPACE}/services", {**_named(name="kube-dns"), "spec": _service()}),
    ]


def _named(namespace: str | None = _NAMESPACE, name: str = _NAME) -> dict[str, Any]:
    return {"metadata": {"name": name, "labels": _LABELS, **({"namespace": namespace} if namespace else {})}}


def _rules() -> list[dict[str, Any]]:
    return [
        {"apiGroups": [""], "resources": ["services", "pods", "namespaces"], "verbs": ["list", "watch"]},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": ["list", "watch"]},
    ]


def _binding() -> dict[str, Any]:
    return {
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": _NAME},
        "subjects": [{"kind": "ServiceAccount", "name": _NAME, "namespace": _NAMESPACE}],
    }


def _deployment() -> dict[str, Any]:
    return {
        "replicas": 1,
        "selector": {"matchLabels": _LABELS},
        "template": {"metadata": {"labels": _LABELS}, "spec": _pod()},
    }


def _pod() -> dict[str, Any]:
    container = {
        "name": _NAME,
        "image": IMAGE,
        "imagePullPolicy": "Never",
        "args": ["-conf", "/etc/coredns/Corefile"],
        "volumeMounts": [{"name": "configuration", "mountPath": "/etc/coredns"}],
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8181}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/health", "port": 8080}, "periodSeconds": 10, "failureThreshold": 6},
    }
    # Tolerating every taint would bind it to a dead node for ever; these let it leave one after two seconds.
    tolerations = [
        {"key": f"node.kubernetes.io/{taint}", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2}
        for taint in ("not-ready", "unreachable")
    ]
    return {
        "serviceAccountName": _NAME,
        "dnsPolicy": "Default",
        "priorityClassName": "system-cluster-critical",
        "nodeSelector": {REAL_NODE_LABEL: "real"},
        "tolerations": tolerations,
        "terminationGracePeriodSeconds": 1,
        "containers": [container],
        "volumes": [{"name": "configuration", "configMap": {"name": _NAME}}],
    }


def _service() -> dict[str, Any]:
    ports = [{"name": f"dns-{p.lower()}", "port": 53, "protocol": p} for p in ("UDP", "TCP")]
    return {"selector": _LABELS, "clusterIP": DNS_SERVICE, "ports": ports}
