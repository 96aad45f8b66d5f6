"""Manifests of other projects, each with every field that its API has and a user may set."""

from __future__ import annotations

from typing import Any

POD: dict[str, Any] = {
    "containers": [
        {
            "name": "vllm",
            "image": "vllm/vllm-openai:v0.33.0",
            "command": ["vllm", "serve"],
            "args": ["model", "--master-addr=$(LWS_LEADER_ADDRESS)"],
            "ports": [{"containerPort": 8000}],
        }
    ]
}

LEADER_WORKER_SET: dict[str, Any] = {
    "apiVersion": "leaderworkerset.x-k8s.io/v1",
    "kind": "LeaderWorkerSet",
    "metadata": {
        "name": "vllm",
        "namespace": "models",
        "uid": "1",
        "labels": {"app": "vllm"},
        "annotations": {
            "leaderworkerset.sigs.k8s.io/exclusive-topology": "rack",
            "kubectl.kubernetes.io/last-applied-configuration": "{}",
        },
    },
    "spec": {
        "replicas": 3,
        "startupPolicy": "LeaderReady",
        "networkConfig": {"subdomainPolicy": "Shared"},
        "rolloutStrategy": {
            "type": "RollingUpdate",
            "rollingUpdateConfiguration": {"maxUnavailable": "50%", "maxSurge": 1, "partition": 2},
        },
        "leaderWorkerTemplate": {
            "size": 4,
            "restartPolicy": "RecreateGroupOnPodRestart",
            "subGroupPolicy": {"subGroupSize": 2},
            "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
            "leaderTemplate": {"metadata": {"labels": {"role": "leader"}, "finalizers": ["x/y"]}, "spec": POD},
            "workerTemplate": {"spec": POD},
        },
    },
    "status": {"replicas": 3},
}

MODEL_SERVING: dict[str, Any] = {
    "apiVersion": "workload.serving.volcano.sh/v1alpha1",
    "kind": "ModelServing",
    "metadata": {"name": "pd"},
    "spec": {
        "replicas": 2,
        "recoveryPolicy": "ServingGroupRecreate",
        "plugins": [{"name": "lws-labels", "type": "BuiltIn"}],
        "rolloutStrategy": {
            "type": "ServingGroupRollingUpdate",
            "rollingUpdateConfiguration": {"maxUnavailable": 2, "partition": "50%"},
        },
        "template": {
            "restartGracePeriodSeconds": 60,
            "gangPolicy": {"minRoleReplicas": {"prefill": 1}},
            "networkTopology": {
                "groupPolicy": {"mode": "hard", "highestTierAllowed": 1},
                "rolePolicy": {"mode": "soft"},
            },
            "roles": [
                {
                    "name": "prefill",
                    "replicas": 2,
                    "workerReplicas": 1,
                    "maxUnavailable": 1,
                    "entryTemplate": {"metadata": {"labels": {"app": "pd"}}, "spec": POD},
                    "workerTemplate": {"spec": POD},
                },
                {"name": "decode", "workerReplicas": 0, "entryTemplate": {"spec": POD}},
            ],
        },
    },
}

ROLE_BASED_GROUP: dict[str, Any] = {
    "apiVersion": "workloads.x-k8s.io/v1alpha2",
    "kind": "RoleBasedGroup",
    "metadata": {
        "name": "pd",
        "annotations": {
            "rbg.workloads.x-k8s.io/group-gang-scheduling": "true",
            "rbg.workloads.x-k8s.io/group-gang-scheduling-volcano-queue": "gpu",
            "rbg.workloads.x-k8s.io/group-exclusive-topology": "rack",
            "team": "search",
        },
    },
    "spec": {
        "roleTemplates": [
            {
                "name": "base",
                "template": {
                    "metadata": {"labels": {"app": "pd"}},
                    "spec": {
                        "containers": [
                            {
                                "name": "sglang",
                                "image": "lmsysorg/sglang:v0.5.23",
                                "args": ["--dist-init-addr=$(RBG_LWP_LEADER_ADDRESS):5000"],
                                "env": [{"name": "A", "value": "1"}],
                            }
                        ]
                    },
                },
            }
        ],
        "roles": [
            {
                "name": "router",
                "replicas": 1,
                "servicePorts": [{"port": 8000}],
                "minReadySeconds": 5,
                "standalonePattern": {"template": {"spec": {"containers": [{"name": "router", "image": "router"}]}}},
            },
            {
                "name": "decode",
                "replicas": 2,
                "dependencies": ["router"],
                "rolloutStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1}},
                "scalingAdapter": {"enable": True},
                "leaderWorkerPattern": {
                    "size": 3,
                    "templateRef": {"name": "base"},
                    "restartPolicyConfig": {"type": "RecreateRoleInstanceOnPodRestart", "baseDelaySeconds": 5},
                    "leaderTemplatePatch": {
                        "spec": {"containers": [{"name": "sglang", "env": [{"name": "B", "value": "2"}]}]}
                    },
                    "workerTemplatePatch": {"metadata": {"labels": {"part": "worker"}}},
                },
            },
        ],
    },
}

STATEFUL_SET: dict[str, Any] = {
    "apiVersion": "apps/v1",
    "kind": "StatefulSet",
    "metadata": {"name": "vllm"},
    "spec": {
        "replicas": 4,
        "serviceName": "vllm",
        "selector": {"matchLabels": {"app": "vllm"}},
        "minReadySeconds": 10,
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 1}},
        "volumeClaimTemplates": [{"metadata": {"name": "data"}}],
        "template": {"metadata": {"labels": {"app": "vllm"}}, "spec": POD},
    },
}
