"""The API server: requests in, responses and watches out. Knows paths and verbs; the registry knows objects."""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
import yaml

from modelinfer_controller.api.merge_patch import merge_patch
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.transport import Request, Response
from modelinfer_controller.simulator.apiserver import status_errors
from modelinfer_controller.simulator.apiserver.admission import Admission, Operation, Review
from modelinfer_controller.simulator.apiserver.audit import Audit, Call
from modelinfer_controller.simulator.apiserver.deletion import delete_options
from modelinfer_controller.simulator.apiserver.discovery import Discovery
from modelinfer_controller.simulator.apiserver.eviction import check_eviction
from modelinfer_controller.simulator.apiserver.kinds import ACCESS_REVIEWS, BINDINGS, NODES, PODS, Kind, Kinds
from modelinfer_controller.simulator.apiserver.listing import list_page
from modelinfer_controller.simulator.apiserver.patches import json_patch, strategic_merge_patch
from modelinfer_controller.simulator.apiserver.registry import Registry, WriteOptions
from modelinfer_controller.simulator.apiserver.scale import scale_of, with_scale
from modelinfer_controller.simulator.apiserver.selectors import selection
from modelinfer_controller.simulator.apiserver.status_errors import StatusError
from modelinfer_controller.simulator.apiserver.store import Change, ChangeType, Key, Store, Stored, TooOld
from modelinfer_controller.simulator.apiserver.tables import table_of, wants_table
from modelinfer_controller.simulator.apiserver.watching import Watch, Watches
from modelinfer_controller.simulator.objects import Object, decode, encode

_JSON = {"content-type": "application/json"}
_LARGEST_BODY = 3 * 1024 * 1024  # bytes of a request
_LARGEST_OBJECT = 3 * 512 * 1024  # bytes, as etcd stores it
_WORTH_MEASURING = 64 * 1024  # bytes of a request: a smaller one makes no object too large that was not nearly so
_WATCH_SECONDS = (1800.0, 3600.0)  # how long a watch lasts whose client sets no limit


@dataclass(frozen=True, slots=True)
class Target:
    """What a path names. name "" is the whole collection, namespace "" all namespaces or a cluster-scoped kind."""

    kind: Kind
    namespace: str = ""
    name: str = ""
    subresource: str = ""

    @property
    def key(self) -> Key:
        return (self.namespace, self.name)


