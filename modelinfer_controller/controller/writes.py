"""Each action as one request, or as few as it takes, and its answer as an expectation."""

from collections.abc import Mapping
from typing import Any, TypeVar, assert_never

import structlog

from modelinfer_controller.api import well_known
from modelinfer_controller.api.core import KubeObject
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.api.reasons import Reason
from modelinfer_controller.controller.caches import Caches, OwnedCache, controller_uid
from modelinfer_controller.controller.snapshot import describe_name_conflict
from modelinfer_controller.kube.client import Body, Client
from modelinfer_controller.kube.errors import AlreadyExists, ApiError, Conflict, Invalid, NotFound
from modelinfer_controller.planning import actions, manifests
from modelinfer_controller.planning.actions import Action
from modelinfer_controller.planning.manifests import OwnerIdentity

T = TypeVar("T", bound=KubeObject)

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)


class NameConflict(Exception):
    """An object that is not ours has the name."""


class MetadataRemoved(ApiError):
    """What we wrote is not on the object that came back: something between us and the server takes it off."""

    def __init__(self, what: str, lost: str) -> None:
        advice = f"exempt objects with the label {well_known.NAME} from it"
        super().__init__(
            200, Reason.METADATA_REMOVED, f"{what} came back without {lost}: an admission webhook undoes it; {advice}"
        )


class Writes:
    """Carries out one action. Raises ApiError, TransportError or NameConflict."""

    def __init__(self, client: Client, caches: Caches) -> None:
        self._client = client
        self._caches = caches
        self._compiled: dict[str, manifests.CompiledPodTemplates] = {}

    def forget(self, uid: str) -> None:
        """The ModelInfer is gone."""
        self._compiled.pop(uid, None)

    async def perform(self, action: Action, owner: OwnerIdentity) -> None:  # noqa: C901 # one case for each action
        caches = self._caches
        match action:
            case actions.CreateRevision(revision):
                await self._create(caches.revisions, owner, revision.name, manifests.revision_body(owner, revision))
            case actions.RenumberRevision(name, uid, number):
                await self._patch(caches.revisions, owner, name, uid, {"revision": number})
            case actions.DeleteRevision(name, uid):
                await self._delete(caches.revisions, owner, name, uid)
            case actions.CreateDisruptionBudget(name, body):
                await self._create(caches.disruption_budgets, owner, name, body)
            case actions.PatchDisruptionBudget(name, uid, patch):
                await self._patch(caches.disruption_budgets, owner, name, uid, patch)
            case actions.DeleteDisruptionBudget(name, uid):
                await self._delete(caches.disruption_budgets, owner, name, uid)
            case actions.CreatePodGroup(_, key, body):
                await self._create(caches.pod_groups[key.scheduler], owner, key.name, body)
            case actions.PatchPodGroup(_, key, uid, patch):
                await self._patch(caches.pod_groups[key.scheduler], owner, key.name, uid, patch)
            case actions.DeletePodGroup(_, key, uid):
                await self._delete(caches.pod_groups[key.scheduler], owner, key.name, uid)
            case actions.CreateService(_, name, body):
                await self._create(caches.services, owner, name, body)
            case actions.PatchService(_, name, uid, patch):
                await self._patch(caches.services, owner, name, uid, patch)
            case actions.DeleteService(_, name, uid):
                await self._delete(caches.services, owner, name, uid)
            case actions.CreatePod():
                await self._create_pod(action, owner)
            case actions.PatchPodMetadata(_, name, uid, labels, annotations):
                metadata = {"labels": labels, "annotations": annotations}
                await self._patch(caches.pods, owner, name, uid, {"metadata": metadata})
            case actions.DeletePod(_, name, uid, reason):
                log.info("Deleting pod", pod=name, uid=uid, reason=reason)
                await self._delete(caches.pods, owner, name, uid)
            case _:
                assert_never(action)

    async def _create_pod(self, action: actions.CreatePod, owner: OwnerIdentity) -> None:
        body = manifests.pod_body(
            owner,
            action.revision,
            action.identity,
            action.incarnation,
            is_serving=action.is_serving,
            compiled=self._compiled.setdefault(owner.uid, manifests.CompiledPodTemplates()),
        )
        created = await self._create(self._caches.pods, owner, action.name, body)
        if action.incarnation and well_known.INCARNATION not in created.metadata.annotations:
            raise MetadataRemoved(f"pod {action.name}", f"annotation {well_known.INCARNATION}")

    async def _create(self, cache: OwnedCache[T], owner: OwnerIdentity, name: str, body: Body) -> T:
        try:
            created = await self._client.create(cache.resource, owner.namespace, body)
        except AlreadyExists:
            created = await self._existing(cache, owner, name)
        cache.expectations.created(created)
        return created

    async def _existing(self, cache: OwnedCache[T], owner: OwnerIdentity, name: str) -> T:
        """The object that has the name, if it is ours: an earlier request of ours, or one that lost its labels.

        Raises NameConflict if it is another's, and NotFound if it has just gone, which the retry makes good.
        """
        found = await self._client.get(cache.resource, owner.namespace, name)
        if controller_uid(found) != owner.uid:
            raise NameConflict(describe_name_conflict(cache.resource.kind, found))
        own_labels = owner.child_metadata(name, {})["labels"]
        if own_labels.items() <= found.metadata.labels.items():
            return found
        # Without our label it is invisible to the cache; the plan repairs the rest once it is seen.
        metadata = {"uid": found.metadata.uid, "labels": own_labels}
        return await self._client.patch(cache.resource, owner.namespace, name, {"metadata": metadata})

    async def _patch(
        self, cache: OwnedCache[T], owner: OwnerIdentity, name: str, uid: str, patch: Mapping[str, Any]
    ) -> None:
        guarded = {**patch, "metadata": {**patch.get("metadata", {}), "uid": uid}}
        before = cache.informer.lister.get(ObjectName(owner.namespace, name))  # the watch may outrun the answer
        try:
            patched = await self._client.patch(cache.resource, owner.namespace, name, guarded)
        except (NotFound, Conflict, Invalid) as error:
            if not is_gone(error):
                raise
            return  # the cache will say so
        cache.expectations.written(patched)
        if before is not None and before.metadata.resource_version == patched.metadata.resource_version:
            raise MetadataRemoved(f"{cache.resource.kind} {name}", "what was patched")

    async def _delete(self, cache: OwnedCache[T], owner: OwnerIdentity, name: str, uid: str) -> None:
        try:
            await self._client.delete(cache.resource, owner.namespace, name, uid=uid)
        except (NotFound, Conflict) as error:
            if not is_gone(error):
                raise
        cache.expectations.deleted(uid, ObjectName(owner.namespace, name), owner.uid)


def is_gone(error: ApiError) -> bool:
    """Whether a request with a UID precondition failed because that very object is no more.

    Of a delete, another UID is a Conflict; of a patch, an attempt to change the immutable metadata.uid.
    """
    match error:
        case NotFound():
            return True
        case Invalid():
            return "metadata.uid" in error.message
        case _:
            return "UID" in error.message
