"""RoleBasedGroup and RoleBasedGroupSet (workloads.x-k8s.io/v1alpha1 and v1alpha2) as a ModelInfer.

A RoleBasedGroup is one InferGroup. A RoleBasedGroupSet is as many as it has replicas.
Source: api/workloads of RBG, v0.8.0-alpha.5.
"""

from __future__ import annotations

from typing import Any

from modelinfer_controller.kubectl.convert.source import NO_EQUAL, Source
from modelinfer_controller.kubectl.convert.templates import Template, add_variables, mentions, patched, take_template

_PREFIX = "rbg.workloads.x-k8s.io/"
_VOLCANO_QUEUE = "scheduling.volcano.sh/queue-name"
_ENVIRONMENT = {
    "RBG_LWP_LEADER_ADDRESS": "$(ENTRY_ADDRESS)",
    "RBG_LWP_WORKER_INDEX": "$(WORKER_INDEX)",
    "RBG_LWP_GROUP_SIZE": "$(GROUP_SIZE)",
}
_RECOVERY = {
    "None": "None",
    "RecreateRoleInstanceOnPodRestart": "RoleRecreate",
    "RecreateRBGOnPodRestart": "InferGroupRecreate",
}
_NOT_OF_ROLES = {
    "dependencies": "all roles start at once; make a pod wait for what it needs, or set startupPolicy",
    "coordination": "a group is updated as a whole",
    "engineRuntimes": "put the containers into the pod templates",
    "scalingAdapter": "change the role's replicas in the spec",
    "podManagementPolicy": "instances are created at once",
    "servicePorts": "create a Service that selects modelinfer.volcano.sh/name and /role",
    "workload": "the controller creates pods itself",
}


def convert(source: Source) -> dict[str, Any]:
    """The spec of the ModelInfer."""
    base = "spec"
    replicas = 1
    if source.kind == "RoleBasedGroupSet":
        replicas = source.take("spec.replicas", 1)
        base = "spec.groupTemplate.spec" if "groupTemplate" in source.left.get("spec", {}) else "spec.template"
    group = _Group(source, base)
    roles = group.roles()
    spec: dict[str, Any] = {"replicas": replicas, "recoveryPolicy": group.recovery_policy()}
    if group.min_ready:
        spec["minReadySeconds"] = max(group.min_ready)
    gang = _gang(source, base)
    spec["template"] = {**({"gangSchedule": {}} if gang else {}), "roles": roles}
    return spec


def _gang(source: Source, base: str) -> bool:
    """Asked for by an annotation (v1alpha2) or podGroupPolicy (v1alpha1). The queue moves to Volcano's own key."""
    annotations: dict[str, str] = source.left.setdefault("metadata", {}).setdefault("annotations", {})
    asked = annotations.pop(f"{_PREFIX}group-gang-scheduling", "") == "true"
    queue = annotations.pop(f"{_PREFIX}group-gang-scheduling-volcano-queue", None)
    queue = queue or source.take(f"{base}.podGroupPolicy.volcanoScheduling.queue")
    asked |= source.take(f"{base}.podGroupPolicy") is not None
    if queue:
        annotations[_VOLCANO_QUEUE] = queue
    for key in [key for key in annotations if key.startswith(_PREFIX)]:
        del annotations[key]
        source.note(f"metadata.annotations[{key}]", NO_EQUAL)
    return asked


