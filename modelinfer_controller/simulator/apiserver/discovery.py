"""What the server says of itself: versions, groups, resources, health, and the schemas of custom kinds."""

from modelinfer_controller.kube.transport import Request, Response
from modelinfer_controller.simulator.apiserver import status_errors
from modelinfer_controller.simulator.apiserver.kinds import Kind, Kinds
from modelinfer_controller.simulator.objects import Object, encode

_JSON = {"content-type": "application/json"}
_VERSION: Object = {
    "major": "1",
    "minor": "37",
    "gitVersion": "v1.37.2+simulated",
    "gitCommit": "",
    "gitTreeState": "clean",
    "buildDate": "2026-01-01T00:00:00Z",
    "goVersion": "",
    "compiler": "",
    "platform": "python",
}
_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]


class Discovery:
    """Answers every path that names no object."""

    def __init__(self, kinds: Kinds) -> None:
        self._kinds = kinds

    def respond(self, request: Request) -> Response:
        """Raises StatusError where nothing is served."""
        if request.method != "GET":
            raise status_errors.method_not_allowed()
        parts = [part for part in request.path.split("/") if part]
        if parts in (["healthz"], ["readyz"], ["livez"]):
            return Response(200, b"ok", {"content-type": "text/plain"})
        document = self._document(parts)
        if document is None:
            raise status_errors.no_such_resource()
        return Response(200, encode(document), _JSON)

    def _document(self, parts: list[str]) -> Object | None:
        match parts:
            case ["version"]:
                return _VERSION
            case ["api"]:
                return {"kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": []}
            case ["apis"]:
                groups = [self._group(name) for name in self._group_names()]
                return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}
            case ["apis", group] if group in self._group_names():
                return {**self._group(group), "kind": "APIGroup", "apiVersion": "v1"}
            case ["api", version]:
                return self._resources("", version)
            case ["apis", group, version]:
                return self._resources(group, version)
            case ["openapi", "v3"]:
                return self._open_api_paths()
            case ["openapi", "v3", "api", version]:
                return self._open_api("", version)
            case ["openapi", "v3", "apis", group, version]:
                return self._open_api(group, version)
            case _:
                return None

    def _group_names(self) -> list[str]:
        return list(dict.fromkeys(kind.group for kind in self._kinds if kind.group))

    def _group(self, name: str) -> Object:
        versions = list(dict.fromkeys(kind.version for kind in self._kinds if kind.group == name))
        served = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
        return {"name": name, "versions": served, "preferredVersion": served[0]}

    def _resources(self, group: str, version: str) -> Object | None:
        kinds = [kind for kind in self._kinds if (kind.group, kind.version) == (group, version)]
        if not kinds:
            return None
        resources = [resource for kind in kinds for resource in _api_resources(kind)]
        group_version = f"{group}/{version}" if group else version
        return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources}

    def _open_api_paths(self) -> Object:
        roots = sorted({kind.root.lstrip("/") for kind in self._kinds})
        return {"paths": {path: {"serverRelativeURL": f"/openapi/v3/{path}"} for path in roots}}

    def _open_api(self, group: str, version: str) -> Object | None:
        """Paths of all kinds, schemas of the custom ones only."""
        kinds = [kind for kind in self._kinds if (kind.group, kind.version) == (group, version)]
        if not kinds:
            return None
        head: Object = {"openapi": "3.0.0", "info": {"title": "Kubernetes", "version": _VERSION["gitVersion"]}}
        paths = {_object_path(kind): _operations(kind) for kind in kinds}
        return {
            **head,
            "paths": paths,
            "components": {"schemas": {_schema_name(kind): _schema(kind) for kind in kinds}},
        }


def _api_resources(kind: Kind) -> list[Object]:
    singular = kind.kind.lower()
    resource: Object = {
        "name": kind.plural,
        "singularName": singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": _VERBS,
    }
    if kind.short_names:
        resource["shortNames"] = list(kind.short_names)
    if kind.categories:
        resource["categories"] = list(kind.categories)
    return [resource, *_subresources(kind)]


def _subresources(kind: Kind) -> list[Object]:
    base: Object = {"singularName": "", "namespaced": kind.namespaced}
    found: list[Object] = []
    if kind.has_status:
        verbs = ["get", "patch", "update"]
        found.append({**base, "name": f"{kind.plural}/status", "kind": kind.kind, "verbs": verbs})
    if kind.scale is not None:
        scale = {"group": "autoscaling", "version": "v1", "kind": "Scale", "verbs": ["get", "patch", "update"]}
        found.append({**base, "name": f"{kind.plural}/scale", **scale})
    for name in kind.subresources:
        found.append({**base, "name": f"{kind.plural}/{name}", "kind": name.capitalize(), "verbs": ["create"]})
    return found


def _schema_name(kind: Kind) -> str:
    reversed_group = ".".join(reversed(kind.group.split(".")))
    return f"{reversed_group}.{kind.version}.{kind.kind}"


def _schema(kind: Kind) -> Object:
    document = kind.custom.document if kind.custom is not None else {"type": "object"}
    return {**document, "x-kubernetes-group-version-kind": [_group_version_kind(kind)]}


def _group_version_kind(kind: Kind) -> Object:
    return {"group": kind.group, "version": kind.version, "kind": kind.kind}


def _object_path(kind: Kind) -> str:
    namespace = "/namespaces/{namespace}" if kind.namespaced else ""
    return f"{kind.root}{namespace}/{kind.plural}/{{name}}"


def _operations(kind: Kind) -> Object:
    """What kubectl finds a kind's schema by, and whether the server validates fields itself."""
    schema = {"$ref": f"#/components/schemas/{_schema_name(kind)}"}
    content = {"application/json": {"schema": schema}}
    operation: Object = {
        "responses": {"200": {"description": "OK", "content": content}},
        "x-kubernetes-group-version-kind": _group_version_kind(kind),
    }
    names = ("dryRun", "fieldManager", "fieldValidation", "force")
    parameters = [{"name": name, "in": "query", "schema": {"type": "string"}} for name in names]
    patch = {**operation, "x-kubernetes-action": "patch", "parameters": parameters}
    return {"get": {**operation, "x-kubernetes-action": "get"}, "patch": patch}
