"""A pod spec with fields of every kind that Kubernetes defaults, as users write it and as the API server keeps it."""

from typing import Any

WRITTEN: dict[str, Any] = {
    "initContainers": [{"name": "fetch", "image": "fetch@sha256:" + "0" * 64, "restartPolicy": "Always"}],
    "containers": [
        {
            "name": "main",
            "image": "vllm:v1",
            "ports": [{"containerPort": 8000}],
            "env": [
                {"name": "EMPTY"},
                {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
                {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu"}}},
            ],
            "resources": {"limits": {"cpu": "2000m", "memory": "1Gi"}},
            "readinessProbe": {"httpGet": {"port": 8000}},
            "livenessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 3},
            "startupProbe": {"grpc": {"port": 8001}},
            "lifecycle": {"preStop": {"httpGet": {"port": 8000}}},
            "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
            "securityContext": {"runAsNonRoot": True},
        },
        {"name": "side", "image": "side"},
    ],
    "volumes": [
        {"name": "cache"},
        {"name": "secret", "secret": {"secretName": "s"}},
        {"name": "config", "configMap": {"name": "c"}},
        {"name": "down", "downwardAPI": {"items": [{"path": "p", "fieldRef": {"fieldPath": "metadata.name"}}]}},
        {"name": "token", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}},
        {"name": "host", "hostPath": {"path": "/data"}},
        {
            "name": "own",
            "ephemeral": {
                "volumeClaimTemplate": {
                    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
                }
            },
        },
        {"name": "model", "image": {"reference": "models/llama:v1"}},
    ],
}

KEPT: dict[str, Any] = {
    "restartPolicy": "Always",
    "dnsPolicy": "ClusterFirst",
    "schedulerName": "default-scheduler",
    "securityContext": {},
    "terminationGracePeriodSeconds": 30,
    "enableServiceLinks": True,
    "initContainers": [
        {
            "name": "fetch",
            "image": "fetch@sha256:" + "0" * 64,
            "restartPolicy": "Always",
            "imagePullPolicy": "IfNotPresent",
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        }
    ],
    "containers": [
        {
            "name": "main",
            "image": "vllm:v1",
            "imagePullPolicy": "IfNotPresent",
            "ports": [{"containerPort": 8000, "protocol": "TCP"}],
            "env": [
                {"name": "EMPTY", "value": ""},
                {"name": "POD", "valueFrom": {"fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}},
                {"name": "CPUS", "valueFrom": {"resourceFieldRef": {"resource": "limits.cpu", "divisor": "0"}}},
            ],
            "resources": {"limits": {"cpu": 2, "memory": "1Gi"}, "requests": {"cpu": "2", "memory": "1024Mi"}},
            "readinessProbe": {
                "httpGet": {"path": "/", "port": 8000, "scheme": "HTTP"},
                "timeoutSeconds": 1,
                "periodSeconds": 10,
                "successThreshold": 1,
                "failureThreshold": 3,
            },
            "livenessProbe": {
                "tcpSocket": {"port": 8000},
                "timeoutSeconds": 1,
                "periodSeconds": 3,
                "successThreshold": 1,
                "failureThreshold": 3,
            },
            "startupProbe": {
                "grpc": {"port": 8001, "service": ""},
                "timeoutSeconds": 1,
                "periodSeconds": 10,
                "successThreshold": 1,
                "failureThreshold": 3,
            },
            "lifecycle": {"preStop": {"httpGet": {"path": "/", "port": 8000, "scheme": "HTTP"}}},
            "volumeMounts": [{"name": "cache", "mountPath": "/cache"}],
            "securityContext": {"runAsNonRoot": True},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
            "resizePolicy": [{"resourceName": "cpu", "restartPolicy": "NotRequired"}],
        },
        {
            "name": "side",
            "image": "side",
            "imagePullPolicy": "Always",
            "resources": {},
            "terminationMessagePath": "/dev/termination-log",
            "terminationMessagePolicy": "File",
        },
    ],
    "volumes": [
        {"name": "cache", "emptyDir": {}},
        {"name": "secret", "secret": {"secretName": "s", "defaultMode": 420}},
        {"name": "config", "configMap": {"name": "c", "defaultMode": 420}},
        {
            "name": "down",
            "downwardAPI": {
                "items": [{"path": "p", "fieldRef": {"apiVersion": "v1", "fieldPath": "metadata.name"}}],
                "defaultMode": 420,
            },
        },
        {
            "name": "token",
            "projected": {
                "sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 3600}}],
                "defaultMode": 420,
            },
        },
        {"name": "host", "hostPath": {"path": "/data", "type": ""}},
        {
            "name": "own",
            "ephemeral": {
                "volumeClaimTemplate": {
                    "spec": {
                        "accessModes": ["ReadWriteOnce"],
                        "resources": {"requests": {"storage": "1Gi"}},
                        "volumeMode": "Filesystem",
                    }
                }
            },
        },
        {"name": "model", "image": {"reference": "models/llama:v1", "pullPolicy": "IfNotPresent"}},
    ],
}
