"""What a reflector reads: one resource, one namespace or all, one selector."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from modelinfer_controller.api.core import KubeObject, ObjectList
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.resource import Resource
from modelinfer_controller.kube.watch import WatchStream

T = TypeVar("T", bound=KubeObject)


class ListerWatcher(Protocol[T]):
    """What a reflector lists and watches."""

    @property
    def namespace(self) -> str | None:
        """None for all namespaces."""

    async def list(self, resource_version: str) -> ObjectList[T]:
        """See `Client.list_all`."""

    def watch(
        self, resource_version: str, timeout_seconds: int, *, send_initial_events: bool = False
    ) -> AbstractAsyncContextManager[WatchStream[T]]:
        """See `Client.watch`."""


@dataclass(frozen=True, slots=True)
class ResourceSource(Generic[T]):
    """The ListerWatcher of an API server. The server selects: what the selectors leave out never comes here."""

    client: Client
    resource: Resource[T]
    namespace: str | None = None
    label_selector: str = ""
    field_selector: str = ""

    async def list(self, resource_version: str) -> ObjectList[T]:
        return await self.client.list_all(
            self.resource,
            self.namespace,
            label_selector=self.label_selector,
            field_selector=self.field_selector,
            resource_version=resource_version,
        )

    def watch(
        self, resource_version: str, timeout_seconds: int, *, send_initial_events: bool = False
    ) -> AbstractAsyncContextManager[WatchStream[T]]:
        return self.client.watch(
            self.resource,
            self.namespace,
            resource_version=resource_version,
            timeout_seconds=timeout_seconds,
            label_selector=self.label_selector,
            field_selector=self.field_selector,
            send_initial_events=send_initial_events,
        )
