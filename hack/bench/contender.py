"""Whose controller is measured: ours, or a foreign one that makes the same pods of manifests of its own."""

from __future__ import annotations

import shlex
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

import yaml

from bench.plane import Plane
from bench.process import ControllerProcess, running, running_controller
from bench.workload import model_infer
from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.kube.resource import Resource


@dataclass(frozen=True)
class Contender:
    """pod_selector: a label selector of the pods that it makes."""

    name: str
    pod_selector: str

    def manifest(self, name: str, groups: int) -> tuple[Resource[Any], dict[str, Any]]:
        """One workload of that many groups of two pods."""
        return MODEL_INFERS, model_infer(name, groups)

    @asynccontextmanager
    async def running(self, plane: Plane) -> AsyncIterator[ControllerProcess]:
        async with running_controller(plane.control_plane.kubeconfig, plane.log) as process:
            yield process


OURS = Contender("modelinfer-controller", well_known.NAME)


@dataclass(frozen=True)
class Foreign(Contender):
    """template: YAML with ${name}, ${groups} and ${pods}; one object of the workload, and any others before it.

    setup: manifests that are applied first. command: the controller's process, with {kubeconfig}; without one it is a
    component of the control plane, such as kube-controller-manager, whose whole cost is counted.
    """

    template: str
    plural: str
    setup: tuple[Path, ...] = ()
    command: str = ""
    component: str = "kube-controller-manager"

    def manifest(self, name: str, groups: int) -> tuple[Resource[Any], dict[str, Any]]:
        text = Template(self.template).substitute(name=name, groups=groups, pods=2 * groups)
        body: dict[str, Any] = yaml.safe_load(text)
        group, _, version = body["apiVersion"].rpartition("/")
        return Resource(group, version, self.plural, body["kind"], KubeObject), body

    @asynccontextmanager
    async def running(self, plane: Plane) -> AsyncIterator[ControllerProcess]:
        for file in self.setup:
            plane.control_plane.kubectl("apply", "--server-side", "-f", str(file))
        if not self.command:
            yield ControllerProcess(plane.control_plane.state.pid_by_component[self.component])
            return
        command = [part.format(kubeconfig=plane.control_plane.kubeconfig) for part in shlex.split(self.command)]
        async with running(command, plane.log) as process:
            yield process
