"""Random incidents of a user's cluster that end before a history is judged.

Refusals, webhooks that hang, quotas, absurd numbers, lost revisions, a wiped status, a clock that steps, a definition
that gains defaults. A mixin of the state machine of `histories`.
"""

import copy
from datetime import timedelta
from functools import lru_cache
from typing import Any

import yaml
from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule

from modelinfer_controller.simulator.apiserver.admission import Plugin
from modelinfer_controller.simulator.faults.admission import CREATE, DELETE, UPDATE, Deny, Hang, Match
from sim.facts import NAME, REVISIONS, Object, metadata
from sim.journal import CONTROLLER
from sim.mixin import Mixin
from sim.world import CRD, set_update

MOST = 2**31 - 1
QUOTA = "few"
TIGHT_QUOTA = "tight"
SPARE_PODS = 5  # beyond those that exist, while a number is absurd
USUAL_REPLICAS = 3

_DEFINITION: Object = yaml.load(CRD.read_text(), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))


@lru_cache(maxsize=1)
def older_definition() -> Object:
    """As a release before the maxima and the rules had it."""
    definition = copy.deepcopy(_DEFINITION)
    _drop_limits(definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"])
    return definition


def _drop_limits(schema: Any) -> None:
    if isinstance(schema, dict):
        schema.pop("x-kubernetes-validations", None)
        if isinstance(schema.get("maximum"), int | float):
            del schema["maximum"]
        for child in schema.values():
            _drop_limits(child)
    elif isinstance(schema, list):
        for child in schema:
            _drop_limits(child)


@lru_cache(maxsize=2)
def definition_with_pull_policy(default: str | None) -> Object:
    """Whose containers have a default of their own, as a definition that embeds the whole PodSpec has."""
    definition = copy.deepcopy(_DEFINITION)
    for policy in _properties(definition["spec"]["versions"][0]["schema"], "imagePullPolicy"):
        policy.pop("default", None)
        if default is not None:
            policy["default"] = default
    return definition


def _properties(node: Any, name: str) -> list[Object]:
    """The schema of each property of that name."""
    if isinstance(node, list):
        return [found for one in node for found in _properties(one, name)]
    if not isinstance(node, dict):
        return []
    own = node.get("properties")
    here = [own[name]] if isinstance(own, dict) and isinstance(own.get(name), dict) else []
    return here + [found for child in node.values() for found in _properties(child, name)]


def of_incidents(machine: Any) -> bool:
    return bool(machine.theme == "incidents")


class Incidents(Mixin):
    """Rules, and what ends them all."""

    def __init__(self) -> None:
        super().__init__()
        self._policies: list[Plugin] = []
        self._is_absurd = False
        self._has_lost_memory = False
        self._has_quota = False

    @precondition(of_incidents)
    @rule(
        operation=st.sampled_from([CREATE, DELETE, UPDATE]),
        resource=st.sampled_from(["pods", "pods", "services", "podgroups", "controllerrevisions"]),
        group=st.sampled_from([None, 0, 1, 2]),
    )
    def refuse(self, operation: Any, resource: str, group: int | None) -> None:
        """A policy denies the controller this, of one group or of all."""
        name_part = "" if group is None or resource == "controllerrevisions" else f"{NAME}-{group}"
        policy = Deny(Match({operation}, resource, name_part, user=CONTROLLER), "not today")
        self._policies.append(policy)
        self._act(self.world.cluster.api.admission.add, policy)

    @precondition(of_incidents)
    @rule(
        operation=st.sampled_from([CREATE, DELETE]),
        resource=st.sampled_from(["pods", "services", "modelinfers"]),
        group=st.sampled_from([None, 0, 1]),
        seconds=st.sampled_from([3.0, 28.0]),
    )
    def hang(self, operation: Any, resource: str, group: int | None, seconds: float) -> None:
        """A webhook takes that long over each; over statuses, where it is one of ModelInfers."""
        name_part = "" if group is None or resource == "modelinfers" else f"{NAME}-{group}"
        match = Match({operation}, resource, name_part, user=CONTROLLER)
        if resource == "modelinfers":
            match = Match({UPDATE}, resource, subresource="status", user=CONTROLLER)
        policy = Hang(match, seconds)
        self._policies.append(policy)
        self._act(self.world.cluster.api.admission.add, policy)

    @precondition(of_incidents)
    @rule(hours=st.sampled_from([-1.0, 1.0, 24.0]))
    def step_clock(self, hours: float) -> None:
        """Somebody sets the clock of the controller's machine."""
        self.world.controller_clock.offset += timedelta(hours=hours)

    @precondition(lambda self: of_incidents(self) and not self._is_absurd and not self._has_quota)
    @rule(spare=st.integers(0, 3))
    def fill_quota(self, spare: int) -> None:
        self._has_quota = True
        hard = {"pods": str(len(self.world.facts.pods()) + spare)}
        self._do(self.world.create("resourcequotas", {"metadata": {"name": TIGHT_QUOTA}, "spec": {"hard": hard}}))

    @precondition(lambda self: of_incidents(self) and self._has_quota)
    @rule()
    def lift_quota(self) -> None:
        self._has_quota = False
        self._do(self.world.delete("resourcequotas", TIGHT_QUOTA))

    @precondition(lambda self: of_incidents(self) and self._policies)
    @rule()
    def refuse_no_more(self) -> None:
        self._act(self._allow_all)

    def _allow_all(self) -> None:
        while self._policies:
            self.world.allow(self._policies.pop())

    @precondition(of_incidents)
    @rule(which=st.integers(0, 30))
    def lose_revision(self, which: int) -> None:
        names = sorted(metadata(one)["name"] for one in self.world.facts.owned(REVISIONS))
        if names:
            self._has_lost_memory = True
            self._do(self.world.delete("controllerrevisions", names[which % len(names)]))

    @precondition(of_incidents)
    @rule()
    def wipe_status(self) -> None:
        """As somebody does by hand, or who restores a backup: what only the status remembers is lost."""
        if self.world.facts.model is not None:
            self._has_lost_memory = True
            self._do(self.world.patch("modelinfers", NAME, {"status": None}, "/status"))

    @precondition(of_incidents)
    @rule(default=st.sampled_from([None, "IfNotPresent"]))
    def gain_defaults(self, default: str | None) -> None:
        self._act(self.world.cluster.replace_definition, definition_with_pull_policy(default))

    @precondition(lambda self: of_incidents(self) and not self._is_absurd)
    @rule(what=st.sampled_from(["replicas", "role", "workers"]), number=st.sampled_from([MOST, 1_000_000, 20_000]))
    def ask_for_the_absurd(self, what: str, number: int) -> None:
        """Through an older definition, under a quota, or the world would fill with pods."""
        self._do(self._ask_for_the_absurd(what, number))

    async def _ask_for_the_absurd(self, what: str, number: int) -> None:
        world = self.world
        if world.facts.model is None:
            return
        self._is_absurd = True
        hard = {"pods": str(len(world.facts.pods()) + SPARE_PODS)}
        await world.create("resourcequotas", {"metadata": {"name": QUOTA}, "spec": {"hard": hard}})
        world.cluster.replace_definition(older_definition())

        def absurd(spec: Object) -> None:
            role = spec["template"]["roles"][0]
            match what:
                case "replicas":
                    spec["replicas"] = number
                case "role":
                    role["replicas"] = number
                case _:
                    role["workerReplicas"] = number
                    role.setdefault("workerTemplate", role["entryTemplate"])

        await self._is_let_through(world.edit(absurd))

    @precondition(lambda self: of_incidents(self) and self._is_absurd)
    @rule()
    def come_to_reason(self) -> None:
        self._do(self._come_to_reason())

    async def _come_to_reason(self) -> None:
        world = self.world
        if world.facts.model is not None:
            await world.edit(reasonable)
        world.cluster.replace_definition(_DEFINITION)
        await world.delete("resourcequotas", QUOTA)
        self._is_absurd = False

    async def end_incidents(self) -> None:
        """Who has lost what the partition held lifts it: nothing else brings its groups back."""
        self._allow_all()
        self.world.controller_clock.offset = timedelta()
        if self._has_quota:
            await self.world.delete("resourcequotas", TIGHT_QUOTA)
        if self._is_absurd:
            await self._come_to_reason()
        self.world.cluster.replace_definition(_DEFINITION)
        if self._has_lost_memory and self.world.facts.model is not None:
            await self.world.edit(set_update(partition=0))


def reasonable(spec: Object) -> None:
    """Small numbers, and nothing that the older definition let through and today's refuses."""
    spec["template"].pop("startupPolicy", None)
    (spec["template"].get("gangSchedule") or {}).pop("minRoleReplicas", None)
    spec["replicas"] = min(spec["replicas"], USUAL_REPLICAS)
    for role in spec["template"]["roles"]:
        role["replicas"] = min(role["replicas"], USUAL_REPLICAS)
        role["workerReplicas"] = min(role.get("workerReplicas") or 0, USUAL_REPLICAS)
