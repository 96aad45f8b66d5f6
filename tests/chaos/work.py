"""What goes on while faults strike, and what each kind of work may cost: the judge's measure."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from controlplane.rest import RestError
from models import model, role, update
from support.update_rules import UpdateRules
from watched import Object

from chaos.arena import Arena

GROUPS = 5
SIZE = 2  # pods of a role instance: an entry and a worker
PARTITION = 3


@dataclass
class Allowance:
    """What the round asked for.

    rules: the loosest of the round; made: how often pods of a group may be created anew; hurt_at: when something of
    ours last took a pod of a group, wall-clock seconds; gone: UIDs of pods that are not there in the end.
    """

    rules: UpdateRules
    made: Counter[int] = field(default_factory=Counter)
    hurt_at: dict[int, float] = field(default_factory=dict)
    gone: set[str] = field(default_factory=set)

    def hurt(self, group: int, *pods: Object) -> None:
        """These pods of the group were told to go."""
        self.made[group] += 1
        self.hurt_at[group] = time.time()
        self.gone |= {pod["metadata"]["uid"] for pod in pods}


class Work:
    """One ModelInfer of five groups of two, ready before the faults come; `step` is called between them."""

    steps = 1
    partition = 0

    def __init__(self, arena: Arena, name: str) -> None:
        self.arena = arena
        self.random = arena.random
        self.name = name
        self.replicas = GROUPS
        self.instances = 1
        self.allowance = Allowance(UpdateRules(GROUPS, 1, 0, self.partition))

    def begin(self) -> None:
        self.arena.create(self.arena.path("modelinfers"), self._manifest("image:1"))
        self.arena.until(self.is_settled, f"{self.name} is ready before anything happens")

    def step(self) -> None: ...

    def end(self) -> None: ...

    def is_settled(self) -> bool:
        pods = self.pods()
        uids = {pod["metadata"]["uid"] for pod in pods.values()}
        is_as_specified = pods.keys() == self.expected() and not uids & self.allowance.gone
        return is_as_specified and self.arena.user.is_settled(self.name)

    def pods(self) -> dict[str, Object]:
        return {name: pod for name, pod in self.arena.user.pods.items() if self.owns(pod)}

    def services(self) -> set[str]:
        return {name for name, service in self.arena.user.services.items() if self.owns(service)}

    def owns(self, child: Object) -> bool:
        owners = child["metadata"].get("ownerReferences", ())
        return any((one["kind"], one["name"]) == ("ModelInfer", self.name) for one in owners)

    def expected(self) -> set[str]:
        return {f"{one}-{k}" for one in self._instances() for k in range(SIZE)}

    def expected_services(self) -> set[str]:
        return {f"{one}-0" for one in self._instances()}

    def expected_image(self, group: int) -> str:
        return "image:1"

    def _instances(self) -> list[str]:
        return [f"{self.name}-{g}-decode-{r}" for g in range(self.replicas) for r in range(self.instances)]

    def _manifest(self, image: str) -> Any:
        return model(
            self.name,
            role(workers=SIZE - 1, image=image, ready_after="200ms"),
            replicas=GROUPS,
            nodeDrainPolicy="HandOver",
            **update(maxUnavailable=1, partition=self.partition),
        )

    def _edit(self, spec: Mapping[str, Any]) -> None:
        self.arena.patch(self.arena.path("modelinfers", self.name), {"spec": spec})

    def _spec(self, image: str) -> Any:
        return self._manifest(image)["spec"]


class Update(Work):
    """A rolling update, one group at a time."""

    def __init__(self, arena: Arena, name: str) -> None:
        super().__init__(arena, name)
        self.allowance.made.update(range(self.partition, GROUPS))

    def begin(self) -> None:
        super().begin()
        self._edit({"template": self._spec("image:2")["template"]})

    def expected_image(self, group: int) -> str:
        return "image:1" if group < self.partition else "image:2"


class HeldUpdate(Update):
    """One that the partition holds back for three of five groups."""

    partition = PARTITION


class Recovery(Work):
    """Pods fail, each of another group: no back-off is waited for."""

    steps = 3

    def step(self) -> None:
        groups = set(range(GROUPS)) - self.allowance.hurt_at.keys()
        group = self.random.choice(sorted(groups))
        pod = f"{self.name}-{group}-decode-0-{self.random.randrange(SIZE)}"
        self.allowance.hurt(group, *(found for name, found in self.pods().items() if name == pod))
        try:
            if self.random.random() < 0.5:
                self.arena.patch(
                    self.arena.path("pods", pod), {"metadata": {"annotations": {"kwok.stage/fail-after": "0s"}}}
                )
            else:
                self.arena.request("DELETE", self.arena.path("pods", pod))
        except RestError as error:
            if error.status != 404:  # it is being replaced just now
                raise


class UpdateAndRecovery(Update):
    """Pods fail in the middle of an update."""

    steps = 2
    step = Recovery.step

    def __init__(self, arena: Arena, name: str) -> None:
        super().__init__(arena, name)
        # A leader that is killed after it took a group down leaves no record of that. If a failed group holds up the
        # update by then, the group is made at its own revision, as one that waits, and once more when its turn comes.
        self.allowance.made.update(range(GROUPS))


class Drain(Work):
    """A node is cordoned: its groups move off it, under the budget."""

    def step(self) -> None:
        nodes = Counter(pod["spec"].get("nodeName", "") for pod in self.pods().values())
        self._node = nodes.most_common(1)[0][0]
        for name, pod in self.pods().items():
            if pod["spec"].get("nodeName") == self._node:
                self.allowance.made[int(name.split("-")[1])] += 1
        self.arena.patch(f"/api/v1/nodes/{self._node}", {"spec": {"unschedulable": True}})

    def end(self) -> None:
        self.arena.until(lambda: not self._left(), f"{self._node} is empty")
        self.arena.patch(f"/api/v1/nodes/{self._node}", {"spec": {"unschedulable": None}})

    def _left(self) -> list[str]:
        return [name for name, pod in self.pods().items() if pod["spec"].get("nodeName") == self._node]


class NodeLost(Work):
    """All pods of a node go at once, as from one that is out of service."""

    def step(self) -> None:
        nodes = Counter(pod["spec"].get("nodeName", "") for pod in self.pods().values())
        self._node = nodes.most_common(1)[0][0]
        for name, pod in self.pods().items():
            if pod["spec"].get("nodeName") == self._node:
                self.allowance.hurt(int(name.split("-")[1]), pod)
        taint = {"key": "chaos.example.com/lost", "effect": "NoExecute"}
        self.arena.patch(f"/api/v1/nodes/{self._node}", {"spec": {"taints": [taint]}})

    def end(self) -> None:
        self.arena.until(self.is_settled, f"the pods of {self._node} are elsewhere")
        self.arena.patch(f"/api/v1/nodes/{self._node}", {"spec": {"taints": None}})


class Scaling(Work):
    """Replicas, and the replicas of the role, up and down."""

    steps = 4

    def __init__(self, arena: Arena, name: str) -> None:
        super().__init__(arena, name)
        self.allowance.rules = UpdateRules(0, 0)
        for group in range(GROUPS + 3):
            self.allowance.made[group] = 2 * self.steps

    def step(self) -> None:
        if self.random.random() < 0.5:
            self.replicas = self.random.randint(1, GROUPS + 2)
            self._edit({"replicas": self.replicas})
        else:
            self.instances = self.random.randint(1, 2)
            template = self._spec("image:1")["template"]
            template["roles"][0]["replicas"] = self.instances
            self._edit({"template": template})


class Recreation(Work):
    """The ModelInfer is deleted, and one of the same name is made."""

    def __init__(self, arena: Arena, name: str) -> None:
        super().__init__(arena, name)
        self.allowance.rules = UpdateRules(0, 0)

    def step(self) -> None:
        pods = self.pods().values()
        self.arena.delete(self.arena.path("modelinfers", self.name))
        self.arena.create(self.arena.path("modelinfers"), self._manifest("image:1"))
        for group in range(GROUPS):
            self.allowance.hurt(group, *pods)


class EndingNamespace(Work):
    """Another namespace is deleted while what it has is being made."""

    def step(self) -> None:
        self._namespace = f"ending-{self.name}"
        self.arena.create("/api/v1/namespaces", {"metadata": {"name": self._namespace}})
        self.arena.create(self.arena.path("modelinfers", namespace=self._namespace), self._manifest("image:1"))
        self.arena.sleep(self.random.uniform(0.0, 1.5))
        self.arena.delete(f"/api/v1/namespaces/{self._namespace}")

    def end(self) -> None:
        # A server that has just started serves no custom kinds yet: a namespace that ends then leaves them behind.
        self.arena.until(self._is_gone, f"the namespace {self._namespace} is gone")
        self.arena.delete(self.arena.path("modelinfers", self.name, self._namespace))

    def _is_gone(self) -> bool:
        try:
            self.arena.request("GET", f"/api/v1/namespaces/{self._namespace}")
        except RestError as error:
            return error.status == 404
        return False


WORKS: dict[str, type[Work]] = {
    "update": Update,
    "held-update": HeldUpdate,
    "recovery": Recovery,
    "update-and-recovery": UpdateAndRecovery,
    "drain": Drain,
    "node-lost": NodeLost,
    "scaling": Scaling,
    "recreation": Recreation,
    "ending-namespace": EndingNamespace,
}
