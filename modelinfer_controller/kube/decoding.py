"""Response bodies as Structs, by decoders that are built once for each type."""

from functools import cache
from typing import Generic, TypeVar

import msgspec

from modelinfer_controller.api.core import KubeObject, ListMeta, ObjectList, WireStruct
from modelinfer_controller.kube.errors import UndecodableResponse
from modelinfer_controller.kube.transport import Response

T = TypeVar("T", bound=KubeObject)


class _Page(WireStruct, Generic[T], frozen=True):
    """A list on the wire: some servers send null for no items."""

    metadata: ListMeta = ListMeta()
    items: tuple[T, ...] | None = ()


@cache
def _object_decoder(type_: type[T]) -> msgspec.json.Decoder[T]:
    return msgspec.json.Decoder(type_)


@cache
def _page_decoder(type_: type[T]) -> msgspec.json.Decoder[_Page[T]]:
    return msgspec.json.Decoder(_Page[type_])  # type: ignore[valid-type]


def decode_object(type_: type[T], response: Response) -> T:
    """The object in a response of success. Raises UndecodableResponse."""
    try:
        decoded: T = _object_decoder(type_).decode(response.body)
    except msgspec.DecodeError as error:
        raise _undecodable(response, error) from error
    return decoded


def decode_list(type_: type[T], response: Response) -> ObjectList[T]:
    """The list in a response of success. Raises UndecodableResponse."""
    try:
        page = _page_decoder(type_).decode(response.body)
    except msgspec.DecodeError as error:
        raise _undecodable(response, error) from error
    return ObjectList(metadata=page.metadata, items=page.items or ())


def _undecodable(response: Response, error: Exception) -> UndecodableResponse:
    excerpt = response.body[:200].decode(errors="replace")
    return UndecodableResponse(response.status, "", f"not the requested object ({error}): {excerpt}")
