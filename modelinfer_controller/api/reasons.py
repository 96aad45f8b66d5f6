"""Reasons of conditions and events: every one that the controller itself gives, and the pair that carries one.

Scripts and alerts match on them, so a reason never changes. Some reasons come from the cluster (ImagePullBackOff,
Unschedulable, CrashLoopBackOff, a quota's) and stay the strings that they are.
"""

from enum import StrEnum
from typing import NamedTuple


class Reason(StrEnum):
    """Every reason that the controller itself gives, by what it is given for."""

    # Available
    ALL_GROUPS_AVAILABLE = "AllGroupsAvailable"
    NO_REPLICAS = "NoReplicas"

    # Why a group is not available
    CREATING_PODS = "CreatingPods"
    SCHEDULING = "Scheduling"
    UNSCHEDULABLE = "Unschedulable"
    CONTAINER_CREATING = "ContainerCreating"
    PODS_NOT_READY = "PodsNotReady"
    POD_FAILED = "PodFailed"
    POD_SUCCEEDED = "PodSucceeded"
    CONTAINER_RESTARTED = "ContainerRestarted"
    NODE_NOT_READY = "NodeNotReady"
    WAITING_FOR_ENTRY_POD = "WaitingForEntryPod"
    WAITING_FOR_MIN_READY_SECONDS = "WaitingForMinReadySeconds"
    WAITING_FOR_BACK_OFF = "WaitingForBackOff"
    WAITING_FOR_GRACE_PERIOD = "WaitingForGracePeriod"
    WAITING_FOR_TERMINATION = "WaitingForTermination"
    DRAINING = "Draining"
    NAME_COLLISION = "NameCollision"
    REVISION_MISSING = "RevisionMissing"
    QUOTA_EXCEEDED = "QuotaExceeded"
    API_SERVER_UNREACHABLE = "ApiServerUnreachable"
    INVALID_SPEC = "InvalidSpec"

    # Progressing, UpdateInProgress, Ready, Stalled, Suspended
    AS_SPECIFIED = "AsSpecified"
    GROUPS_PROGRESSING = "GroupsProgressing"
    SCALING_DOWN = "ScalingDown"
    SCALING_ROLES = "ScalingRoles"
    ROLLING_UPDATE = "RollingUpdate"
    WAITING_FOR_GROUPS = "WaitingForGroups"
    REMOVING_GROUPS = "RemovingGroups"
    HELD_BY_PARTITION = "HeldByPartition"
    UP_TO_DATE = "UpToDate"
    UPDATING = "Updating"
    PAUSED = "Paused"
    PROGRESS_DEADLINE_EXCEEDED = "ProgressDeadlineExceeded"
    ROLLED_BACK = "RolledBack"
    SUSPENDED = "Suspended"
    HANDING_OVER = "HandingOver"

    # HandOver
    EVICTIONS_WAIT = "EvictionsWait"
    NODES_FORBIDDEN = "NodesForbidden"
    NODES_NOT_READ = "NodesNotRead"
    BUDGETS_FORBIDDEN = "BudgetsForbidden"

    # GangScheduling
    POD_GROUPS_IN_USE = "PodGroupsInUse"
    POD_GROUP_KIND_MISSING = "PodGroupKindMissing"

    # Events alone
    REBUILDING = "Rebuilding"
    BACK_OFF = "BackOff"
    GROUP_UNAVAILABLE = "GroupUnavailable"
    GROUP_AVAILABLE = "GroupAvailable"
    ROLLOUT_STARTED = "RolloutStarted"
    ROLLOUT_COMPLETED = "RolloutCompleted"
    SCALING = "Scaling"
    RESUMED = "Resumed"
    METADATA_REMOVED = "MetadataRemoved"


class Cause(NamedTuple):
    """Why something is as it is. reason is CamelCase, of Reason or the cluster's own; message a sentence for people."""

    reason: str
    message: str
