"""Three hours of three ModelInfers on the simulated control plane, scraped every 30 seconds, as a file for promtool.

The controller is the real one, in virtual time; what happens is what the dashboard and the alerts are for.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TextIO

from prometheus_client.samples import Sample

from dashboard.engines import Engines
from modelinfer_controller.api.status import ModelInfer
from modelinfer_controller.app.metrics.machinery import LeadershipMetric
from modelinfer_controller.app.telemetry import Telemetry
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.controller.wiring import wire
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.resource import NAMESPACES, PODS
from modelinfer_controller.simulator.control_plane import SimulatedControlPlane
from modelinfer_controller.simulator.virtual_time import run

CRD = Path(__file__).resolve().parents[2] / "manifests" / "crd" / "modelinfers.yaml"
INTERVAL, HOURS = 30, 3
TARGET = {"job": "modelinfer-controller", "instance": "modelinfer-controller-0"}
Spec = dict[str, Any]


class Silent:
    """An EventSink that drops everything."""

    def record(self, stored: ModelInfer, type_: str, reason: str, message: str) -> None: ...


def play_into(file: Path) -> None:
    """Live through it and write every scrape, in the text of OpenMetrics with times."""
    with file.open("w", encoding="utf-8") as out:
        run(_story(out))
        out.write("# EOF\n")


async def _story(out: TextIO) -> None:
    async with SimulatedControlPlane(definitions=[CRD], volcano=True, nodes=8) as cluster:
        telemetry = Telemetry(server="https://kubernetes:443", workers=16)
        LeadershipMetric(telemetry.metrics, "modelinfer-controller")(True)
        client = Client(cluster.transport("controller"), on_request=telemetry.requests)
        components = wire(client, Silent(), clock=cluster.clock, random=random.Random(0), observers=telemetry.observers)
        telemetry.watch(components)
        caches = asyncio.create_task(components.run_caches(), name="caches")
        await components.caches.wait_for_sync()
        workers = asyncio.create_task(components.run_workers(), name="workers")
        acts = asyncio.create_task(_acts(cluster.client("user")), name="acts")
        await _scrape(telemetry, out, cluster)
        components.queue.shut_down()
        await asyncio.gather(workers, acts)
        caches.cancel()
        await asyncio.gather(caches, return_exceptions=True)


async def _scrape(telemetry: Telemetry, out: TextIO, cluster: SimulatedControlPlane) -> None:
    engines, monitoring = Engines(INTERVAL), cluster.client("monitoring")
    for step in range(1, HOURS * 3600 // INTERVAL + 1):
        await asyncio.sleep(INTERVAL)
        telemetry.metrics.refresh()
        now = cluster.clock.now().timestamp()
        out.write(_line(Sample("up", {}, 1.0), now))
        pods = (await monitoring.list_all(PODS, None)).items
        for name, labels, value in engines.scrape(pods, step * INTERVAL):
            out.write(openmetrics(name, {"job": "pods", **labels}, value, now))
        for family in telemetry.metrics.registry.collect():
            out.writelines(_line(sample, now) for sample in family.samples)


def _line(sample: Sample, now: float) -> str:
    return openmetrics(sample.name, {**TARGET, **sample.labels}, float(sample.value), now)


def openmetrics(name: str, labels: Mapping[str, str], value: float, now: float) -> str:
    """One sample, in the text of OpenMetrics. now: seconds since 1970."""
    written = ",".join(f"{label}={_quoted(text)}" for label, text in labels.items())
    return f"{name}{{{written}}} {value} {now:.3f}\n"


def _quoted(value: str) -> str:
    escaped = value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    return f'"{escaped}"'


def _model(name: str, replicas: int, *roles: str, image: str = "v1", cpu: str = "1", **spec: Any) -> Spec:
    annotations = {"kwok.stage/pull-after": "40s", "kwok.stage/ready-after": "90s"}
    container = {"name": "engine", "image": image, "resources": {"requests": {"cpu": cpu}}}
    pod = {"metadata": {"annotations": annotations}, "spec": {"containers": [container]}}
    made = [{"name": role, "workerReplicas": 1, "entryTemplate": pod, "workerTemplate": pod} for role in roles]
    gang = spec.pop("gang", None)
    template = {"roles": made, **({"gangSchedule": gang} if gang is not None else {})}
    return {
        "apiVersion": MODEL_INFERS.api_version,
        "kind": MODEL_INFERS.kind,
        "metadata": {"name": name},
        "spec": {"replicas": replicas, "template": template, **spec},
    }


async def _acts(user: Client) -> None:
    async def patch(namespace: str, name: str, spec: Spec) -> None:
        await user.patch(MODEL_INFERS, namespace, name, {"spec": spec})

    async def annotate(pod: str, **annotations: str) -> None:
        marks = {f"kwok.stage/{key.replace('_', '-')}": value for key, value in annotations.items()}
        await user.patch(PODS, "models", pod, {"metadata": {"annotations": marks}})

    for namespace in ("models", "research"):
        await user.create(NAMESPACES, None, {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}})
    qwen = _model("qwen", 4, "prefill", "decode", progressDeadlineSeconds=900)
    await user.create(MODEL_INFERS, "models", qwen)
    await user.create(MODEL_INFERS, "models", _model("llama", 3, "server", recoveryPolicy="None"))
    await user.create(MODEL_INFERS, "research", _model("mixtral", 2, "server", gang={}, schedulerName="volcano"))
    await _until(20)
    await patch("models", "qwen", _roles(_model("qwen", 4, "prefill", "decode", image="v2")))
    await _until(45)
    await annotate("qwen-1-decode-0-1", fail_after="0s")
    await _until(60)  # a canary
    held = {"rolloutStrategy": {"rollingUpdateConfiguration": {"partition": 2}}}
    await patch("models", "llama", {**held, **_roles(_model("llama", 3, "server", image="v2"))})
    await _until(80)  # an update that no node can run
    await patch("models", "qwen", _roles(_model("qwen", 4, "prefill", "decode", image="v3", cpu="2000")))
    await _until(115)
    await patch("models", "qwen", _roles(_model("qwen", 4, "prefill", "decode", image="v2")))
    await _until(125)
    await annotate("llama-0-server-0-0", crash_loop="true")
    await _until(150)
    await patch("research", "mixtral", {"replicas": 4, "paused": True})


def _roles(model: Spec) -> Spec:
    return {"template": {"roles": model["spec"]["template"]["roles"]}}


async def _until(minute: int) -> None:
    await asyncio.sleep(max(0.0, minute * 60 - asyncio.get_running_loop().time()))
