"""Random worlds and random histories: what users, nodes, a flaky server and a crashing controller do."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import msgspec
from hypothesis import strategies as st

from modelinfer_controller.api import well_known
from modelinfer_controller.api.status import ApiFailure, GroupRecord, ModelInferStatus, RecreationRecord
from modelinfer_controller.api.validation import violations
from modelinfer_controller.planning.actions import Action
from modelinfer_controller.planning.observed import GangSupport
from planning.world import NAME, Spec, World, a_role, a_spec

POLICIES = ("RoleRecreate", "InferGroupRecreate", "None")
ZONES = [{"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "DoNotSchedule"}]
REFUSED = ApiFailure("Forbidden", "exceeded quota")


class Move(NamedTuple):
    """What happens, and numbers that say to what; each is taken modulo what there is to choose from."""

    name: str
    first: int
    second: int


def budgets() -> st.SearchStrategy[int | str]:
    return st.one_of(st.integers(0, 4), st.sampled_from(["0%", "25%", "34%", "50%", "100%"]))


@st.composite
def specs(draw: st.DrawFn) -> Spec:
    roles = [
        a_role(name, draw(st.integers(0, 2)), draw(st.integers(0, 2)))
        for name in draw(st.sampled_from([("decode",), ("Decode", "prefill"), ("a", "a-0", "b")]))
    ]
    return a_spec(
        draw(st.integers(0, 5)),
        *roles,
        grace=draw(st.sampled_from([0, 0, 30])),
        gang=draw(st.sampled_from([None, None, {}, {"minRoleReplicas": {roles[0]["name"]: 1}}])),
        max_unavailable=draw(budgets()),
        max_surge=draw(budgets()),
        partition=draw(st.sampled_from([0, 0, 0, 1, 2, 5])),
        recoveryPolicy=draw(st.sampled_from(POLICIES)),
        topologySpreadConstraints=draw(st.sampled_from([[], [], ZONES])),
    )


def moves(*names: str, size: int = 25) -> st.SearchStrategy[list[Move]]:
    one = st.builds(Move, st.sampled_from(names), st.integers(0, 9), st.integers(0, 9))
    return st.lists(one, max_size=size)


CONTROLLER = ("reconcile", "reconcile", "reconcile", "partly", "crash")
NODES = ("kubelet", "kubelet", "some", "some", "time")
ROLLOUT_EDITS = ("image", "image", "partition", "surge", "unavailable")
SCALING = ("replicas", "role_replicas")
SHAPE_EDITS = ("workers", "role", "gang", "policy", "grace", "scheduler", "undo")
LIFE = ("paused", "suspend", "min_ready", "deadline", "drain", "startup", "drained")
FAILURES = ("delete", "vanish", "restart", "fail", "succeed", "unready")
VANDALISM = (
    "service",
    "mislabel",
    "unlabel",
    "amnesia",
    "records",
    "pod_group",
    "support",
    "reserve",
    "free",
    "condition",
    "lost_revision",
)
ALL = (*CONTROLLER, *NODES, *ROLLOUT_EDITS, *SCALING, *SHAPE_EDITS, *FAILURES, *VANDALISM)


@dataclass
class History:
    """Applies moves to a world; `past` are earlier specs."""

    world: World
    past: list[Spec]

    def make(self, move: Move) -> None:
        getattr(self, f"_{move.name}")(move.first, move.second)

    def _try(self, **values: Any) -> None:
        """An edit as admission lets it through; what it refuses is not done."""
        before, generation = msgspec.json.decode(msgspec.json.encode(self.world.spec)), self.world.generation
        self.world.edit(**values)
        roles = {role["name"]: role["replicas"] for role in self.world.spec["template"]["roles"]}
        gang = self.world.spec["template"].get("gangSchedule") or {}
        for name, minimum in list((gang.get("minRoleReplicas") or {}).items()):
            if minimum > roles.get(name, -1):
                del gang["minRoleReplicas"][name]
        if violations(self.world.owner.spec, NAME):
            self.world.spec, self.world.generation = before, generation
        else:
            self.past.append(before)

    def _reconcile(self, first: int, second: int) -> None:
        self.world.reconcile()

    def _partly(self, first: int, second: int) -> None:
        seen = [0]

        def refuse(action: Action) -> ApiFailure | None:
            seen[0] += 1
            return REFUSED if (seen[0] * (second + 1) + first) % 3 == 0 else None

        self.world.reconcile(refuse)

    def _crash(self, first: int, second: int) -> None:
        self.world.reconcile(crash_after=first)

    def _kubelet(self, first: int, second: int) -> None:
        self.world.kubelet()

    def _some(self, first: int, second: int) -> None:
        """Every few pods make their next step."""
        for index, name in enumerate(self.world.pod_names()):
            if (index + first) % (second % 4 + 1) == 0:
                if self.world.pods[name].metadata.is_terminating:
                    self.world.vanish(name)
                else:
                    self.world.start(name)

    def _time(self, first: int, second: int) -> None:
        self.world.pass_time((1, 5, 10, 29, 31, 60, 120, 300, 601, 3600)[first])

    def _image(self, first: int, second: int) -> None:
        self._try(image=f"v{first % 3 + 1}")

    def _partition(self, first: int, second: int) -> None:
        self._try(partition=first % 7)

    def _surge(self, first: int, second: int) -> None:
        self._try(max_surge=(0, 1, 2, 5, "50%")[first % 5])

    def _unavailable(self, first: int, second: int) -> None:
        self._try(max_unavailable=(0, 1, 2, 5, "50%")[first % 5])

    def _replicas(self, first: int, second: int) -> None:
        self._try(replicas=first % 7)

    def _role_replicas(self, first: int, second: int) -> None:
        roles = msgspec.json.decode(msgspec.json.encode(self.world.spec["template"]["roles"]))
        roles[first % len(roles)]["replicas"] = second % 4
        self._try(roles=roles)

    def _workers(self, first: int, second: int) -> None:
        roles = msgspec.json.decode(msgspec.json.encode(self.world.spec["template"]["roles"]))
        role = roles[first % len(roles)]
        role["workerReplicas"] = second % 3
        role.setdefault("workerTemplate", role["entryTemplate"])
        self._try(roles=roles)

    def _role(self, first: int, second: int) -> None:
        roles = msgspec.json.decode(msgspec.json.encode(self.world.spec["template"]["roles"]))
        match first % 3:
            case 0:
                roles.insert(second % (len(roles) + 1), a_role(f"new{second}", second % 3))
            case 1:
                roles.pop(second % len(roles))
            case _:
                roles[second % len(roles)]["name"] = f"renamed{second}"
        self._try(roles=roles)

    def _gang(self, first: int, second: int) -> None:
        role = self.world.spec["template"]["roles"][0]["name"]
        self._try(gang=(None, {}, {"minRoleReplicas": {role: second % 3}})[first % 3])

    def _policy(self, first: int, second: int) -> None:
        self._try(recoveryPolicy=POLICIES[first % 3])

    def _grace(self, first: int, second: int) -> None:
        self._try(grace=(0, 10, 60)[first % 3])

    def _scheduler(self, first: int, second: int) -> None:
        self._try(schedulerName=("volcano", "default-scheduler", "")[first % 3])

    def _set(self, name: str, value: Any) -> None:
        """A field of the spec; None: it is absent."""

        def change(spec: Spec) -> None:
            fields = spec["template"] if name in ("drain", "startupPolicy") else spec
            fields.pop(name, None)
            if value is not None:
                fields[name] = value

        self._try(change=change)

    def _paused(self, first: int, second: int) -> None:
        self._set("paused", bool(first % 2))

    def _suspend(self, first: int, second: int) -> None:
        self._set("suspend", first % 3 == 0)

    def _min_ready(self, first: int, second: int) -> None:
        self._set("minReadySeconds", (None, 5, 60)[first % 3])

    def _deadline(self, first: int, second: int) -> None:
        self._set("progressDeadlineSeconds", (None, 30, 300)[first % 3])
        self.world.edit(lambda spec: _set_on_failure(spec, ("Halt", "Rollback")[second % 2]))

    def _drain(self, first: int, second: int) -> None:
        self._set("drain", (None, {"timeoutSeconds": 5}, {"timeoutSeconds": 60})[first % 3])

    def _startup(self, first: int, second: int) -> None:
        self._set("startupPolicy", (None, "Parallel", "EntryReady")[first % 3])

    def _drained(self, first: int, second: int) -> None:
        """The workload says so, in a drain or at any other time."""
        if name := self._pod(first, second):
            pod = self.world.pods[name]
            annotations = {**pod.metadata.annotations, well_known.DRAINED: "true"}
            metadata = msgspec.structs.replace(pod.metadata, annotations=annotations)
            self.world.pods[name] = msgspec.structs.replace(pod, metadata=metadata)

    def _undo(self, first: int, second: int) -> None:
        if self.past:
            self.world.spec = self.past[first % len(self.past)]
            self.world.generation += 1

    def _pod(self, first: int, second: int) -> str | None:
        live = [name for name in self.world.pod_names() if not self.world.pods[name].metadata.is_terminating]
        return live[(first * 10 + second) % len(live)] if live else None

    def _delete(self, first: int, second: int) -> None:
        if name := self._pod(first, second):
            self.world.delete_pod(name)

    def _vanish(self, first: int, second: int) -> None:
        if names := self.world.pod_names():
            self.world.vanish(names[(first * 10 + second) % len(names)])

    def _restart(self, first: int, second: int) -> None:
        if (name := self._pod(first, second)) and not self._is_over(name):
            self.world.restart(name)

    def _fail(self, first: int, second: int) -> None:
        if (name := self._pod(first, second)) and not self._is_over(name):
            self.world.finish(name, timed=bool(first % 2))

    def _succeed(self, first: int, second: int) -> None:
        if (name := self._pod(first, second)) and not self._is_over(name):
            self.world.finish(name, "Succeeded", "")

    def _is_over(self, name: str) -> bool:
        return self.world.pods[name].status.phase in ("Failed", "Succeeded")

    def _unready(self, first: int, second: int) -> None:
        if (name := self._pod(first, second)) and self.world.pods[name].is_ready:
            self.world.unready(name)

    def _service(self, first: int, second: int) -> None:
        if not self.world.services:
            return
        name = sorted(self.world.services)[first % len(self.world.services)]
        service = self.world.services[name]
        match second % 3:
            case 0:
                del self.world.services[name]
            case 1:
                spec = msgspec.structs.replace(service.spec, selector={"app": "x"}, publish_not_ready_addresses=False)
                self.world.services[name] = msgspec.structs.replace(service, spec=spec)
            case _:
                spec = msgspec.structs.replace(service.spec, cluster_ip="10.0.0.1")
                self.world.services[name] = msgspec.structs.replace(service, spec=spec)

    def _relabel(self, name: str, changed: dict[str, str]) -> None:
        pod = self.world.pods[name]
        kept = {key: value for key, value in {**pod.metadata.labels, **changed}.items() if value}
        metadata = msgspec.structs.replace(pod.metadata, labels=kept)
        self.world.pods[name] = msgspec.structs.replace(pod, metadata=metadata)

    def _mislabel(self, first: int, second: int) -> None:
        if name := self._pod(first, second):
            self._relabel(name, {well_known.ENTRY: "maybe", well_known.GROUP_LEADER: "true", well_known.ROLE: ""})

    def _unlabel(self, first: int, second: int) -> None:
        if name := self._pod(first, second):
            self._relabel(name, {well_known.REVISION: ""})
            self.world.unlabelled.add(self.world.pods[name].metadata.uid)

    def _amnesia(self, first: int, second: int) -> None:
        self.world.status = ModelInferStatus()

    def _records(self, first: int, second: int) -> None:
        """Somebody edits the records."""
        broken = GroupRecord(
            revision=("", "gone", next(iter(self.world.revisions), ""))[first % 3],
            instances={"decode": second, "nobody": 3} if second % 2 else {},
            recreations={
                ("*", "decode-0", "nobody-7")[second % 3]: RecreationRecord(incarnation=second, attempt=first)
            },
        )
        groups = {**self.world.status.groups, str(first): broken}
        self.world.status = msgspec.structs.replace(self.world.status, groups=groups)

    def _condition(self, first: int, second: int) -> None:
        conditions = tuple(
            msgspec.structs.replace(c, status="True" if first % 2 else "False") for c in self.world.status.conditions
        )
        self.world.status = msgspec.structs.replace(self.world.status, conditions=conditions)

    def _lost_revision(self, first: int, second: int) -> None:
        if self.world.revisions:
            self.world.has_lost_revisions = True
            del self.world.revisions[sorted(self.world.revisions)[first % len(self.world.revisions)]]

    def _pod_group(self, first: int, second: int) -> None:
        if not self.world.pod_groups:
            return
        key = sorted(self.world.pod_groups)[first % len(self.world.pod_groups)]
        if second % 2:
            spec = {**self.world.pod_groups[key].spec, "minMember": 99, "schedulingPolicy": {"gang": {"minCount": 77}}}
            self.world.pod_groups[key] = msgspec.structs.replace(self.world.pod_groups[key], spec=spec)
        else:
            self.world.delete_pod_group(key)

    def _support(self, first: int, second: int) -> None:
        self.world.gang_support = GangSupport(volcano=bool(first % 2), kubernetes=bool(second % 2))
        self.world.pod_groups = {
            key: stored
            for key, stored in self.world.pod_groups.items()
            if self.world.gang_support.serves(key.scheduler)
        }

    def _reserve(self, first: int, second: int) -> None:
        """Somebody else takes a name that is free."""
        role = self.world.spec["template"]["roles"][0]["name"].lower()
        name = f"{NAME}-{first % 5}-{role}-{second % 3}-0"
        if name not in self.world.pods:
            self.world.name_conflicts["Pod", name] = f"pod {name} belongs to nobody"
        if name not in self.world.services:
            self.world.name_conflicts["Service", name] = f"Service {name} belongs to nobody"

    def _free(self, first: int, second: int) -> None:
        self.world.name_conflicts.clear()


def _set_on_failure(spec: Spec, what: str) -> None:
    spec["rolloutStrategy"]["rollingUpdateConfiguration"]["onFailure"] = what
