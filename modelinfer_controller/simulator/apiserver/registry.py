"""What every write goes through: identity, preconditions, defaults, validation, generation, graceful deletion."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import Any
from uuid import UUID

from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.simulator.apiserver import status_errors
from modelinfer_controller.simulator.apiserver.custom_objects import custom_violations, shaped
from modelinfer_controller.simulator.apiserver.definitions import definition_violations, established, kind_of
from modelinfer_controller.simulator.apiserver.deletion import DeleteOptions, deletion_finalizers, grace_seconds
from modelinfer_controller.simulator.apiserver.kinds import (
    CUSTOM_RESOURCE_DEFINITIONS,
    LEASES,
    NAMESPACES,
    NODES,
    PODS,
    Kind,
    KindKey,
    Kinds,
)
from modelinfer_controller.simulator.apiserver.metadata import metadata_violations
from modelinfer_controller.simulator.apiserver.quota import quota_error
from modelinfer_controller.simulator.apiserver.status_errors import Cause
from modelinfer_controller.simulator.apiserver.store import Key, Store, Stored
from modelinfer_controller.simulator.apiserver.strategies import Strategies
from modelinfer_controller.simulator.objects import Object, copy_of, field, timestamp, with_metadata

_NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
_SERVER_OWNED = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation")


@dataclass(frozen=True, slots=True)
class WriteOptions:
    """strict: unknown fields of custom objects are an error, not dropped in silence."""

    dry_run: bool = False
    strict: bool = False


class Registry:
    """The one writer of the store. Its methods are atomic: none of them awaits."""

    def __init__(self, store: Store, kinds: Kinds, clock: Clock, random: Random) -> None:
        self.store = store
        self.kinds = kinds
        self.clock = clock
        self._random = random
        self._strategies = Strategies(store)

    def now(self) -> str:
        return timestamp(self.clock.now())

    def get(self, kind: Kind, key: Key) -> Stored:
        """Raises StatusError NotFound."""
        stored = self.store.get(kind.key, key)
        if stored is None:
            raise status_errors.not_found(kind, key[1])
        return stored

    def create(self, kind: Kind, namespace: str, body: Object, options: WriteOptions) -> Stored:
        """The body is the caller's to give away: it is changed. Raises StatusError."""
        metadata = body.setdefault("metadata", {})
        self._check_identity(kind, namespace, body)
        self._check_namespace(kind, namespace, metadata.get("name", ""))
        if metadata.get("resourceVersion"):
            raise status_errors.internal_error("resourceVersion should not be set on objects to be created")
        self._fill_metadata(kind, namespace, metadata)
        if kind.has_status and kind.key != NODES.key:  # a kubelet registers its node with its status
            body.pop("status", None)
        body = self._shaped(kind, body, options)
        self._strategies.prepare_creation(kind, body)
        self._validate(kind, body, None)
        key = (namespace, metadata["name"])
        if self.store.get(kind.key, key) is not None:
            taken = status_errors.generated_name_taken if metadata.get("generateName") else status_errors.already_exists
            raise taken(kind, metadata["name"])
        if kind.key == PODS.key and (error := quota_error(self.store, namespace, body)):
            raise error
        if kind.key == CUSTOM_RESOURCE_DEFINITIONS.key:
            body = established(body, self.now())
        return self._put(kind, key, body, options)

    def _check_identity(self, kind: Kind, namespace: str, body: Object) -> None:
        metadata = body["metadata"]
        given = (body.setdefault("apiVersion", kind.api_version), body.setdefault("kind", kind.kind))
        if given != (kind.api_version, kind.kind):
            message = f"{given[1]} in version {given[0]!r} cannot be handled as a {kind.kind}"
            raise status_errors.bad_request(message.replace("'", '"'))
        if metadata.get("namespace", namespace) != namespace:
            message = "the namespace of the provided object does not match the namespace sent on the request"
            raise status_errors.bad_request(message)

    def _check_namespace(self, kind: Kind, namespace: str, name: str) -> None:
        if not kind.namespaced:
            return
        stored = self.store.get(NAMESPACES.key, ("", namespace))
        if stored is None:
            raise status_errors.not_found(NAMESPACES, namespace)
        if "deletionTimestamp" in stored.object["metadata"]:
            why = f"unable to create new content in namespace {namespace} because it is being terminated"
            cause = {"reason": "NamespaceTerminating", "message": f"namespace {namespace} is being terminated"}
            raise status_errors.forbidden(kind, name, why, [{**cause, "field": "metadata.namespace"}])

    def _fill_metadata(self, kind: Kind, namespace: str, metadata: Object) -> None:
        for name in ("managedFields", "selfLink", "resourceVersion", *_SERVER_OWNED):
            metadata.pop(name, None)
        if not metadata.get("name") and metadata.get("generateName"):
            letters = "".join(self._random.choice(_NAME_LETTERS) for _ in range(5))
            metadata["name"] = metadata["generateName"][:58] + letters
        if kind.namespaced:
            metadata["namespace"] = namespace
        metadata["uid"] = str(UUID(int=self._random.getrandbits(128), version=4))
        metadata["creationTimestamp"] = self.now()
        if kind.has_generation:
            metadata["generation"] = 1

    def update(
        self,
        kind: Kind,
        key: Key,
        change: Callable[[Object], Object],
        options: WriteOptions,
        *,
        subresource: str = "",
        needs_version: bool = False,
    ) -> Stored:
        """Replaces the object by change(object), which must make a new one. subresource is "" or "status".

        needs_version: the new object must carry a resourceVersion where the kind has no unconditional updates.
        Raises StatusError.
        """
        old = self.get(kind, key)
        new = change(old.object)
        self._check_preconditions(kind, key, new, old.object, needs_version)
        if not (kind.custom and subresource):  # there the server does not look at it
            self._check_uid(kind, key, new, old.object)
        new = self._merged(kind, new, old.object, subresource)
        new = self._shaped(kind, new, options) if kind.custom else new
        if not subresource:
            new = self._strategies.prepare_update(kind, new, old.object)
        if new == old.object:
            return old
        self._validate(kind, new, old.object)
        if kind.has_generation and self._is_spec_change(kind, new, old.object):
            new = with_metadata(new, generation=old.object["metadata"].get("generation", 0) + 1)
        return self._put(kind, key, new, options)

    def _check_preconditions(self, kind: Kind, key: Key, new: Object, old: Object, needs_version: bool) -> None:
        given, current = new.get("metadata") or {}, old["metadata"]
        self._check_identity(kind, key[0], {**new, "metadata": given})
        if given.get("name", key[1]) != key[1]:
            message = f"the name of the object ({given['name']}) does not match the name on the URL ({key[1]})"
            raise status_errors.bad_request(message)
        version = given.get("resourceVersion")
        if version and version != current["resourceVersion"]:
            raise status_errors.modified(kind, key[1])
        if needs_version and not version and (kind.custom is not None or kind.key == LEASES.key):
            cause = Cause(
                "metadata.resourceVersion", "FieldValueInvalid", "Invalid value: 0: must be specified for an update"
            )
            raise status_errors.invalid(kind, key[1], [cause])

    def _check_uid(self, kind: Kind, key: Key, new: Object, old: Object) -> None:
        """To a real server another UID in what is written is no precondition, but a change of what cannot change."""
        uid = (new.get("metadata") or {}).get("uid") or old["metadata"]["uid"]
        if uid != old["metadata"]["uid"]:
            cause = Cause("metadata.uid", "FieldValueInvalid", f'Invalid value: "{uid}": field is immutable')
            raise status_errors.invalid(kind, key[1], [cause])

    def _merged(self, kind: Kind, new: Object, old: Object, subresource: str) -> Object:
        """The new object as far as this endpoint may write it."""
        if subresource == "status":
            merged = {**old, "status": new.get("status", {})}
            if kind.custom is None:
                merged["metadata"] = self._kept_metadata(new, old)
            return merged
        merged = {
            **new,
            "apiVersion": old["apiVersion"],
            "kind": old["kind"],
            "metadata": self._kept_metadata(new, old),
        }
        if kind.has_status:
            merged.pop("status", None)
            if "status" in old:
                merged["status"] = old["status"]
        return merged

    def _kept_metadata(self, new: Object, old: Object) -> Object:
        given: Object = {**(new.get("metadata") or {})}
        for name in ("managedFields", *_SERVER_OWNED):
            given.pop(name, None)
        current = old["metadata"]
        kept = ("name", "namespace", "generateName", "resourceVersion", *_SERVER_OWNED)
        merged = {**{name: current[name] for name in kept if name in current}, **given}
        merged["resourceVersion"] = current["resourceVersion"]
        for name in ("labels", "annotations", "finalizers", "ownerReferences"):
            if not merged.get(name):
                merged.pop(name, None)
        return merged

    def _shaped(self, kind: Kind, body: Object, options: WriteOptions) -> Object:
        if kind.custom is None:
            return body
        shaped_body, unknown = shaped(kind.custom, body)
        if unknown and options.strict:
            listed = ", ".join(f'unknown field "{path}"' for path in unknown)
            raise status_errors.bad_request(f"strict decoding error: {listed}")
        return shaped_body

    def _validate(self, kind: Kind, new: Object, old: Object | None) -> None:
        causes = list(metadata_violations(kind, new))
        if old is not None and "deletionTimestamp" in old["metadata"]:
            causes += _new_finalizers(new, old)
        causes += self._strategies.violations(kind, new, old)
        if kind.custom is not None:
            causes += custom_violations(kind.custom, new, old)
        if kind.key == CUSTOM_RESOURCE_DEFINITIONS.key:
            causes += definition_violations(new)
        if causes:
            raise status_errors.invalid(kind, new["metadata"].get("name", ""), causes)

    def _is_spec_change(self, kind: Kind, new: Object, old: Object) -> bool:
        if kind.custom is None:
            return bool(field(new, "spec") != field(old, "spec"))
        apart = {"metadata", "status"} if kind.has_status else {"metadata"}
        return {name: new[name] for name in new.keys() - apart} != {name: old[name] for name in old.keys() - apart}

    def _put(self, kind: Kind, key: Key, obj: Object, options: WriteOptions) -> Stored:
        metadata = obj["metadata"]
        if options.dry_run:
            return Stored(obj, self.store.revision)
        ended = "deletionTimestamp" in metadata and not metadata.get("finalizers")
        if ended and not metadata.get("deletionGracePeriodSeconds"):
            return self._remove(kind, key, obj)
        stored = self.store.put(kind.key, key, obj)
        if kind.key == CUSTOM_RESOURCE_DEFINITIONS.key:
            self._serve(kind_of(stored.object))
        return stored

    def _serve(self, kind: Kind) -> None:
        """What is stored already is read by the new schema: pruned, and with the defaults that it gained."""
        self.kinds.add(kind)
        if (custom := kind.custom) is not None:
            self.store.reread(kind.key, lambda obj: shaped(custom, obj)[0])

    def delete(self, kind: Kind, key: Key, options: DeleteOptions) -> tuple[Stored, bool]:
        """The object as it is now or was last, and whether it is gone. Raises StatusError."""
        stored = self.get(kind, key)
        metadata = stored.object["metadata"]
        if options.uid and options.uid != metadata["uid"]:
            raise _other_record(kind, key, "UID", options.uid, metadata["uid"], "deleted and then recreated")
        if options.resource_version and options.resource_version != metadata["resourceVersion"]:
            wanted, actual = options.resource_version, metadata["resourceVersion"]
            raise _other_record(kind, key, "ResourceVersion", wanted, actual, "modified")
        if options.dry_run:
            return stored, False
        finalizers = deletion_finalizers(metadata, options)
        grace = grace_seconds(kind, stored.object, options)
        if kind.key == NAMESPACES.key and field(stored.object, "spec", "finalizers"):
            return self._terminate(
                kind, key, {**stored.object, "status": {"phase": "Terminating"}}, finalizers, 0
            ), False
        if not finalizers and grace == 0:
            return self._remove(kind, key, stored.object), True
        return self._terminate(kind, key, stored.object, finalizers, grace), False

    def _terminate(self, kind: Kind, key: Key, obj: Object, finalizers: list[str], grace: int) -> Stored:
        """Marks the object as being deleted; a later call may only shorten its grace period."""
        metadata = obj["metadata"]
        if "deletionTimestamp" in metadata:
            left = metadata.get("deletionGracePeriodSeconds", 0)
            if grace >= left and finalizers == metadata.get("finalizers", []):
                return self.get(kind, key)
            grace = min(grace, left)
        moment = timestamp(self.clock.now() + timedelta(seconds=grace))
        fields: dict[str, Any] = {"deletionTimestamp": moment, "deletionGracePeriodSeconds": grace}
        if "generation" in metadata and "deletionTimestamp" not in metadata:
            fields["generation"] = metadata["generation"] + 1
        return self.store.put(kind.key, key, with_metadata(obj, **fields, finalizers=finalizers or None))

    def _remove(self, kind: Kind, key: Key, last: Object) -> Stored:
        stored = self.store.remove(kind.key, key, last)
        if kind.key == CUSTOM_RESOURCE_DEFINITIONS.key:
            self._remove_instances(last)
        return stored

    def _remove_instances(self, definition: Object) -> None:
        """A definition takes its objects with it, finalizers or not."""
        key: KindKey = (definition["spec"]["group"], definition["spec"]["names"]["plural"])
        for object_key, stored in list(self.store.collection(key).objects.items()):
            self.store.remove(key, object_key, stored.object)
        self.kinds.remove(key)

    def finalize_namespace(self, name: str) -> None:
        """Drops the namespace's own finalizer, and with it the namespace once it is being deleted."""
        stored = self.get(NAMESPACES, ("", name))
        self._put(NAMESPACES, ("", name), {**stored.object, "spec": {}}, WriteOptions())

    def bind(self, key: Key, binding: Object) -> Stored:
        """The binding subresource of pods: the scheduler's one write. Raises StatusError."""
        stored = self.get(PODS, key)
        pod = stored.object
        uid = field(binding, "metadata", "uid")
        if uid and uid != pod["metadata"]["uid"]:
            raise _failed_precondition(PODS, key, "UID", uid, pod["metadata"]["uid"])
        if "deletionTimestamp" in pod["metadata"]:
            raise status_errors.conflict(PODS, key[1], f"pod {key[1]} is being deleted, cannot be assigned to a host")
        if assigned := pod["spec"].get("nodeName"):
            why = f'pod {key[1]} is already assigned to node "{assigned}"'
            raise status_errors.conflict(PODS, key[1], why)
        scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": self.now()}
        status: Object = copy_of(pod["status"])
        others = [one for one in status.get("conditions") or [] if one["type"] != "PodScheduled"]
        status["conditions"] = [*others, scheduled]
        bound = {**pod, "spec": {**pod["spec"], "nodeName": field(binding, "target", "name")}, "status": status}
        return self.store.put(PODS.key, key, bound)


def _other_record(kind: Kind, key: Key, what: str, wanted: str, actual: str, guess: str) -> status_errors.StatusError:
    why = f"the {what} in the precondition ({wanted}) does not match the {what} in record ({actual})"
    return status_errors.conflict(kind, key[1], f"{why}. The object might have been {guess}")


def _failed_precondition(kind: Kind, key: Key, what: str, wanted: str, actual: str) -> status_errors.StatusError:
    why = f"Precondition failed: {what} in precondition: {wanted}, {what} in object meta: {actual}"
    return status_errors.conflict(kind, key[1], why)


def _new_finalizers(new: Object, old: Object) -> list[Cause]:
    before = old["metadata"].get("finalizers") or []
    added = [one for one in new["metadata"].get("finalizers") or [] if one not in before]
    if not added:
        return []
    listed = ", ".join(f'"{one}"' for one in added)
    why = "no new finalizers can be added if the object is being deleted, found new finalizers []string{" + listed + "}"
    return [Cause.forbidden("metadata.finalizers", why)]