class ApiServer:
    """Serves one cluster's API. Synchronous: a request is one atomic step, so there are no races inside."""

    def __init__(self, clock: Clock, rng: random.Random, *, history_limit: int = 10_000) -> None:
        self.store = Store(history_limit)
        self.kinds = Kinds()
        self.registry = Registry(self.store, self.kinds, clock, rng)
        self.watches = Watches(self.store)
        self.admission = Admission()
        self.audit = Audit()
        self._random = rng
        self._discovery = Discovery(self.kinds)

    def handle(self, request: Request) -> Response:
        """One exchange; a watch is opened by `watch` instead. Never raises: a refusal is a response with a Status."""
        try:
            target = self._target(request.path)
            if target is None:
                return self._discovery.respond(request)
            if len(request.body or b"") > _LARGEST_BODY:
                raise status_errors.too_large_body(_LARGEST_BODY)
            response = self._respond(request, target)
        except StatusError as error:
            response = error_response(error)
            target = self._target_or_none(request.path)
        if target is not None:
            self._record(request, target, _verb(request.method, target), response.status)
        return response

    def admission_delay(self, request: Request) -> float:
        """Seconds for which webhooks let this request wait before it is handled."""
        if not self.admission.has_plugins or request.method == "GET":
            return 0.0
        try:
            review = self._review(request, self._target(request.path))
        except StatusError:
            return 0.0
        return self.admission.delay(review) if review is not None else 0.0

    def _review(self, request: Request, target: Target | None) -> Review | None:
        """Of an update or a deletion: with the object as it is stored."""
        if target is None:
            return None
        if not target.name:
            body = _body(request) if request.method == "POST" else {}
            name = (body.get("metadata") or {}).get("name", "")
            return (
                Review(Operation.CREATE, target.kind, target.namespace, name, "", _user(request), body)
                if body
                else None
            )
        operation = Operation.DELETE if request.method == "DELETE" else Operation.UPDATE
        stored = self.registry.get(target.kind, target.key)
        kind, (namespace, name) = target.kind, target.key
        return Review(operation, kind, namespace, name, target.subresource, _user(request), stored.object)

    def watch(self, request: Request) -> Watch:
        """Opens a watch. Raises StatusError where it cannot be; of a version that is gone an ERROR event tells."""
        target = self._target(request.path)
        if target is None or (target.name and target.subresource):
            raise status_errors.no_such_resource()
        query = dict(request.query)
        if target.name:
            query["fieldSelector"] = f"metadata.name={target.name}"
        self._record(request, target, "watch", 200)
        return self._opened(target, query, self._render(request, target.kind))

    def close(self, watch: Watch) -> None:
        self.watches.close(watch)

    def _opened(self, target: Target, query: Mapping[str, str], render: Callable[[Stored], bytes]) -> Watch:
        version = query.get("resourceVersion", "")
        if version and not version.isdigit():
            raise status_errors.bad_request(f"invalid resource version: {version}")
        wants_state = query.get("sendInitialEvents") == "true" or version in ("", "0")
        since = self.store.revision if wants_state else int(version)
        watch = Watch(target.kind, selection(target.kind, target.namespace, query), since, render)
        bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
        missed: list[Change] = []
        if wants_state:
            if int(version or 0) > self.store.revision:
                raise status_errors.too_large(int(version), self.store.revision)
            self._send_state(watch, target, query)
            if query.get("sendInitialEvents") == "true" and bookmarks:
                watch.bookmark(self.store.revision, ends_initial_events=True)
        else:
            try:
                missed = self.store.collection(target.kind.key).since(since)
            except TooOld as error:
                watch.fail(status_errors.too_old(since, error.oldest))
                return watch
        self.watches.open(watch, missed, self._watch_seconds(query), bookmarks)
        return watch

    def _send_state(self, watch: Watch, target: Target, query: Mapping[str, str]) -> None:
        selectors = {name: query[name] for name in ("labelSelector", "fieldSelector") if name in query}
        for stored in list_page(self.store, target.kind, target.namespace, selectors).items:
            watch.push(ChangeType.ADDED, stored)

    def _watch_seconds(self, query: Mapping[str, str]) -> float:
        text = query.get("timeoutSeconds", "")
        return float(text) if text.isdigit() and int(text) else self._random.uniform(*_WATCH_SECONDS)

    def _target(self, path: str) -> Target | None:
        """None for discovery. Raises StatusError where nothing is served under the path."""
        parts = [part for part in path.split("/") if part]
        match parts:
            case ["api", version, *rest] if rest:
                return self._resource("", version, rest)
            case ["apis", group, version, *rest] if rest:
                return self._resource(group, version, rest)
            case _:
                return None

    def _target_or_none(self, path: str) -> Target | None:
        try:
            return self._target(path)
        except StatusError:
            return None

    def _resource(self, group: str, version: str, rest: list[str]) -> Target:
        namespace = ""
        if rest[0] == "namespaces" and len(rest) >= 3 and rest[2] not in ("status", "finalize"):
            namespace, rest = rest[1], rest[2:]
        kind = self.kinds.find(group, version, rest[0])
        if kind is None or len(rest) > 3 or (namespace and not kind.namespaced):
            raise status_errors.no_such_resource()
        name, subresource = [*rest[1:], "", ""][:2]
        if name and kind.namespaced and not namespace:
            raise status_errors.no_such_resource()
        if subresource and not _has_subresource(kind, subresource):
            raise status_errors.no_such_resource()
        return Target(kind, namespace, name, subresource)

    def _respond(self, request: Request, target: Target) -> Response:
        match request.method, bool(target.name):
            case "GET", False:
                return self._list(request, target)
            case "GET", True:
                return self._get(request, target)
            case "POST", False:
                return self._create(request, target)
            case "POST", True:
                return self._post_subresource(request, target)
            case "PUT", True:
                return self._write(request, target, lambda old: _body(request), needs_version=True)
            case "PATCH", True:
                return self._patch(request, target)
            case "DELETE", False:
                return self._delete_collection(request, target)
            case "DELETE", True:
                return self._delete(request, target)
            case _:
                raise status_errors.method_not_allowed()

    def _list(self, request: Request, target: Target) -> Response:
        page = list_page(self.store, target.kind, target.namespace, request.query)
        if wants_table(request):
            return _ok(table_of(target.kind, page.items, self.registry.clock.now(), page.metadata))
        head = {"kind": target.kind.list_kind, "apiVersion": target.kind.api_version, "metadata": page.metadata}
        items = b",".join(_listed(target.kind, stored) for stored in page.items)
        return Response(200, encode(head)[:-1] + b',"items":[' + items + b"]}", _JSON)

    def _get(self, request: Request, target: Target) -> Response:
        stored = self.registry.get(target.kind, target.key)
        if target.subresource == "scale":
            return _ok(scale_of(target.kind, stored.object))
        return Response(200, self._render(request, target.kind)(stored), _JSON)

    def _render(self, request: Request, kind: Kind) -> Callable[[Stored], bytes]:
        if not wants_table(request):
            return lambda stored: stored.raw
        return lambda stored: encode(table_of(kind, (stored,), self.registry.clock.now(), {}))

    def _create(self, request: Request, target: Target) -> Response:
        if target.kind.namespaced and not target.namespace:
            raise status_errors.method_not_allowed()
        if target.kind.key == BINDINGS.key:
            return self._bind(target.namespace, _body(request))
        if target.kind.key == ACCESS_REVIEWS.key:
            return _allowed(_body(request))
        body = _body(request)
        if self.admission.has_plugins:
            name = (body.get("metadata") or {}).get("name", "")
            kind, namespace = target.kind, target.namespace
            review = Review(Operation.CREATE, kind, namespace, name, "", _user(request), body)
            body = self.admission.admit(review)
        stored = self.registry.create(target.kind, target.namespace, body, _write_options(request))
        return Response(201, stored.raw, _JSON)

    def _post_subresource(self, request: Request, target: Target) -> Response:
        body = _body(request)
        match target.subresource:
            case "binding":
                return self._bind(
                    target.namespace, {**body, "metadata": {**body.get("metadata", {}), "name": target.name}}
                )
            case "eviction":
                check_eviction(self.store, self.registry.get(PODS, target.key).object)
                options = delete_options(request.query, body.get("deleteOptions") or {})
                self.registry.delete(PODS, target.key, options)
            case _:
                raise status_errors.method_not_allowed()
        return Response(201, encode(_success()), _JSON)

    def _bind(self, namespace: str, binding: Object) -> Response:
        name = (binding.get("metadata") or {}).get("name", "")
        self.registry.bind((namespace, name), binding)
        return Response(201, encode(_success()), _JSON)

    def _patch(self, request: Request, target: Target) -> Response:
        patch = _decoded_body(request)
        match request.headers.get("content-type", "").partition(";")[0]:
            case "application/merge-patch+json":
                return self._write(request, target, lambda old: merge_patch(old, patch))
            case "application/json-patch+json":
                return self._write(request, target, lambda old: json_patch(old, patch))
            case "application/strategic-merge-patch+json" if target.kind.custom is None:
                return self._write(request, target, lambda old: strategic_merge_patch(old, patch))
            case _:
                raise status_errors.unsupported_media_type(_patch_types(target.kind))

    def _write(
        self, request: Request, target: Target, change: Callable[[Object], Any], *, needs_version: bool = False
    ) -> Response:
        kind, options = target.kind, _write_options(request)
        change = self._admitted(request, target, change)
        if target.subresource == "scale":
            stored = self.registry.update(kind, target.key, lambda old: with_scale(kind, old, change), options)
            return _ok(scale_of(kind, stored.object))
        if target.subresource not in ("", "status"):
            raise status_errors.method_not_allowed()
        stored = self.registry.update(
            kind, target.key, change, options, subresource=target.subresource, needs_version=needs_version
        )
        return Response(200, stored.raw, _JSON)

    def _admitted(self, request: Request, target: Target, change: Callable[[Object], Any]) -> Callable[[Object], Any]:
        """The change, of which the result must pass admission and fit into etcd."""
        if not self.admission.has_plugins and len(request.body or b"") < _WORTH_MEASURING:
            return change

        def admitted_change(old: Object) -> Any:
            new = change(old)
            if len(encode(new)) > _LARGEST_OBJECT:
                raise status_errors.too_large_for_etcd()
            kind, (namespace, name) = target.kind, target.key
            review = Review(Operation.UPDATE, kind, namespace, name, target.subresource, _user(request), new)
            return self.admission.admit(review)

        return admitted_change

    def _delete(self, request: Request, target: Target) -> Response:
        if target.subresource:
            raise status_errors.method_not_allowed()
        if self.admission.has_plugins and (review := self._review(request, target)) is not None:
            self.admission.admit(review)
        options = delete_options(request.query, _body(request) if request.body else {})
        stored, is_gone = self.registry.delete(target.kind, target.key, options)
        if is_gone and target.kind.key not in (PODS.key, NODES.key):
            metadata = stored.object["metadata"]
            details = {"name": metadata["name"], "kind": target.kind.plural, "uid": metadata["uid"]}
            if target.kind.group:
                details["group"] = target.kind.group
            return _ok({**_success(), "details": details})
        return Response(200, stored.raw, _JSON)

    def _delete_collection(self, request: Request, target: Target) -> Response:
        options = delete_options(request.query, _body(request) if request.body else {})
        page = list_page(self.store, target.kind, target.namespace, request.query)
        for stored in page.items:
            metadata = stored.object["metadata"]
            self.registry.delete(target.kind, (metadata.get("namespace", ""), metadata["name"]), options)
        return _ok(_success())

    def _record(self, request: Request, target: Target, verb: str, status: int) -> None:
        self.audit.record(
            Call(_user(request), verb, target.kind.plural, target.subresource, target.namespace, target.name, status)
        )


