"""A state machine of random histories: what users, nodes, a flaky server and a dying controller do to a ModelInfer.

At every step the rules of `rules` and `rollout_rules` are checked; in the end the world is left alone, and must come to
rest as `rest` says, and stay so without a write.
"""

import asyncio
import copy
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

from hypothesis import note
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from modelinfer_controller.api import well_known
from modelinfer_controller.simulator.apiserver.store import ChangeType
from modelinfer_controller.simulator.faults.transport import NO_FAULTS, ROUGH
from modelinfer_controller.simulator.virtual_time import LeakedTask, VirtualTimeLoop
from sim.broken import BREAKAGES, Breakage, break_for_ever, breakage, check_all_else
from sim.facts import NAME, PODS, REVISIONS, SERVICES, VOLCANO, Object, parse_pod
from sim.incidents import Incidents
from sim.journal import CONTROLLER, Entry
from sim.life import Life, lifted, lives, with_life
from sim.life_rules import LifeRules
from sim.maintenance import Maintenance, maintained
from sim.rest import check_at_rest
from sim.rollout_rules import RolloutRules
from sim.rules import Rules
from sim.world import Refused, World, a_role, a_spec, foreign_pod, set_image, set_update

T = TypeVar("T")

A_MOMENT = 0.00137  # seconds, off everybody's beat: whoever was in the middle of something has finished it
TIME_TO_REST = 2700.0
QUIET = 750.0  # longer than anything that the status remembers: a recreation is forgotten after ten healthy minutes
QUIET_OF_NO_MEMORY = 225.0  # longer than anything else that the controller waits for
STEP = 75.0
TIME_FOR_ALL_ELSE = 3600.0  # what is broken for ever leaves no rest to wait for

THEMES = ["anything", "rough", "rollout", "broken", "incidents", "life", "maintenance"]
"""What histories are about. `sim.fuzz --theme` says which."""

WAITS = (0.0, 0.01, 0.15, 0.5, 1.1, 3.0, 12.0, 35.0, 90.0, 400.0, 800.0)

SCALING = ("scaled", "reshaped", "undone", "ganged")  # edits that take pods down for other reasons than a rollout

NUMBERS = st.integers(0, 30)  # taken modulo what there is to choose from
REPLICAS = st.integers(0, 5)
BUDGETS = st.one_of(st.integers(0, 3), st.sampled_from(["25%", "40%", "100%"]))
POLICIES = st.sampled_from(["RoleRecreate", "InferGroupRecreate", "None"])
GANGS = st.sampled_from([None, {}, {"minRoleReplicas": {"a": 1}}, {"minRoleReplicas": {"B": 0}}])
SCHEDULERS = st.sampled_from([None, "volcano", "default-scheduler"])
IMAGE_NAMES = st.sampled_from(["good:1", "good:1", "good:2", "good:3", "slow:1", "never:1", "crash:1", "fails:1"])


@st.composite
def specs(draw: st.DrawFn) -> Object:
    names = draw(st.sampled_from([("a",), ("a", "B"), ("B", "b-0")]))
    roles = [a_role(name, draw(st.integers(0, 2)), draw(st.integers(0, 2))) for name in names]
    if draw(st.integers(0, 2)):
        roles[0]["replicas"] = max(1, roles[0]["replicas"])
    scheduler = draw(SCHEDULERS)
    unavailable, surge = draw(st.sampled_from([(1, 0), (1, 0), (2, 0), (0, 1), (1, 1), ("40%", "25%"), (0, 2)]))
    return a_spec(
        draw(REPLICAS),
        *roles,
        grace=draw(st.sampled_from([0, 0, 20])),
        gang=_known(draw(GANGS), names),
        max_unavailable=unavailable,
        max_surge=surge,
        partition=draw(st.sampled_from([0, 0, 0, 1, 3])),
        recoveryPolicy=draw(POLICIES),
        **({"schedulerName": scheduler} if scheduler else {}),
    )


def _known(gang: Object | None, names: tuple[str, ...]) -> Object | None:
    if gang is None or not gang:
        return gang
    return {"minRoleReplicas": {name: count for name, count in gang["minRoleReplicas"].items() if name in names}}


