"""ModelInferStatus as the controller writes it and the informer caches it.

Beyond the API reference it holds `currentRevision`, `updateRevision`, `labelSelector` (for the scale subresource) and
`groups`: for each ordinal what a restart of the controller could not read off the pods. A group that was never
complete, never rebuilt and runs at the update revision has no more than its revision there.
"""

from datetime import datetime

import msgspec

from modelinfer_controller.api.core import Condition, KubeObject, WireStruct


class RebuildRecord(WireStruct, frozen=True, omit_defaults=True):
    """One rebuild of a scope: the whole group ("*"), a role instance ("decode-0") or a pod ("decode-0/1").

    Pods of the scope whose incarnation annotation is below `incarnation` are to be deleted; none is made before they
    are gone. The record is removed after ten healthy minutes, which resets the back-off.
    """

    incarnation: int = 0
    attempt: int = 0  # 1-based; what the back-off grows with
    at: datetime | None = None  # when the rebuild was decided
    complete: bool = False  # every pod of the scope has existed at this incarnation
    cause: str = ""  # which pod and why, for people


class GroupRecord(WireStruct, frozen=True, omit_defaults=True):
    """What is remembered of one group, keyed by its ordinal in decimal.

    revision: the ControllerRevision that the group was last built from; it holds even when every pod is lost.
    complete: role name -> n: instances 0..n-1 have had all their pods at once, so a pod missing now was deleted.
    rebuilds: scope -> its last rebuild, while the back-off remembers it.
    """

    revision: str = ""
    complete: dict[str, int] = {}
    rebuilds: dict[str, RebuildRecord] = {}


NEVER_OBSERVED = -1  # what the CRD gives a new object: tools that follow kstatus take it for in progress


class ModelInferStatus(WireStruct, frozen=True):
    observed_generation: int = NEVER_OBSERVED
    replicas: int = 0
    current_replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    current_revision: str = ""
    update_revision: str = ""
    label_selector: str = ""
    conditions: tuple[Condition, ...] = ()
    groups: dict[str, GroupRecord] = {}
    failed_revision: str = ""

    @property
    def is_written(self) -> bool:
        """Whether the controller has ever written it."""
        return self.observed_generation > 0


class ModelInfer(KubeObject, frozen=True):
    """A ModelInfer as cached: the spec stays the stored bytes, which revisions are hashed from and pydantic reads."""

    spec: msgspec.Raw = msgspec.Raw(b"{}")
    status: ModelInferStatus = ModelInferStatus()
