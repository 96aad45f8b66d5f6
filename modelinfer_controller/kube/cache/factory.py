"""The informers of one process: made in one place, started, awaited and ended together."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn, TypeAlias, TypeVar

from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.kube.backoff import Random
from modelinfer_controller.kube.cache.discovered_informer import POLL_INTERVAL, DiscoveredInformer
from modelinfer_controller.kube.cache.informer import SharedInformer
from modelinfer_controller.kube.cache.source import ResourceSource
from modelinfer_controller.kube.cache.store import Indexers
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.resource import Resource
from modelinfer_controller.kube.tasks import run_all

T = TypeVar("T", bound=KubeObject)

AnyInformer: TypeAlias = SharedInformer[Any] | DiscoveredInformer[Any]


class SharedInformerFactory:
    """Makes informers over the same namespaces (none given: all of them) and runs them."""

    def __init__(
        self,
        client: Client,
        *,
        random: Random,
        namespaces: Sequence[str] = (),
        use_streaming_list: bool = False,
    ) -> None:
        self._client = client
        self._random = random
        self._namespaces = tuple(dict.fromkeys(namespaces))
        self._use_streaming_list = use_streaming_list
        self._informers: list[AnyInformer] = []

    async def wait_for_sync(self) -> None:
        for informer in self._informers:
            await informer.wait_for_sync()

    def informer(
        self,
        resource: Resource[T],
        *,
        name: str = "",
        label_selector: str = "",
        field_selector: str = "",
        indexers: Indexers[T] | None = None,
    ) -> SharedInformer[T]:
        """A new informer; call before `run`, which fails with ResourceNotServed if the server has no such resource.

        name: for logs and metrics; the resource's own if it is left out.
        """
        informer = self._shared(resource, name, label_selector, field_selector, indexers)
        self._informers.append(informer)
        return informer

    def discovered_informer(
        self,
        resource: Resource[T],
        *,
        name: str = "",
        label_selector: str = "",
        indexers: Indexers[T] | None = None,
        poll_interval: float = POLL_INTERVAL,
        on_served_changed: Callable[[bool], None] | None = None,
        transform: Callable[[T], T] | None = None,
    ) -> DiscoveredInformer[T]:
        """Like `informer`, for a resource that may come and go. transform: see SharedInformer."""
        informer = DiscoveredInformer(
            self._client,
            resource,
            self._shared(resource, name, label_selector, "", indexers, transform),
            random=self._random,
            poll_interval=poll_interval,
            on_served_changed=on_served_changed,
        )
        self._informers.append(informer)
        return informer

    async def run(self) -> NoReturn:
        """Ends by cancellation, and with the first informer that fails."""
        await run_all((f"informer-{informer.name}", informer.run()) for informer in self._informers)

    def _shared(
        self,
        resource: Resource[T],
        name: str,
        label_selector: str,
        field_selector: str,
        indexers: Indexers[T] | None,
        transform: Callable[[T], T] | None = None,
    ) -> SharedInformer[T]:
        sources = [
            ResourceSource(self._client, resource, namespace, label_selector, field_selector)
            for namespace in (self._namespaces if self._namespaces and resource.namespaced else (None,))
        ]
        return SharedInformer(
            name or str(resource),
            sources,
            random=self._random,
            indexers=indexers,
            use_streaming_list=self._use_streaming_list,
            transform=transform,
        )
