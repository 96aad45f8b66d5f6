"""Watch events: one line of JSON each, decoded straight to the Struct that the caches hold."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import cache
from typing import Generic, TypeAlias, TypeVar

import msgspec

from modelinfer_controller.api.core import KubeObject, WireStruct
from modelinfer_controller.kube.errors import Status, UndecodableResponse, error_of_status
from modelinfer_controller.kube.transport import StreamResponse

INITIAL_EVENTS_END = "k8s.io/initial-events-end"  # annotation of the bookmark that ends a streaming list

T = TypeVar("T", bound=KubeObject)


@dataclass(frozen=True, slots=True)
class Added(Generic[T]):
    """An object that is new to the watch."""

    obj: T


@dataclass(frozen=True, slots=True)
class Modified(Generic[T]):
    """An object that has changed."""

    obj: T


@dataclass(frozen=True, slots=True)
class Deleted(Generic[T]):
    """obj is the last state; its resourceVersion is that of the deletion."""

    obj: T


@dataclass(frozen=True, slots=True)
class Bookmark:
    """How far the watch is; no object has changed."""

    resource_version: str
    is_initial_events_end: bool = False


WatchEvent: TypeAlias = Added[T] | Modified[T] | Deleted[T] | Bookmark


class _Line(WireStruct, Generic[T], frozen=True):
    type: str
    object: T


class _RawLine(WireStruct, frozen=True):
    type: str
    object: msgspec.Raw


_RAW_LINE_DECODER = msgspec.json.Decoder(_RawLine)
_STATUS_DECODER = msgspec.json.Decoder(Status)
_METADATA_DECODER = msgspec.json.Decoder(KubeObject)


class WatchStream(Generic[T]):
    """An open watch. Iterate `events` once."""

    def __init__(self, response: StreamResponse, type_: type[T]) -> None:
        self._response = response
        self._type = type_

    async def events(self) -> AsyncIterator[WatchEvent[T]]:
        """Events in the server's order, until it closes the stream.

        Raises the ApiError of an ERROR event (Expired among them), UndecodableResponse for a line that is no event,
        TransportError if the connection breaks.
        """
        async for line in self._response.lines():
            if line:
                yield decode_event(line, self._type)


def decode_event(line: bytes, type_: type[T]) -> WatchEvent[T]:
    """One line of a watch as an event; raises like `WatchStream.events`."""
    try:
        decoded = _line_decoder(type_).decode(line)
    except msgspec.DecodeError as error:
        return _decode_unusual(line, error)
    match decoded.type:
        case "ADDED":
            return Added(decoded.object)
        case "MODIFIED":
            return Modified(decoded.object)
        case "DELETED":
            return Deleted(decoded.object)
        case _:
            return _decode_unusual(line, None)


@cache
def _line_decoder(type_: type[T]) -> msgspec.json.Decoder[_Line[T]]:
    return msgspec.json.Decoder(_Line[type_])  # type: ignore[valid-type]


def _decode_unusual(line: bytes, error: Exception | None) -> Bookmark:
    """A bookmark or an error, whose objects need not fit the resource's type."""
    try:
        raw = _RAW_LINE_DECODER.decode(line)
        if raw.type == "BOOKMARK":
            return _bookmark(_METADATA_DECODER.decode(raw.object))
        if raw.type == "ERROR":
            raise error_of_status(_STATUS_DECODER.decode(raw.object))
    except msgspec.DecodeError as undecodable:
        error = error or undecodable
    excerpt = line[:200].decode(errors="replace")
    raise UndecodableResponse(200, "", f"not a watch event ({error}): {excerpt}") from error


def _bookmark(obj: KubeObject) -> Bookmark:
    ends = obj.metadata.annotations.get(INITIAL_EVENTS_END) == "true"
    return Bookmark(obj.metadata.resource_version, is_initial_events_end=ends)
