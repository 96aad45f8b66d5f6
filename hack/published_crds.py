"""CRDs of other projects, as published: read from their Go modules, for tests against the real API server.

    crd_files("leader-worker-set")  ->  the paths of its CRDs, in the module cache

Versions and the modules' hashes (`h1:`, as in go.sum) are pinned here. Nothing of the modules is built or executed, and
nothing of them is copied into this repository.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from controlplane.golang import find_go


@dataclass(frozen=True)
class Published:
    """`files` are paths inside of the module."""

    module: str
    version: str
    hash: str
    files: tuple[str, ...]


PUBLISHED: Mapping[str, Published] = {
    "leader-worker-set": Published(
        "sigs.k8s.io/lws",
        "v0.9.0",
        "h1:DcJCgxjjoGOx//QHZkeKpyiblxYq70aCRZNYSfykWyI=",
        ("config/crd/bases/leaderworkerset.x-k8s.io_leaderworkersets.yaml",),
    ),
    "kthena": Published(
        "github.com/volcano-sh/kthena",
        "v1.0.0",
        "h1:EgPu0SvuUHbf8Fc+cTiai6t6Hi+tvHlT466O/TSht+s=",
        ("charts/kthena/charts/workload/crds/workload.serving.volcano.sh_modelservings.yaml",),
    ),
    "gateway-api": Published(
        "sigs.k8s.io/gateway-api",
        "v1.6.1",
        "h1:mock6phZbI6rvZerwrVNk7hVNymQgHo+6sJ81Ia7ftY=",
        (
            "config/crd/standard/gateway.networking.k8s.io_gateways.yaml",
            "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
        ),
    ),
    "inference-extension": Published(
        "sigs.k8s.io/gateway-api-inference-extension",
        "v1.6.0",
        "h1:cjtwMJYcTnLXBYE5ffR1/hHhn7U1aIFfe2RITYmOXVA=",
        ("config/crd/bases/inference.networking.k8s.io_inferencepools.yaml",),
    ),
    "keda": Published(
        "github.com/kedacore/keda/v2",
        "v2.19.0",
        "h1:IP3iMTwr9HkaAwPtLnhngPv74LghMf7ubLrsGLQo52M=",
        ("config/crd/bases/keda.sh_scaledobjects.yaml",),
    ),
    "prometheus-operator": Published(
        "github.com/prometheus-operator/prometheus-operator",
        "v0.85.0",
        "h1:M5xLCLEoaW2IJfnuCwFzzpL+jSVQu3KGT84Pye+fW8s=",
        (
            "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
            "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
        ),
    ),
    "kueue": Published(
        "sigs.k8s.io/kueue",
        "v0.15.0",
        "h1:9Khzc2ne6/eWuZx5o+R4KlVBzh3kZkTIMzpPC2e8Spg=",
        ("config/components/crd/bases/kueue.x-k8s.io_localqueues.yaml",),
    ),
}


class WrongHash(Exception):
    """The module that was downloaded is not the one that is pinned."""


def crd_files(name: str) -> list[Path]:
    """Downloads the module if Go's module cache lacks it. Raises WrongHash, CalledProcessError, GoMissing."""
    published = PUBLISHED[name]
    # The hash below is stricter than the checksum database, and needs no further server.
    answer = subprocess.run(
        [find_go(), "mod", "download", "-json", f"{published.module}@{published.version}"],
        capture_output=True,
        check=True,
        cwd="/",
        env={**os.environ, "GOSUMDB": "off"},
    )
    found = json.loads(answer.stdout)
    if found["Sum"] != published.hash:
        raise WrongHash(f"{published.module}@{published.version} is {found['Sum']}, wanted {published.hash}")
    return [Path(found["Dir"]) / file for file in published.files]
