"""Lists: which version of the world a list shows, and its pages."""

import base64
from collections.abc import Mapping
from dataclasses import dataclass

import msgspec

from modelinfer_controller.simulator.apiserver import status_errors
from modelinfer_controller.simulator.apiserver.kinds import Kind
from modelinfer_controller.simulator.apiserver.selectors import Selection, selection
from modelinfer_controller.simulator.apiserver.store import Key, Store, Stored, TooOld
from modelinfer_controller.simulator.objects import Object, decode, encode


@dataclass(frozen=True, slots=True)
class Page:
    """Part of a list, in the order of the keys; metadata is the ListMeta."""

    items: tuple[Stored, ...]
    metadata: Object


@dataclass(frozen=True, slots=True)
class _Continue:
    revision: int
    after: Key


_EXPIRED = (
    "The provided continue parameter is too old to display a consistent list result. You can start a new list without "
    "the continue parameter."
)


def list_page(store: Store, kind: Kind, namespace: str, query: Mapping[str, str]) -> Page:
    """Raises StatusError: 400 on malformed parameters, 410 on a version that is gone, 504 on a future one."""
    wanted = selection(kind, namespace, query)
    limit = _number(query, "limit")
    token = _decoded(query["continue"]) if query.get("continue") else None
    revision, objects = _snapshot(store, kind, query, token, bool(limit))
    keys = sorted(key for key in objects if token is None or key > token.after)
    return _page([(key, objects[key]) for key in keys], wanted, limit, revision)


def _page(entries: list[tuple[Key, Stored]], wanted: Selection, limit: int, revision: int) -> Page:
    selected = [(key, stored) for key, stored in entries if wanted.selects(stored.object)]
    metadata: Object = {"resourceVersion": str(revision)}
    if limit and len(selected) > limit:
        metadata["continue"] = _encoded(_Continue(revision, selected[limit - 1][0]))
        if wanted.labels is None and wanted.fields is None:
            metadata["remainingItemCount"] = len(selected) - limit
        selected = selected[:limit]
    return Page(tuple(stored for _, stored in selected), metadata)


def _snapshot(
    store: Store, kind: Kind, query: Mapping[str, str], token: _Continue | None, is_paged: bool
) -> tuple[int, dict[Key, Stored]]:
    collection = store.collection(kind.key)
    exact = token.revision if token is not None else _exact_revision(store, query, is_paged)
    if exact is None:
        return store.revision, collection.objects
    try:
        return exact, collection.at(exact)
    except TooOld as error:
        if token is not None:
            raise status_errors.expired(_EXPIRED) from error
        raise status_errors.too_old(exact, error.oldest) from error


def _exact_revision(store: Store, query: Mapping[str, str], is_paged: bool) -> int | None:
    """The revision that the list must be of, or None where the newest will do."""
    requested, match = _number(query, "resourceVersion"), query.get("resourceVersionMatch", "")
    if match and "resourceVersion" not in query:
        raise status_errors.bad_request("resourceVersionMatch is forbidden unless resourceVersion is provided")
    if match not in ("", "Exact", "NotOlderThan"):
        raise status_errors.bad_request(f"resourceVersionMatch: unsupported value {match}")
    if requested > store.revision:
        raise status_errors.too_large(requested, store.revision)
    is_exact = match == "Exact" or (not match and is_paged)
    return requested if is_exact and requested else None


def _number(query: Mapping[str, str], name: str) -> int:
    text = query.get(name, "")
    if text and not text.isdigit():
        raise status_errors.bad_request(f"invalid {name}: {text}")
    return int(text or 0)


def _encoded(token: _Continue) -> str:
    return base64.urlsafe_b64encode(encode([token.revision, *token.after])).decode()


def _decoded(text: str) -> _Continue:
    try:
        revision, namespace, name = decode(base64.urlsafe_b64decode(text))
    except (ValueError, TypeError, msgspec.DecodeError):
        raise status_errors.bad_request("continue key is not valid") from None
    return _Continue(revision, (namespace, name))
