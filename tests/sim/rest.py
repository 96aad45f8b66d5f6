"""What a ModelInfer's world looks like when it has come to rest, worked out from the spec's JSON alone."""

import re
from collections import Counter
from typing import Any

from modelinfer_controller.api import well_known
from sim.facts import (
    BUDGETS,
    NAME,
    NATIVE,
    PODS,
    REVISIONS,
    SERVICES,
    VOLCANO,
    Facts,
    Object,
    Pod,
    condition,
    hands_over,
    resolve_budget,
    wanted_groups,
)


def check_at_rest(facts: Facts, *, has_volcano: bool, has_native_gang: bool) -> None:
    """Exactly the specified children, all of them ready, and a true status. Raises AssertionError."""
    model = facts.model
    if model is None:
        for kind in (PODS, SERVICES, REVISIONS, VOLCANO, NATIVE, BUDGETS):
            left = [obj["metadata"]["name"] for obj in facts.objects(kind) if _is_labelled(obj)]
            assert not left, f"the ModelInfer is gone, {kind[1]} {left} are not"
        return
    spec, pods = model["spec"], facts.pods_by_group()
    update = facts.update_revision()
    shapes = {group: _shape(facts, spec, group, pods.get(group, []), update) for group in _expected(facts, pods)}
    _check_pods(pods, shapes, spec)
    _check_services(facts, shapes)
    _check_pod_groups(facts, spec, shapes, pods, has_volcano=has_volcano, has_native_gang=has_native_gang)
    _check_disruption_budget(facts, model)
    _check_revisions(facts, spec, pods, update)
    _check_status(model, shapes, pods, update)


def _expected(facts: Facts, pods: dict[int, list[Pod]]) -> list[int]:
    """Those of the spec, and while an update is held up the surge that it had made."""
    spec = facts.spec
    replicas, most_surge = wanted_groups(spec), resolve_budget(spec)[1]
    is_held = replicas > 0 and (bool(spec.get("paused")) or facts.is_halted)
    surge = [group for group in range(replicas, replicas + most_surge) if group in pods]
    return [*range(replicas), *(surge if is_held else ())]


def _is_labelled(obj: Object) -> bool:
    return bool((obj["metadata"].get("labels") or {}).get(well_known.NAME) == NAME) and bool(
        obj["metadata"].get("ownerReferences")
    )


class Shape:
    """The pods that a group is to have: (role as written, instance) -> pods, at one revision."""

    def __init__(self, revision: str, roles: list[Object], counts: dict[str, int], *, is_current: bool) -> None:
        self.revision = revision
        self.is_current = is_current
        self.roles = roles
        self.counts = counts  # role as written -> instances
        self.instances = {
            (role["name"], instance): (role.get("workerReplicas") or 0) + 1
            for role in roles
            for instance in range(counts[role["name"]])
        }

    def image(self, role: str, index: int) -> str:
        found = next(one for one in self.roles if one["name"].lower() == role)
        template = found["entryTemplate"] if index == 0 or "workerTemplate" not in found else found["workerTemplate"]
        return str(template["spec"]["containers"][0]["image"])


def _shape(facts: Facts, spec: Object, group: int, pods: list[Pod], update: str) -> Shape:
    partition, goal = resolve_budget(spec)[2], facts.goal_revision()
    revisions = {pod.revision for pod in pods}
    assert len(revisions) <= 1, f"group {group} is of several revisions: {revisions}"
    wanted = {role["name"]: role["replicas"] for role in spec["template"]["roles"]}
    if group >= partition and not spec.get("paused") and not facts.is_halted:
        assert revisions <= {goal}, f"group {group} is at {revisions}, not at {goal}"
    if group >= partition and (revisions == {update} or (not revisions and goal == update)):
        return Shape(update, spec["template"]["roles"], wanted, is_current=True)
    model = facts.model or {}
    revision = next(iter(revisions), model["status"]["currentRevision"])  # a held group of no pods has none to show
    is_current = revision == update and bool(pods)
    roles = facts.revision_data(revision)["roles"]
    by_lower = {name.lower(): count for name, count in wanted.items()}
    counts = {role["name"]: by_lower.get(role["name"].lower(), _seen(pods, role["name"].lower())) for role in roles}
    return Shape(revision, roles, counts, is_current=is_current)


def _seen(pods: list[Pod], role: str) -> int:
    return max((pod.instance + 1 for pod in pods if pod.role == role), default=0)


def _check_pods(pods: dict[int, list[Pod]], shapes: dict[int, Shape], spec: Object) -> None:
    expected = {
        f"{NAME}-{group}-{role.lower()}-{instance}-{index}": shape.image(role.lower(), index)
        for group, shape in shapes.items()
        for (role, instance), size in shape.instances.items()
        for index in range(size)
    }
    found = {pod.name: pod.image for group in pods.values() for pod in group}
    assert found == expected, _difference(found, expected)
    unready = sorted(pod.name for group in pods.values() for pod in group if not pod.is_ready)
    assert not unready, f"not ready: {unready}"
    for group in pods.values():
        for pod in group:
            _check_labels(pod, spec)
            assert not pod.is_draining, f"{pod.name} drains"