def _user(request: Request) -> str:
    """Who asks: there is no authentication, so it is the user agent."""
    return request.headers.get("user-agent", "")


def error_response(error: StatusError) -> Response:
    headers = dict(_JSON)
    if error.retry_after is not None:
        headers["retry-after"] = str(error.retry_after)
    return Response(error.code, encode(error.status()), headers)


def is_watch(request: Request) -> bool:
    return request.method == "GET" and request.query.get("watch") in ("true", "1")


def _allowed(review: Object) -> Response:
    """The answer to an access review, which is not stored: there is no authorization, so everybody may do anything."""
    return Response(201, encode({**review, "status": {"allowed": True}}), _JSON)


def _ok(body: Object) -> Response:
    return Response(200, encode(body), _JSON)


def _success() -> Object:
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}


def _listed(kind: Kind, stored: Stored) -> bytes:
    """As real servers do: the items of a list of a built-in kind do not repeat their type."""
    if kind.custom is not None:
        return stored.raw
    prefix = b'{"apiVersion":"%b","kind":"%b",' % (kind.api_version.encode(), kind.kind.encode())
    return b"{" + stored.raw.removeprefix(prefix)


def _has_subresource(kind: Kind, name: str) -> bool:
    match name:
        case "status":
            return kind.has_status
        case "scale":
            return kind.scale is not None
        case _:
            return name in kind.subresources


