"""A user of one namespace of a cluster with real nodes, who can also talk to the pods and do things to their nodes."""

from __future__ import annotations

import http.client
import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from user import User, is_ready
from watched import Access, Object
from workloads import PORT, asker_pod

NODE_TO_BREAK = "real-2"
TO_BREAK = "modelinfer.dev/to-break"  # its taint
# Lets pods come to that node, and no other.
ON_NODE_TO_BREAK = {
    "nodeSelector": {"kubernetes.io/hostname": NODE_TO_BREAK},
    "tolerations": [{"key": TO_BREAK, "operator": "Exists"}],
}


class RealUser(User):
    def ask(self, pod: str, path: str = "/", port: int = PORT) -> tuple[int, str]:
        """What the pod answers: the HTTP status, and the body. 0 where it does not, as one that ends meanwhile."""
        connection = Access(self.control_plane.kubeconfig).connection(timeout=10)
        url = f"/api/v1/namespaces/{self.namespace}/pods/{pod}:{port}/proxy{path}"
        headers = {"Authorization": self._access.headers["Authorization"]}
        try:
            connection.request("GET", url, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode().strip()
        except (OSError, http.client.HTTPException):
            return 0, ""
        finally:
            connection.close()

    def counts(self, asker: str) -> dict[str, Any]:
        """What `workload ask` in this pod has counted: ok, failed, last."""
        status, body = self.ask(asker, "/counts")
        assert status == 200, body
        return dict(json.loads(body))

    def start_asking(self, asker: str, url: str) -> None:
        """Make the pod that asks the URL, and return when it gets answers."""
        self.kubectl("apply", "-f-", input=json.dumps(asker_pod(asker, url)))
        self.wait(lambda: asker in self.pods and is_ready(self.pods[asker]), f"{asker} is ready")
        deadline = time.monotonic() + 30
        while self.counts(asker)["ok"] < 50:
            assert time.monotonic() < deadline, self.counts(asker)
            time.sleep(0.1)

    def kill_containers(self, pod: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a real signal to the processes of the pod's containers, as the machine's administrator."""
        for pid in container_processes(self.pods[pod]["metadata"]["uid"]):
            os.kill(pid, number)

    def evict(self, pod: str) -> None:
        eviction = f'{{"apiVersion":"policy/v1","kind":"Eviction","metadata":{{"name":"{pod}"}}}}'
        self.kubectl("create", f"--raw=/api/v1/namespaces/{self.namespace}/pods/{pod}/eviction", "-f-", input=eviction)

    def wait_available(self, name: str, timeout: float = 60) -> None:
        """Until the newest spec is what runs, and everything in it is available."""
        self.watch("modelinfers")
        self.wait(
            lambda: self.is_available(name) and all(map(is_ready, self._mine(name))), f"{name} available", timeout
        )
        self._catch_up()

    def wait_recreated(self, name: str, before: Mapping[str, str], expected: set[str], timeout: float = 60) -> None:
        """Until exactly the expected pods have been replaced and all is available; `before` are their old UIDs."""
        self.wait(
            lambda: (
                self._recreated(name, before) >= expected and self.is_available(name) and self._is_back(name, before)
            ),
            f"recreated: {sorted(expected)} and nothing else",
            timeout,
        )
        self._catch_up()
        assert self._recreated(name, before) == expected

    def is_available(self, name: str) -> bool:
        model = self.watch("modelinfers").by_name.get(name)
        if model is None or model.get("status", {}).get("observedGeneration") != model["metadata"]["generation"]:
            return False
        found = {one["type"]: one["status"] for one in model["status"].get("conditions", [])}
        return found.get("Available") == "True" and found.get("UpdateInProgress") == "False"

    def _recreated(self, name: str, before: Mapping[str, str]) -> set[str]:
        return {pod for pod, uid in self.uids_of(name).items() if before.get(pod) != uid}

    def _is_back(self, name: str, before: Mapping[str, str]) -> bool:
        mine = self._mine(name)
        return {pod["metadata"]["name"] for pod in mine} == before.keys() and all(map(is_ready, mine))

    def _mine(self, name: str) -> list[Object]:
        pods = self.watch("pods").by_name.values()
        return [pod for pod in pods if pod["metadata"].get("labels", {}).get("modelinfer.volcano.sh/name") == name]

    def uids_of(self, name: str) -> dict[str, str]:
        return {pod["metadata"]["name"]: pod["metadata"]["uid"] for pod in self._mine(name)}


def container_processes(uid: str) -> list[int]:
    """The processes of a pod's containers, as the machine sees them; the one that holds its namespaces is left out."""

    def is_of_the_pod(folder: Path) -> bool:
        try:
            cgroups, command = (folder / "cgroup").read_text(), (folder / "cmdline").read_bytes()
        except OSError:
            return False
        return f"pod{uid}" in cgroups and not command.startswith(b"/pause")

    return [int(folder.name) for folder in Path("/proc").glob("[0-9]*") if is_of_the_pod(folder)]


def restarts(pod: Object) -> int:
    statuses = pod["status"].get("initContainerStatuses", []) + pod["status"].get("containerStatuses", [])
    return sum(status["restartCount"] for status in statuses)