def _check_labels(pod: Pod, spec: Object) -> None:
    own = pod.object["metadata"]["labels"]
    assert own[well_known.NAME] == NAME
    assert own[well_known.GROUP_NAME] == f"{NAME}-{pod.group}"
    assert own[well_known.ROLE].lower() == pod.role
    assert own[well_known.ROLE_ID].lower() == f"{pod.role}-{pod.instance}"
    assert own.get(well_known.ENTRY) == ("true" if pod.index == 0 else None)
    assert own[well_known.GROUP_INDEX] == str(pod.group)
    assert own[well_known.WORKER_INDEX] == str(pod.index)
    if "drain" in spec["template"]:
        assert own.get(well_known.SERVING) == "true", f"{pod.name} does not serve"


def _difference(found: dict[str, Any], expected: dict[str, Any]) -> str:
    lacking, extra = sorted(expected.keys() - found.keys()), sorted(found.keys() - expected.keys())
    wrong = {name: (found[name], value) for name, value in expected.items() if name in found and found[name] != value}
    return f"lacking {lacking}, too many {extra}, (found, expected) {wrong}"


def _check_services(facts: Facts, shapes: dict[int, Shape]) -> None:
    expected = {
        f"{NAME}-{group}-{role.lower()}-{instance}-0"
        for group, shape in shapes.items()
        for (role, instance), size in shape.instances.items()
        if size > 1
    }
    services = {one["metadata"]["name"]: one for one in facts.owned(SERVICES)}
    assert set(services) == expected, f"Services {sorted(services)}, expected {sorted(expected)}"
    pods = facts.pods()
    for name, service in services.items():
        selector = service["spec"]["selector"].items()
        selected = [pod.name for pod in pods if selector <= pod.object["metadata"]["labels"].items()]
        assert selected == [name], f"Service {name} selects {selected}"
        assert service["spec"]["publishNotReadyAddresses"] is True
        assert service["spec"]["clusterIP"] == "None"


def _check_pod_groups(
    facts: Facts,
    spec: Object,
    shapes: dict[int, Shape],
    pods: dict[int, list[Pod]],
    *,
    has_volcano: bool,
    has_native_gang: bool,
) -> None:
    gang = spec["template"].get("gangSchedule")
    volcano = {one["metadata"]["name"]: one["spec"] for one in facts.owned(VOLCANO)}
    native = {one["metadata"]["name"]: one["spec"] for one in facts.owned(NATIVE)}
    used: set[str] = set()
    for group, shape in shapes.items():
        name = f"{NAME}-{group}"
        kind = facts.revision_data(shape.revision).get("gangScheduler")
        if not shape.is_current and not pods.get(group):
            used |= {name} & (volcano.keys() | native.keys())
            continue  # held by the partition and of no pods: nobody can tell which revision it is of
        if shape.is_current:
            assert (kind is not None) == (gang is not None), f"{name}: {kind}, gangSchedule {gang}"
        is_kept = gang is None  # turned off: a group that the partition holds keeps the PodGroup that it has
        minimums = (gang or {}).get("minRoleReplicas") or {}
        needed = {
            f"{role.lower()}-{instance}": size
            for (role, instance), size in shape.instances.items()
            if instance < minimums.get(role, shape.counts[role])
        }
        if kind == "volcano" and has_volcano:
            used.add(name)
            if is_kept:
                continue
            assert volcano[name]["minMember"] == sum(needed.values()), f"{name}: {volcano[name]}"
            tasks = {task.lower(): count for task, count in (volcano[name].get("minTaskMember") or {}).items()}
            assert tasks == needed, f"{name}: {tasks}, expected {needed}"
        if kind == "kubernetes" and has_native_gang:
            used.add(name)
            if is_kept:
                continue
            count = native[name]["schedulingPolicy"]["gang"]["minCount"]
            assert count == max(1, sum(needed.values())), f"{name}: {count}, expected {needed}"
        for pod in pods.get(group, []):
            annotation = (pod.object["metadata"].get("annotations") or {}).get(well_known.VOLCANO_GROUP_NAME)
            assert annotation == (name if kind == "volcano" else None), f"{pod.name}: {annotation}"
    assert set(volcano) | set(native) == used, f"PodGroups {sorted(volcano)} {sorted(native)}, expected {sorted(used)}"


def _check_disruption_budget(facts: Facts, model: Object) -> None:
    """One, that lets no healthy pod go, where groups are handed over."""
    asked, told = hands_over(model["spec"]), condition(model, "HandOver")
    found = {one["metadata"]["name"]: one["spec"] for one in facts.owned(BUDGETS)}
    selector = {"matchLabels": {well_known.NAME: NAME}}
    wanted = {"minAvailable": 2**31 - 1, "selector": selector, "unhealthyPodEvictionPolicy": "AlwaysAllow"}
    assert found == ({NAME: wanted} if asked else {}), f"PodDisruptionBudgets {found}"
    assert told.get("reason") == ("EvictionsWait" if asked else None), f"HandOver: {told}"