class _Group:
    """The roles at `base`, and what they say about the group as a whole."""

    def __init__(self, source: Source, base: str) -> None:
        self._source, self._base = source, base
        self._policies: dict[str, str] = {}
        self.min_ready: list[int] = []
        self._templates = self._role_templates()

    def _role_templates(self) -> dict[str, Template]:
        base = f"{self._base}.roleTemplates"
        found = self._source.take(base) or []
        return {item["name"]: {"spec": {}, **(item.get("template") or {})} for item in found}

    def roles(self) -> list[dict[str, Any]]:
        count = len(self._at(f"{self._base}.roles") or [])
        return [self._role(f"{self._base}.roles[{index}]") for index in range(count)]

    def recovery_policy(self) -> str:
        """One for all: where roles differ, the one that recreates most."""
        ranked = ("None", "RoleRecreate", "InferGroupRecreate")
        chosen = max(self._policies.values(), key=ranked.index, default="None")
        for role, policy in self._policies.items():
            if policy != chosen:
                self._source.note(f"restart policy of role {role}", f"is {chosen} with the others': it is for a group")
        return chosen

    def _at(self, path: str) -> Any:
        value: Any = self._source.left
        for step in path.split("."):
            value = value.get(step) if isinstance(value, dict) else None
        return value

    def _role(self, path: str) -> dict[str, Any]:
        source = self._source
        name = source.take(f"{path}.name", "")
        pattern, workers = self._pattern(path)
        entry, worker = self._pair(path, pattern)
        role: dict[str, Any] = {
            "name": name,
            "replicas": source.take(f"{path}.replicas", 1),
            "workerReplicas": workers,
            "entryTemplate": entry,
        }
        if workers > 0:
            role["workerTemplate"] = worker
        self._policies[name] = self._restart_policy(path, pattern)
        self._settings(path)
        return role

    def _pattern(self, path: str) -> tuple[str, int]:
        """(the path of the leader-worker pattern, or of the single pod; the number of workers)"""
        for name in ("leaderWorkerPattern", "leaderWorkerSet"):
            if self._source.left and self._child(path, name) is not None:
                return f"{path}.{name}", self._source.take(f"{path}.{name}.size", 1) - 1
        for name in ("customComponentsPattern", "components"):
            self._source.refuse(f"{path}.{name}", "make a role of each component")
        return (f"{path}.standalonePattern" if self._child(path, "standalonePattern") is not None else path), 0

    def _child(self, path: str, name: str) -> Any:
        role = self._role_document(path)
        return role.get(name) if isinstance(role, dict) else None

    def _role_document(self, path: str) -> Any:
        index = int(path.rpartition("[")[2].rstrip("]"))
        return self._at(f"{self._base}.roles")[index]

    def _pair(self, path: str, pattern: str) -> tuple[Template, Template]:
        """(entry, worker): the template, from the role or its reference, with the patches of each."""
        source = self._source
        base = take_template(source, f"{pattern}.template") or take_template(source, f"{path}.template")
        for at in dict.fromkeys((pattern, path)):
            reference = source.take(f"{at}.templateRef.name")
            if reference is not None:
                base = patched(self._templates.get(reference, {"spec": {}}), source.take(f"{at}.templateRef.patch"))
        base = patched(base or {"spec": {}}, source.take(f"{path}.templatePatch"))
        leader = _first(source, f"{pattern}.leaderTemplatePatch", f"{pattern}.patchLeaderTemplate")
        worker = _first(source, f"{pattern}.workerTemplatePatch", f"{pattern}.patchWorkerTemplate")
        return self._finished(path, patched(base, leader)), self._finished(path, patched(base, worker))

    def _finished(self, path: str, template: Template) -> Template:
        add_variables(template, _ENVIRONMENT)
        rest = template
        for name in _ENVIRONMENT:
            rest = {"spec": _without(rest["spec"], name)}
        if mentions(rest, "RBG_"):
            self._source.note(path, "the pods read variables RBG_... that nobody sets here")
        if mentions(template, "/etc/rbg"):
            self._source.note(path, "the pods read /etc/rbg, the discovery file, which nobody writes here")
        return template

    def _restart_policy(self, path: str, pattern: str) -> str:
        """A single pod's is None in v1alpha2: to recreate its instance is to replace it."""
        source = self._source
        by_default = "RecreateRoleInstanceOnPodRestart" if pattern.endswith("leaderWorkerPattern") else "None"
        old = source.take(f"{path}.restartPolicy") or source.take(f"{pattern}.restartPolicy")
        policy = source.take(f"{pattern}.restartPolicyConfig.type") or old or by_default
        source.refuse(f"{pattern}.restartPolicyConfig", "recreations back off by 10 s, doubling to 5 min")
        return _RECOVERY.get(policy, "RoleRecreate")

    def _settings(self, path: str) -> None:
        source = self._source
        seconds = source.take(f"{path}.minReadySeconds")
        if seconds:
            self.min_ready.append(seconds)
        source.refuse(f"{path}.rolloutStrategy", "groups are updated as a whole, by spec.rolloutStrategy")
        for name, instead in _NOT_OF_ROLES.items():
            source.refuse(f"{path}.{name}", instead)


def _first(source: Source, *paths: str) -> Any:
    return next((value for path in paths if (value := source.take(path)) is not None), None)


def _without(value: Any, name: str) -> Any:
    """The value with a name cut out of its texts."""
    if isinstance(value, str):
        return value.replace(name, "")
    if isinstance(value, dict):
        return {key: _without(child, name) for key, child in value.items()}
    return [_without(child, name) for child in value] if isinstance(value, list) else value
