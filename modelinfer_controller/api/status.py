"""ModelInferStatus as the controller writes it and the informer caches it.

Beyond the API reference it holds `currentRevision`, `updateRevision`, `labelSelector` (for the scale subresource) and
`groups`: for each ordinal what a restart of the controller could not read off the pods. A group that was never
complete, never recreated and runs at the update revision has no more than its revision there.
"""

from datetime import datetime

import msgspec

from modelinfer_controller.api.core import Condition, KubeObject, WireStruct

NEVER_OBSERVED = -1  # what the CRD gives a new object: tools that follow kstatus take it for in progress


class RecreationRecord(WireStruct, frozen=True, omit_defaults=True):
    """One recreation of a scope: the whole group ("*"), a role instance ("decode-0") or a pod ("decode-0/1").

    Pods of the scope whose incarnation annotation is below `incarnation` are to be deleted; none is made before they
    are gone. The record is removed after ten healthy minutes, which resets the back-off. The first release also wrote a
    sentence, `cause`; it is read over.

    moved_from: the leaving nodes that the scope was handed over from. They stay here until they are schedulable again
    or gone, so that nothing is moved twice for one cordon; then "" is here until the scope is well. A hand-over is no
    attempt.
    """

    incarnation: int = 0
    attempt: int = 0  # 1-based; what the back-off grows with
    at: datetime | None = None  # when the recreation was decided
    is_complete: bool = msgspec.field(default=False, name="complete")  # every pod of the scope has existed since
    moved_from: tuple[str, ...] = ()


class GroupRecord(WireStruct, frozen=True, omit_defaults=True):
    """What one group is meant to be, in status.groups under its ordinal in decimal, or "3-17" for several alike.

    revision: the ControllerRevision that the group is made from; it holds even when every pod is lost. instances: role
    name -> n: the group stands at instances 0..n-1, each of which has had all its pods at once. So a pod that is
    missing there was deleted, and one that is missing elsewhere was never made. 0 where it is to have none. beyond:
    ids of such instances above a gap, as "decode-3". recreations: scope -> its last recreation, while the back-off
    remembers it. suspended: role name -> n, the instances that the group had when the ModelInfer was suspended.

    The names on the wire are the first release's, so that both read the same records.

    >>> msgspec.json.encode(GroupRecord(revision="llama-1e61ffd22d", instances={"decode": 2}))
    b'{"revision":"llama-1e61ffd22d","complete":{"decode":2}}'
    """

    revision: str = ""
    instances: dict[str, int] = msgspec.field(default_factory=dict, name="complete")
    beyond: tuple[str, ...] = ()
    recreations: dict[str, RecreationRecord] = msgspec.field(default_factory=dict, name="rebuilds")
    suspended: dict[str, int] = {}


class ApiFailure(WireStruct, frozen=True, omit_defaults=True):
    """What the API server refused, and goes on being refused: the first for each of a few groups.

    group: the ordinal, or None for what is of no group. action: "create pod m-1-decode-0-0". since: when it was refused
    first. It is tried again by itself, at most a minute later.
    """

    reason: str
    message: str
    action: str = ""
    group: int | None = None
    since: datetime | None = None


class UpdateProgress(WireStruct, frozen=True, omit_defaults=True):
    """The clock of progressDeadlineSeconds. It starts with the update, and anew with each group that becomes available.

    revision: where groups are moved to. updated: groups that were available there when the clock last started.
    since: when it started or went on; None while it stands still. elapsed: seconds that it had run before.
    has_failed: the deadline, of deadline_seconds, is over: nothing more is replaced.
    """

    revision: str = ""
    updated: int = 0
    since: datetime | None = None
    elapsed: int = 0
    has_failed: bool = msgspec.field(default=False, name="failed")
    deadline_seconds: int = 0


class ModelInferStatus(WireStruct, frozen=True):
    """The status of a ModelInfer, as it is stored."""

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
    update_progress: UpdateProgress = UpdateProgress()
    api_failures: tuple[ApiFailure, ...] = ()

    @property
    def is_written(self) -> bool:
        """Whether the controller has ever written it."""
        return self.observed_generation > 0


class ModelInfer(KubeObject, frozen=True):
    """A ModelInfer as cached: the spec stays the stored bytes, which revisions are hashed from and pydantic reads."""

    spec: msgspec.Raw = msgspec.Raw(b"{}")
    status: ModelInferStatus = ModelInferStatus()