def _check_revisions(facts: Facts, spec: Object, pods: dict[int, list[Pod]], update: str) -> None:
    stored = {one["metadata"]["name"] for one in facts.owned(REVISIONS)}
    recorded = {one["revision"] for one in facts.status.get("groups", {}).values() if one.get("suspended")}
    in_use = {update} | {pod.revision for group in pods.values() for pod in group} | recorded
    assert in_use <= stored, f"revisions {in_use - stored} are used and not stored"
    # The revision that the last rollout started from may be kept beside the 10 newest unused.
    assert len(stored - in_use) <= 11, f"{len(stored - in_use)} unused revisions are kept"
    roles = [{key: value for key, value in role.items() if key != "replicas"} for role in spec["template"]["roles"]]
    data = facts.revision_data(update)["roles"]
    assert [_plain(role) for role in data] == [_plain(role) for role in roles], "the update revision is not the spec's"


def _plain(role: Object) -> Any:
    """What shapes its pods: a workerTemplate without workers shapes none, nor does a default that is spelled out."""
    workers = role.get("workerReplicas") or 0
    templates = [role["entryTemplate"], *([role["workerTemplate"]] if workers and "workerTemplate" in role else [])]
    containers = [container for template in templates for container in template["spec"]["containers"]]
    return role["name"], workers, [(one["name"], one["image"]) for one in containers]


def _check_status(model: Object, shapes: dict[int, Shape], pods: dict[int, list[Pod]], update: str) -> None:
    status, generation = model["status"], model["metadata"]["generation"]
    by_revision = Counter(next(iter(group)).revision for group in pods.values() if group)
    expected = {
        "observedGeneration": generation,
        "replicas": sum(bool(group) for group in pods.values()),
        "updatedReplicas": by_revision[update],
        "availableReplicas": len(shapes),
        "updateRevision": update,
        "labelSelector": f"{well_known.NAME}={NAME},{well_known.GROUP_LEADER}=true",
    }
    # A group of no pods at all is available only where that is what its role replicas ask for.
    told = {key: status.get(key) for key in expected}
    assert told == expected, f"status {told}, expected {expected}"
    assert status["currentReplicas"] == by_revision[status["currentRevision"]]
    leaders = [p for group in pods.values() for p in group if _is_leader(p)]
    with_leader = sum(shape.counts[shape.roles[0]["name"]] > 0 for shape in shapes.values())
    assert len(leaders) == with_leader == len({pod.group for pod in leaders}), "not one leader for each group"
    _check_conditions(model, generation)


def _is_leader(pod: Pod) -> bool:
    return bool(pod.object["metadata"]["labels"].get(well_known.GROUP_LEADER) == "true")


def _check_conditions(model: Object, generation: int) -> None:
    conditions = model["status"]["conditions"]
    by_type = {one["type"]: one for one in conditions}
    assert len(by_type) == len(conditions), "a condition is there twice"
    for type_, (status, reason) in _verdicts(model).items():
        found = by_type.get(type_, {"status": "", "reason": ""})
        assert found["status"] == status, f"{type_}: {found}, expected {status}"
        assert reason in ("", found["reason"]), f"{type_}: {found}, expected {reason}"
    for one in conditions:
        assert one["status"] in ("True", "False")
        assert re.fullmatch("[A-Z][A-Za-z0-9]*", one["reason"]), one
        assert one["message"]
        assert one["observedGeneration"] == generation, one
        assert one["lastTransitionTime"]


def _verdicts(model: Object) -> dict[str, tuple[str, str]]:
    """Type -> (status, reason or "" for any); status "" where the condition is not to be there."""
    spec, status = model["spec"], model["status"]
    good = {"Available": ("True", ""), "Progressing": ("False", ""), "UpdateInProgress": ("False", "")}
    if spec.get("suspend"):
        return {**good, "Available": ("False", "Suspended"), "Ready": ("False", "Suspended"), "Suspended": ("True", "")}
    if condition(model, "Stalled").get("reason") == "ProgressDeadlineExceeded":
        failed = ("False", "ProgressDeadlineExceeded")
        return {"Available": ("True", ""), "Progressing": failed, "Ready": failed}
    if status.get("failedRevision"):
        return {**good, "Ready": ("False", "RolledBack"), "Stalled": ("True", "RolledBack")}
    if spec.get("paused") and condition(model, "UpdateInProgress")["status"] == "True":
        return {
            "Available": ("True", ""),
            "Progressing": ("False", "Paused"),
            "Ready": ("False", "Paused"),
            "Stalled": ("", ""),
        }
    return {**good, "Ready": ("True", ""), "Stalled": ("", "")}
