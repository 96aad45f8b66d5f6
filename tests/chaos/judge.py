"""The rules, judged from outside: by watch events, by the audit log, by what passed the proxy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import astuple, dataclass
from datetime import datetime
from typing import Any

from controller_process import WRITES
from controlplane import AuditEvent
from controlplane.rest import RestError
from models import DOMAIN
from rollout_rules import Rules, ordinal_of, replay
from watched import Change, Object

from chaos.arena import NAMESPACE, Arena
from chaos.fleet import LEASE, RENEW_SECONDS, Health
from chaos.work import Work

# How long the controller may not have heard of what somebody else did a moment ago.
HEARING = 2.0
_QUIET = 2.0
_UNTIL_QUIET = 30.0
# At rest it has 70 MB, 25 tasks and 20 descriptors, whatever it went through.
MOST = Health(0, 110.0, 40, 50)
_BESIDE_THE_WORK = ("leases", "selfsubjectaccessreviews", "tokenreviews", "subjectaccessreviews")


@dataclass(frozen=True)
class Mark:
    """A moment, in everything that is written along."""

    changes: int
    audit: int
    sent: int


class Judge:
    """Follows a run of rounds. `violations` are sentences; a run without any is a good one."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self.judged: Counter[str] = Counter()
        self.most = Health(0, 0.0, 0, 0)
        self._foreign: dict[str, Any] = {}

    def mark(self) -> Mark:
        changes = self._arena.user.watch("pods").changes
        return Mark(len(changes), self._arena.control_plane.audit_position(), len(self._arena.proxy.sent))

    # -- what belongs to others ---------------------------------------------------------------------------------------

    def plant_foreign_objects(self, work: Work) -> None:
        """A pod and a Service with the names and labels of the ModelInfer's ninth group, which it does not control."""
        name = f"{work.name}-9-decode-0-0"
        meta = {"name": name, "labels": {f"{DOMAIN}/name": work.name}}
        container = {"name": "main", "image": "foreign:1"}
        pod = {"metadata": meta, "spec": {"containers": [container], "tolerations": [{"operator": "Exists"}]}}
        arena = self._arena
        arena.create(arena.path("pods"), pod)
        arena.create(arena.path("services"), {"metadata": meta, "spec": {"ports": [{"port": 80}]}})
        self._foreign = {kind: self._look_at(kind, name) for kind in ("pods", "services")}

    def remove_foreign_objects(self, work: Work) -> None:
        for kind in ("pods", "services"):
            self._arena.delete(self._arena.path(kind, f"{work.name}-9-decode-0-0"))

    def _look_at(self, kind: str, name: str) -> Any:
        try:
            found = self._arena.request("GET", self._arena.path(kind, name))
        except RestError as error:
            return str(error)
        kept = ("uid", "labels", "annotations", "ownerReferences", "deletionTimestamp")
        return {key: found["metadata"].get(key) for key in kept}

    def _ownership(self, work: Work, events: list[AuditEvent]) -> Iterator[str]:
        name = f"{work.name}-9-decode-0-0"
        for kind, before in self._foreign.items():
            if (now := self._look_at(kind, name)) != before:
                yield f"the foreign {kind} {name} is {now}, was {before}"
        yield from (f"{e.verb} of the foreign {e.resource} {name}" for e in events if e.name == name and e.code < 300)

    # -- a round ------------------------------------------------------------------------------------------------------

    def judge(self, work: Work, mark: Mark, faults: tuple[str, ...]) -> list[str]:
        """Call it when the faults are over and the ModelInfer is as specified."""
        self._arena.catch_up()
        events = self._arena.control_plane.audit_events(mark.audit)
        ours = [event for event in events if self._is_ours(event)]
        return [
            *self._at_rest(),
            *self._shape(work),
            *self._ownership(work, ours),
            *self._budget(work, mark),
            *self._partition(work, mark),
            *self._duplicates(work, events),
            *self._leases(events, mark, "lost-lease" in faults),
            *self._health(),
            *(one for replica in self._arena.fleet.replicas for one in replica.unexpected),
        ]

    def _is_ours(self, event: AuditEvent) -> bool:
        users = {replica.user for replica in self._arena.fleet.replicas}
        return event.user in users and event.verb in WRITES and event.resource not in _BESIDE_THE_WORK

    def _at_rest(self) -> list[str]:
        """Nothing is written any more, soon after all is as specified."""
        writes: list[AuditEvent] = []
        for _ in range(round(_UNTIL_QUIET / _QUIET)):
            position = self._arena.control_plane.audit_position()
            self._arena.sleep(_QUIET)
            writes = [event for event in self._arena.control_plane.audit_events(position) if self._is_ours(event)]
            if not writes:
                self.judged["seconds at rest"] += round(_QUIET)
                return []
        return [f"not at rest: {event.verb} {event.resource} {event.name}" for event in writes]

    def _shape(self, work: Work) -> Iterator[str]:
        if (pods := work.pods().keys()) != work.expected():
            yield f"pods {sorted(pods ^ work.expected())} are too many or missing"
        if (services := work.services()) != work.expected_services():
            yield f"Services {sorted(services ^ work.expected_services())} are too many or missing"
        for name, pod in work.pods().items():
            image = pod["spec"]["containers"][0]["image"]
            if image != work.expected_image(ordinal_of(work.name, name)):
                yield f"{name} has {image}"

    def _changes(self, work: Work, mark: Mark) -> list[Change]:
        changes = self._arena.user.watch("pods").changes[mark.changes :]
        return [change for change in changes if work.owns(change.object)]

    def _budget(self, work: Work, mark: Mark) -> Iterator[str]:
        """Whoever takes down a group that is available leaves enough others so."""
        allowance = work.allowance
        rules = Rules(allowance.rules.replicas, allowance.rules.max_unavailable, roles={"decode": 1})
        available: frozenset[int] = frozenset()
        taken: set[str] = set()
        for moment in replay(self._changes(work, mark), work.name, rules):
            change, before, available = moment.change, available, moment.available
            at, uid = _deleted_at(change.object), change.object["metadata"]["uid"]
            group = ordinal_of(work.name, change.name)
            if at is None or uid in taken or change.is_listed:
                continue
            taken.add(uid)
            hurt = {one for one, then in allowance.hurt_at.items() if then <= at + 1}
            if group not in before or group in hurt:
                continue
            self.judged["take-downs"] += 1
            excused = {one for one in hurt if allowance.hurt_at[one] >= at - HEARING}
            if len(available | excused) < rules.must_stay:
                yield f"{change.name} was taken down: {sorted(available)} stay available, {rules.must_stay} must"

    def _partition(self, work: Work, mark: Mark) -> Iterator[str]:
        for change in self._changes(work, mark):
            image = change.object["spec"]["containers"][0]["image"]
            if ordinal_of(work.name, change.name) < work.partition and image != "image:1":
                yield f"{change.name} has {image}, though the partition holds its group"

    def _duplicates(self, work: Work, events: list[AuditEvent]) -> Iterator[str]:
        """No pod is made more often than something asked for it."""
        pods = [e for e in events if e.resource == "pods" and not e.subresource and e.namespace == NAMESPACE]
        made = Counter(e.name for e in pods if self._is_ours(e) and (e.verb, e.code) == ("create", 201))
        # kwok deletes by name, now and then twice: what it took by itself is no fault of ours.
        deleted = [e for e in pods if e.verb == "delete" and e.code == 200]
        by_kwok, by_others = (Counter(e.name for e in deleted if (e.user == "kwok") is it) for it in (True, False))
        alone: Counter[int] = Counter()
        for name, count in (by_kwok - by_others).items():
            if name.startswith(f"{work.name}-"):
                alone[ordinal_of(work.name, name)] += count
        for name, count in made.items():
            if not name.startswith(f"{work.name}-"):
                continue
            self.judged["pods made"] += count
            group = ordinal_of(work.name, name)
            allowed = 1 + work.allowance.made[group] + alone[group]
            if count > allowed:
                yield f"{name} was made {count} times, {allowed} were asked for"

    def _leases(self, events: list[AuditEvent], mark: Mark, is_stolen: bool) -> Iterator[str]:
        """No replica sends a write once another has the Lease. Who loses it to a stranger may hear of that later."""
        replicas = self._arena.fleet.replicas
        users = {replica.user for replica in replicas}
        strangers = [
            (_seconds(event), event.user)
            for event in events
            if (event.resource, event.name) == ("leases", LEASE) and event.verb in WRITES and event.user not in users
        ]
        # Not by the audit log: what a server that is killed has just answered may be missing there.
        claims = sorted([*strangers, *((at, replica.name) for replica in replicas for at in replica.route.renewals)])
        index, holder, since = 0, "", 0.0
        for sent in self._arena.proxy.sent[mark.sent :]:
            while index < len(claims) and claims[index][0] <= sent.at:
                at, name = claims[index]
                holder, since = (name, at) if name != holder else (holder, since)
                index += 1
            if not sent.is_write or not holder:
                continue
            self.judged["writes of leaders"] += 1
            patience = RENEW_SECONDS if is_stolen else 0.0
            if sent.sender != holder and sent.at > since + patience:
                late = sent.at - since
                yield f"{sent.sender} sent {sent.method} {sent.path} {late:.3f} s after {holder} took the Lease"

    def _health(self) -> Iterator[str]:
        for replica in self._arena.fleet.replicas:
            health = replica.health()
            self.judged["processes looked at"] += 1
            pairs = zip(astuple(self.most), astuple(health), strict=True)
            self.most = Health(*map(max, pairs))
            if health.mb > MOST.mb or health.tasks > MOST.tasks or health.descriptors > MOST.descriptors:
                yield f"{replica.name} at rest: {health}"


def _deleted_at(pod: Object) -> float | None:
    """When its deletion was asked for, wall-clock seconds, whole ones."""
    meta: Mapping[str, Any] = pod["metadata"]
    if "deletionTimestamp" not in meta:
        return None
    ends = datetime.fromisoformat(meta["deletionTimestamp"]).timestamp()
    return ends - float(meta.get("deletionGracePeriodSeconds") or 0)


def _seconds(event: AuditEvent) -> float:
    return datetime.fromisoformat(event.time).timestamp()
