"""Rules that hold at all times, each checked at the store's own events. None of them knows how the planner decides.

Rules marked strict hold as far as the controller could know: they are not checked while faults make it see the past.
"""

from dataclasses import dataclass
from typing import Any

from modelinfer_controller.api import well_known
from modelinfer_controller.simulator.apiserver.store import ChangeType
from sim.facts import (
    CHILD_KINDS,
    MODEL_INFERS,
    NAME,
    NAMESPACE,
    NATIVE,
    PODS,
    REVISIONS,
    VOLCANO,
    Facts,
    Object,
    Pod,
    controllers,
    is_controlled_by,
    parse_pod,
    resolve_budget,
)
from sim.journal import CONTROLLER, Entry, Exchange
from sim.world import World

OWN_REFUSALS = (409, 404)
ADMISSION_WORDS = ("ValidatingAdmissionPolicy", "failed calling webhook", "NamespaceTerminating")


@dataclass
class Rules:
    """Attach to a world before anything happens."""

    world: World
    has_faults: bool = False

    def __post_init__(self) -> None:
        self._model_uids: set[str] = set()
        self._touched: dict[tuple[str, str], float] = {}  # plural and name -> when somebody else wrote it last
        self.world.journal.on_entry += [
            self._note_others,
            self.owned_by_the_living_model,
            self.revisions_are_immutable_and_kept_while_used,
            self.pods_come_after_what_they_need,
            self.pods_belong_to_the_spec,
            self.a_group_is_of_one_revision,
            self.a_rebuild_is_cleared_before_it_is_made,
        ]
        self.world.journal.on_exchange += [
            self.writes_name_the_uid,
            self.nothing_is_created_over_a_name,
            self.nothing_else_is_refused,
            self.no_write_without_a_change,
        ]

    @property
    def is_strict(self) -> bool:
        """Whether the controller sees the present."""
        return not self.has_faults and not self.world.is_behind

    @property
    def facts(self) -> Facts:
        return self.world.facts

    def _note_others(self, entry: Entry) -> None:
        if entry.author != CONTROLLER:
            if entry.change.kind_key == MODEL_INFERS:
                self._model_uids.add(entry.change.stored.object["metadata"]["uid"])
            self._touched[entry.change.kind_key[1], entry.change.key[1]] = entry.time

    # -- ownership ---------------------------------------------------------------------------------------------------

    def owned_by_the_living_model(self, entry: Entry) -> None:
        """Children have one controller reference, to the ModelInfer that is there and not being deleted.

        And nothing is ever written to or deleted that another owner controls.
        """
        if entry.author != CONTROLLER or entry.change.kind_key not in CHILD_KINDS:
            return
        change = entry.change
        obj = change.stored.object if change.previous is None else change.previous.object
        owners = controllers(obj)
        assert len(owners) == 1, f"{_where(entry)}: owners {owners}"
        assert owners[0]["uid"] in self._model_uids, f"{_where(entry)}: owners {owners}"
        if not self.is_strict:
            return
        model = self.facts.model
        assert model is not None, f"{_where(entry)}: written though there is no ModelInfer"
        assert owners[0]["uid"] == model["metadata"]["uid"], f"{_where(entry)}: owners {owners}"
        if change.previous is None:
            assert "deletionTimestamp" not in model["metadata"], f"{_where(entry)}: made for one that is being deleted"
            own = obj["metadata"]["labels"]
            assert own.get(well_known.NAME) == NAME, f"{_where(entry)}: labels {own}"

    def writes_name_the_uid(self, exchange: Exchange) -> None:
        """Every delete has a UID precondition, every patch names the UID in its metadata."""
        match exchange.request.method:
            case "DELETE":
                uid = (exchange.body.get("preconditions") or {}).get("uid")
                assert uid, f"{exchange}: a delete without a UID precondition"
            case "PATCH" if isinstance(exchange.body, list):
                tested = exchange.body[0]
                assert (tested["op"], tested["path"]) == ("test", "/metadata/uid"), f"{exchange}: does not test the UID"
            case "PATCH" if "/events/" not in exchange.request.path:
                assert (exchange.body.get("metadata") or {}).get("uid"), f"{exchange}: a patch without a UID"
            case _:
                pass

    # -- writes ------------------------------------------------------------------------------------------------------

    def nothing_is_created_over_a_name(self, exchange: Exchange) -> None:
        """Strict. A name that exists is reserved: what the cluster shows is not created, or tried to be."""
        if self.is_strict and exchange.request.method == "POST" and exchange.response.status == 409:
            name = exchange.body["metadata"]["name"]
            bearer = self._bearer(exchange)
            if bearer is not None and not (bearer["metadata"].get("labels") or {}).get(well_known.NAME):
                return  # without our label it is not in our caches
            assert self._just_changed(bearer), f"{exchange}: {name} exists"

    def nothing_else_is_refused(self, exchange: Exchange) -> None:
        """What the controller asks for is never invalid, unknown or forbidden; UIDs of the past and admission apart.

        What a server that fails answers says nothing of the request; and a status that somebody has wiped just now has
        nothing that a patch of a part could be put into.
        """
        status = exchange.response.status
        if not exchange.is_write or status < 300 or status >= 500 or status in OWN_REFUSALS:
            return
        text = exchange.response.body.decode(errors="replace")
        is_quota = status == 403 and "quota" in text
        is_namesake = status == 422 and ("/metadata/uid" in text or "metadata.uid: Invalid" in text)
        is_wiped = status == 422 and exchange.request.path.endswith("/status") and not self.facts.status.get("groups")
        is_admission = any(words in text for words in ADMISSION_WORDS)
        assert is_quota or is_namesake or is_wiped or is_admission, f"{exchange}: {text[:500]}"

    def no_write_without_a_change(self, exchange: Exchange) -> None:
        """Strict. A write that succeeds changes something."""
        if self.is_strict and exchange.is_write and exchange.response.status < 300:
            parts = exchange.request.path.removesuffix("/status").split("/")
            if self._touched.get((parts[-2], parts[-1])) == exchange.time:
                return  # somebody else has just done the same
            assert exchange.entries, f"{exchange}: changed nothing: {exchange.body}"

    def _bearer(self, exchange: Exchange) -> Object | None:
        kind = exchange.body["kind"]
        by_kind = {"Pod": "pods", "Service": "services", "ControllerRevision": "controllerrevisions"}
        plural = by_kind.get(kind, "podgroups")
        for key in CHILD_KINDS:
            if key[1] == plural and (found := self.facts.find(key, exchange.body["metadata"]["name"])):
                return found
        return None

    def _just_changed(self, obj: Object | None) -> bool:
        """Whether it was made in this very instant, by somebody else: the watch may still be on its way."""
        if obj is None:
            return True
        made = obj["metadata"]["creationTimestamp"]
        return bool(made == self.world.cluster.api.registry.now())

    # -- revisions ---------------------------------------------------------------------------------------------------

    def revisions_are_immutable_and_kept_while_used(self, entry: Entry) -> None:
        change = entry.change
        if change.kind_key != REVISIONS or entry.author != CONTROLLER or change.previous is None:
            return
        if change.type is ChangeType.MODIFIED:
            assert change.previous.object["data"] == change.stored.object["data"], f"{_where(entry)}: new data"
            return
        name = change.key[1]
        users = [pod.name for pod in self.facts.pods() if pod.revision == name]
        assert not users, f"{_where(entry)}: deleted while {users} use it"

    # -- pods --------------------------------------------------------------------------------------------------------

    def pods_come_after_what_they_need(self, entry: Entry) -> None:
        """The revision is stored before its first pod; a PodGroup that is served exists before the pods it gates."""
        pod = self._created(entry)
        if pod is None or not is_controlled_by(pod.object, self.facts.uid) or self.facts.is_deleted:
            return  # one of a ModelInfer that is gone, as the controller cannot know yet, goes with all its kin
        revision = self.facts.find(REVISIONS, pod.revision)
        assert revision is not None, f"{_where(entry)}: its revision {pod.revision} is not stored"
        annotation = (pod.object["metadata"].get("annotations") or {}).get(well_known.VOLCANO_GROUP_NAME)
        if annotation and self.is_strict and self._serves_volcano_for_long():
            stored = self.facts.find(VOLCANO, annotation)
            assert stored is not None, f"{_where(entry)}: its PodGroup {annotation} is not there"
        native = (pod.object["spec"].get("schedulingGroup") or {}).get("podGroupName")
        if native and self.is_strict and self.world.has_native_gang:
            assert self.facts.find(NATIVE, native) is not None, f"{_where(entry)}: its PodGroup {native} is not there"

    def _serves_volcano_for_long(self) -> bool:
        return self.world.has_volcano and self.world.now - self.world.volcano_since > 60

    def pods_belong_to_the_spec(self, entry: Entry) -> None:
        """Strict. What is made is a place of its revision and, where that is not being replaced, of the spec."""
        pod = self._created(entry)
        if pod is None or not self.is_strict:
            return
        spec = self.facts.spec
        _, surge, partition = resolve_budget(spec)
        assert pod.group < spec["replicas"] + surge, f"{_where(entry)}: beyond replicas and surge"
        roles = {role["name"].lower(): role for role in self.facts.revision_data(pod.revision)["roles"]}
        assert pod.role in roles, f"{_where(entry)}: its revision has no such role"
        assert pod.index <= (roles[pod.role].get("workerReplicas") or 0), f"{_where(entry)}: too many workers"
        wanted = {role["name"].lower(): role["replicas"] for role in spec["template"]["roles"]}
        if pod.role in wanted and (pod.group < partition or pod.revision == self.facts.update_revision()):
            assert pod.instance < wanted[pod.role], f"{_where(entry)}: beyond the role's replicas"

    def a_group_is_of_one_revision(self, entry: Entry) -> None:
        """Strict. A pod is not made while the group has pods of another revision, terminating ones among them."""
        pod = self._created(entry)
        if pod is None or not self.is_strict:
            return
        others = [p.name for p in self._siblings(pod) if p.revision not in ("", pod.revision)]
        assert not others, f"{_where(entry)}: of {pod.revision}, while there are {others} of another revision"

    def a_rebuild_is_cleared_before_it_is_made(self, entry: Entry) -> None:
        """Strict. Under the two policies that recreate, no pod of an instance is made while one of it is going away.

        And of pods that are made anew, none meets one of an earlier incarnation in what is recreated together.
        """
        pod = self._created(entry)
        policy = self.facts.spec.get("recoveryPolicy", "RoleRecreate")
        if pod is None or not self.is_strict or policy == "None":
            return
        instance = [p for p in self._siblings(pod) if (p.role, p.instance) == (pod.role, pod.instance)]
        leaving = [p.name for p in instance if p.is_terminating]
        assert not leaving, f"{_where(entry)}: while {leaving} of its instance are going away"
        earlier = [p.name for p in instance if p.incarnation < pod.incarnation]
        assert not earlier, f"{_where(entry)}: incarnation {pod.incarnation}, while there are earlier {earlier}"

    def _created(self, entry: Entry) -> Pod | None:
        change = entry.change
        if entry.author != CONTROLLER or change.kind_key != PODS or change.type is not ChangeType.ADDED:
            return None
        if change.key[0] != NAMESPACE:
            return None
        pod = parse_pod(change.stored.object)
        assert pod is not None, f"{_where(entry)}: a name that is no place"
        return pod

    def _siblings(self, pod: Pod) -> list[Pod]:
        return [p for p in self.facts.pods() if p.group == pod.group and p.uid != pod.uid]


def _where(entry: Entry) -> str:
    change: Any = entry.change
    return f"{entry.time:.3f} s: {change.type} {change.kind_key[1]} {change.key[1]}"