@dataclass
class Tally:
    """Histories of this process, and take-downs of rollouts that were judged in them."""

    ran: int = 0
    judged: int = 0


TALLY = Tally()


def anything_goes(machine: "Histories") -> bool:
    return machine.theme != "rollout"


class Histories(Incidents, Life, Maintenance, RuleBasedStateMachine):
    """One history."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = VirtualTimeLoop()
        self._world: World | None = None
        self._past: list[Object] = []
        self._has_failed = False
        self._breakage: Breakage | None = None
        self._troubled: set[int] = set()
        self.theme = ""

    @property
    def world(self) -> World:
        assert self._world is not None
        return self._world

    def _do(self, steps: Coroutine[Any, Any, T]) -> T:
        """Let it happen, and what it causes at once."""

        async def and_a_moment() -> T:
            done = await steps
            await self.world.sleep(A_MOMENT)
            return done

        try:
            return self._loop.run_until_complete(and_a_moment())
        except BaseException:
            self._has_failed = True
            raise

    def _act(self, action: Callable[..., Any], *arguments: Any, **options: Any) -> None:
        """Something that happens in an instant."""

        async def act() -> None:
            action(*arguments, **options)

        self._do(act())

    # -- beginning and end -------------------------------------------------------------------------------------------

    @initialize(
        seed=st.integers(0, 999),
        spec=specs(),
        theme=NUMBERS,
        volcano=st.booleans(),
        native=st.booleans(),
        life=lives(),
    )
    def begin(self, seed: int, spec: Object, theme: int, volcano: bool, native: bool, life: Object) -> None:
        """Begin a history. theme: of THEMES.

        rough adds faults to anything, rollout leaves only edits of one, time, and a controller that dies; broken has
        one thing that stays broken; incidents, life and maintenance are those of the modules.
        """
        TALLY.ran += 1
        self.theme = THEMES[theme % len(THEMES)]
        note(f"theme: {self.theme}")
        if self.theme == "life":
            spec = with_life(spec, life)
        elif self.theme == "maintenance":
            spec = maintained(spec, life)
        self._do(self._begin(seed, spec, volcano, native))

    async def _begin(self, seed: int, spec: Object, volcano: bool, native: bool) -> None:
        self._world = world = World(seed, volcano=volcano, native_gang=native)
        self._rules = Rules(world, has_faults=self.theme == "rough")
        self._rollout = RolloutRules(world, has_faults=self.theme == "rough")
        self._life = LifeRules(world, self._rollout)
        await world.__aenter__()
        if not await self._is_let_through(world.create_model(spec)):
            await world.create_model(a_spec(2, a_role("a", 1, 1)))

    def teardown(self) -> None:
        try:
            if self._world is not None:
                try:
                    if not self._has_failed:
                        self._do(self._come_to_rest())
                finally:
                    self._end(self._world)
        finally:
            self._loop.close()

    def _end(self, world: World) -> None:
        TALLY.judged += self._rollout.judged
        self._loop.run_until_complete(world.__aexit__(None, None, None))
        left = asyncio.all_tasks(self._loop)
        if left and not self._has_failed:
            raise LeakedTask(str(left))

    async def _come_to_rest(self) -> None:
        world = self.world
        world.heal()
        await self.end_incidents()
        await self.end_maintenance()
        await self._clear_the_way()
        if self._breakage is not None:
            await world.sleep(TIME_FOR_ALL_ELSE)
            check_all_else(world, self._breakage, self._troubled)
            return
        await self._rest()
        if self.theme in ("life", "rough") and world.facts.model is not None:
            await world.edit(lifted)
            await self._rest()
        if self.theme == "maintenance" and world.facts.model is not None:
            await self.drain_in_the_end()
            await self._rest()

    async def _rest(self) -> None:
        world = self.world
        quiet = spent = 0.0
        # A watch that a fault has silenced is noticed when its time is over.
        needs_long = world.facts.has_memory or self.theme == "rough"
        while quiet < (QUIET if needs_long else QUIET_OF_NO_MEMORY):
            writes = len(world.journal.controller_writes)
            await world.sleep(STEP)
            spent += STEP
            more = world.journal.controller_writes[writes:]
            quiet = 0.0 if more else quiet + STEP
            if spent > TIME_TO_REST + QUIET:
                self._check_at_rest()
                raise AssertionError(f"written though nothing differed: {[(str(one), one.body) for one in more]}")
        self._check_at_rest()

    def _check_at_rest(self) -> None:
        world = self.world
        check_at_rest(world.facts, has_volcano=world.has_volcano, has_native_gang=world.has_native_gang)

    async def _clear_the_way(self) -> None:
        """What is not ours and bears our names goes."""
        world = self.world
        for kind, resource in ((PODS, "pods"), (SERVICES, "services"), (VOLCANO, "volcano"), (REVISIONS, "revisions")):
            for obj in list(world.facts.objects(kind)):
                if not obj["metadata"].get("ownerReferences"):
                    name = "controllerrevisions" if resource == "revisions" else resource
                    await world.delete(name, obj["metadata"]["name"])

    @invariant()
    def no_rule_is_broken(self) -> None:
        if self._world is not None:
            try:
                self._loop.run_until_complete(self._life.check_deadline())
                self._world.check()
            except BaseException:
                self._has_failed = True
                raise

    # -- time --------------------------------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from(WAITS))
    def wait(self, seconds: float) -> None:
        self._do(self.world.sleep(seconds))

    @rule(seconds=st.sampled_from((0.05, 0.3, 2.0, 8.0, 20.0)))
    def wait_a_little(self, seconds: float) -> None:
        self._do(self.world.sleep(seconds))

    # -- edits -------------------------------------------------------------------------------------------------------

    def _edit(self, change: Any) -> None:
        """As admission lets it through; what it refuses is not done."""
        if self.world.facts.model is None:
            return
        if change.__name__ in SCALING:
            self._rollout.forgive()
        before = copy.deepcopy(self.world.facts.spec)
        if self._do(self._is_let_through(self.world.edit(change))):
            self._past.append(before)

    async def _is_let_through(self, request: Coroutine[Any, Any, Any]) -> bool:
        try:
            await request
        except Refused as error:
            note(f"refused: {error}")
            return False
        return True

    @rule(image=IMAGE_NAMES)
    def edit_image(self, image: str) -> None:
        self._edit(set_image(image))

    @rule(unavailable=BUDGETS, surge=BUDGETS)
    def edit_budgets(self, unavailable: int | str, surge: int | str) -> None:
        self._edit(set_update(maxUnavailable=unavailable, maxSurge=surge))

    @rule(partition=st.integers(0, 5))
    def edit_partition(self, partition: int) -> None:
        self._edit(set_update(partition=partition))

    @precondition(anything_goes)
    @rule(replicas=REPLICAS)
    def scale(self, replicas: int) -> None:
        def scaled(spec: Object) -> None:
            spec["replicas"] = replicas

        self._edit(scaled)

    @precondition(anything_goes)
    @rule(role=NUMBERS, replicas=st.integers(0, 3))
    def scale_role(self, role: int, replicas: int) -> None:
        def scaled(spec: Object) -> None:
            roles = spec["template"]["roles"]
            roles[role % len(roles)]["replicas"] = replicas

        self._edit(scaled)

    @precondition(anything_goes)
    @rule(role=NUMBERS, workers=st.integers(0, 2))
    def edit_workers(self, role: int, workers: int) -> None:
        def reshaped(spec: Object) -> None:
            one = spec["template"]["roles"][role % len(spec["template"]["roles"])]
            one["workerReplicas"] = workers
            one.setdefault("workerTemplate", one["entryTemplate"])

        self._edit(reshaped)

    @precondition(anything_goes)
    @rule(how=st.sampled_from(["add", "remove", "rename"]), role=NUMBERS)
    def edit_roles(self, how: str, role: int) -> None:
        def reshaped(spec: Object) -> None:
            roles = spec["template"]["roles"]
            match how:
                case "add":
                    roles.append(a_role(f"new{role % 3}", role % 2 + 1, role % 2))
                case "remove":
                    roles.pop(role % len(roles))
                case _:
                    roles[role % len(roles)]["name"] = f"other{role % 3}"

        self._edit(reshaped)

    @precondition(anything_goes)
    @rule(policy=POLICIES, grace=st.sampled_from([0, 10, 60]))
    def edit_recovery(self, policy: str, grace: int) -> None:
        def changed(spec: Object) -> None:
            spec["recoveryPolicy"] = policy
            spec["template"]["restartGracePeriodSeconds"] = grace

        self._edit(changed)

    @precondition(anything_goes)
    @rule(gang=GANGS, scheduler=SCHEDULERS)
    def edit_gang(self, gang: Object | None, scheduler: str | None) -> None:
        def ganged(spec: Object) -> None:
            names = tuple(role["name"] for role in spec["template"]["roles"])
            spec["template"].pop("gangSchedule", None)
            spec.pop("schedulerName", None)
            if gang is not None:
                spec["template"]["gangSchedule"] = _known(gang, names)
            if scheduler is not None:
                spec["schedulerName"] = scheduler

        self._edit(ganged)

    @precondition(anything_goes)
    @rule(key=st.sampled_from([None, "topology.kubernetes.io/zone"]))
    def edit_topology(self, key: str | None) -> None:
        def changed(spec: Object) -> None:
            spec.pop("topologySpreadConstraints", None)
            if key is not None:
                one = {"maxSkew": 1, "topologyKey": key, "whenUnsatisfiable": "ScheduleAnyway"}
                spec["topologySpreadConstraints"] = [one]

        self._edit(changed)

    @precondition(lambda self: self._past)
    @rule(which=NUMBERS)
    def undo(self, which: int) -> None:
        def undone(spec: Object) -> None:
            spec.clear()
            spec.update(copy.deepcopy(self._past[which % len(self._past)]))

        self._edit(undone)

    @precondition(anything_goes)
    @rule(propagation=st.sampled_from(["Background", "Background", "Foreground", "Orphan"]), again=st.booleans())
    def delete_model(self, propagation: str, again: bool) -> None:
        self._do(self._delete_model(propagation, again))

    async def _delete_model(self, propagation: str, again: bool) -> None:
        world = self.world
        spec = copy.deepcopy(world.facts.spec)
        await world.delete("modelinfers", NAME, propagation=propagation)
        if again:
            await self._is_let_through(world.create_model(spec))

    @precondition(anything_goes)
    @rule(image=IMAGE_NAMES)
    def create_model_again(self, image: str) -> None:
        self._do(self._is_let_through(self.world.create_model(a_spec(2, a_role("a", 1, 1, image)))))

    # -- pods --------------------------------------------------------------------------------------------------------

    def _pod(self, which: int) -> str | None:
        live = self.world.live_pods()
        return live[which % len(live)].name if live else None

    @precondition(anything_goes)
    @rule(which=NUMBERS)
    def delete_pod(self, which: int) -> None:
        if (name := self._pod(which)) is not None:
            self._do(self.world.delete("pods", name))

    @precondition(anything_goes)
    @rule(which=NUMBERS)
    def restart_pod(self, which: int) -> None:
        if (name := self._pod(which)) is not None:
            self._act(self.world.restart_container, name)

    @precondition(anything_goes)
    @rule(which=NUMBERS)
    def evict_pod(self, which: int) -> None:
        if (name := self._pod(which)) is not None:
            self._act(self.world.evict, name)

    @precondition(anything_goes)
    @rule(which=NUMBERS, how=st.sampled_from(["fail", "succeed", "unready", "crash"]))
    def spoil_pod(self, which: int, how: str) -> None:
        if (name := self._pod(which)) is None:
            return
        behaviour: dict[str, Any] = {"crash_loop": True} if how == "crash" else {f"{how}_after": timedelta()}
        self._act(self.world.behave, name, **behaviour)

    @precondition(anything_goes)
    @rule(which=NUMBERS)
    def delete_group(self, which: int) -> None:
        self._do(self._delete_group(which))

    async def _delete_group(self, which: int) -> None:
        live = self.world.live_pods()
        if live:
            group = live[which % len(live)].group
            for pod in live:
                if pod.group == group:
                    await self.world.delete("pods", pod.name)

    # -- nodes -------------------------------------------------------------------------------------------------------

    @precondition(anything_goes)
    @rule(which=st.integers(0, 2))
    def freeze_node(self, which: int) -> None:
        self._act(self.world.freeze, f"node-{which}")

    @precondition(lambda self: self._world is not None and self._world.frozen)
    @rule()
    def thaw_nodes(self) -> None:
        self._act(self.world.thaw)

    # -- vandals -----------------------------------------------------------------------------------------------------

    @precondition(anything_goes)
    @rule(which=NUMBERS, how=st.sampled_from(["delete", "patch"]))
    def spoil_service(self, which: int, how: str) -> None:
        services = sorted(one["metadata"]["name"] for one in self.world.facts.owned(SERVICES))
        if services:
            name = services[which % len(services)]
            if how == "delete":
                self._do(self.world.delete("services", name))
            else:
                self._do(self.world.patch("services", name, {"spec": {"selector": {"app": "x"}}}))

    @precondition(anything_goes)
    @rule(which=NUMBERS, how=st.sampled_from(["delete", "patch"]))
    def spoil_pod_group(self, which: int, how: str) -> None:
        groups = sorted(one["metadata"]["name"] for one in self.world.facts.owned(VOLCANO))
        if groups:
            name = groups[which % len(groups)]
            if how == "delete":
                self._do(self.world.delete("volcano", name))
            else:
                self._do(self.world.patch("volcano", name, {"spec": {"minMember": 99}}))

    @precondition(anything_goes)
    @rule(which=NUMBERS)
    def relabel_pod(self, which: int) -> None:
        if (name := self._pod(which)) is not None:
            wrong = {well_known.ENTRY: "maybe", well_known.ROLE: None}
            self._do(self.world.patch("pods", name, {"metadata": {"labels": wrong}}))

    @precondition(anything_goes)
    @rule(group=st.integers(0, 5), role=st.sampled_from(["a", "b"]))
    def take_name(self, group: int, role: str) -> None:
        """Somebody else's pod bears one of our names."""
        name = f"{NAME}-{group}-{role}-0-0"
        self._do(self._is_let_through(self.world.create("pods", foreign_pod(name))))

    @precondition(anything_goes)
    @rule()
    def free_names(self) -> None:
        self._do(self._clear_the_way())

    @precondition(anything_goes)
    @rule()
    def toggle_volcano(self) -> None:
        self._act(self.world.remove_volcano if self.world.has_volcano else self.world.install_volcano)

    # -- what stays broken -------------------------------------------------------------------------------------------

    @precondition(lambda self: self.theme == "broken" and self._breakage is None)
    @rule(name=st.sampled_from(BREAKAGES), group=st.integers(0, 4))
    def break_something_for_ever(self, name: str, group: int) -> None:
        self._breakage = breakage(name, group)
        self._rollout.spoilt = group if name == "annotations stripped" else None
        self._act(break_for_ever, self.world, self._breakage)
        self.world.journal.on_entry.append(self._note_trouble)

    def _note_trouble(self, entry: Entry) -> None:
        """Notes the groups of which somebody else lost a pod."""
        if entry.author == CONTROLLER or entry.change.kind_key != PODS:
            return
        pod = parse_pod(entry.change.stored.object)
        if pod is not None and (pod.has_failed or pod.is_terminating or entry.change.type is ChangeType.DELETED):
            self._troubled.add(pod.group)

    # -- the controller and its server -------------------------------------------------------------------------------

    @rule()
    def kill_controller(self) -> None:
        self._do(self.world.controller.kill())

    @rule()
    def start_controller(self) -> None:
        self._act(self.world.controller.start)

    @rule(calls=st.integers(0, 25), is_committed=st.booleans())
    def crash_controller(self, calls: int, is_committed: bool) -> None:
        self.world.controller.crash_after(calls, is_committed=is_committed)

    @rule(expire=st.booleans())
    def cut_watches(self, expire: bool) -> None:
        self._act(self.world.cut_watches, expire=expire)

    @precondition(lambda self: self.theme == "rough")
    @rule(is_rough=st.booleans())
    def change_faults(self, is_rough: bool) -> None:
        self.world.storm(ROUGH if is_rough else NO_FAULTS)