def _verb(method: str, target: Target) -> str:
    verbs = {"POST": "create", "PUT": "update", "PATCH": "patch"}
    match method:
        case "GET":
            return "get" if target.name else "list"
        case "DELETE":
            return "delete" if target.name else "deletecollection"
        case _:
            return verbs.get(method, method.lower())


def _write_options(request: Request) -> WriteOptions:
    return WriteOptions(request.query.get("dryRun") == "All", request.query.get("fieldValidation") == "Strict")


def _body(request: Request) -> Object:
    body = _decoded_body(request)
    if not isinstance(body, dict):
        raise status_errors.bad_request("the object provided is unrecognized (must be of type object)")
    return body


def _decoded_body(request: Request) -> Any:
    """JSON, or YAML where the request says so."""
    type_ = request.headers.get("content-type", "")
    if "protobuf" in type_ or "cbor" in type_:
        raise status_errors.unsupported_media_type(("application/json", "application/yaml"))
    is_yaml = "yaml" in type_
    try:
        return yaml.safe_load(request.body or b"") if is_yaml else decode(request.body or b"")
    except (msgspec.DecodeError, yaml.YAMLError) as error:
        raise status_errors.bad_request(f"the object provided is unrecognized: {error}") from None


def _patch_types(kind: Kind) -> tuple[str, ...]:
    types = ("application/json-patch+json", "application/merge-patch+json")
    return types if kind.custom is not None else (*types, "application/strategic-merge-patch+json")
