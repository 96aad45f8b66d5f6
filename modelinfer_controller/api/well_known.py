"""The wire contract: label, annotation and environment keys. Existing workloads depend on every one of them."""

from typing import Final

DOMAIN: Final = "modelinfer.volcano.sh"

# Labels on every pod and Service of ours; informers ask the server for MANAGED objects by the presence of NAME.
NAME: Final = f"{DOMAIN}/name"
GROUP_NAME: Final = f"{DOMAIN}/group-name"
ROLE: Final = f"{DOMAIN}/role"
ROLE_ID: Final = f"{DOMAIN}/role-id"
REVISION: Final = f"{DOMAIN}/revision"
ENTRY: Final = f"{DOMAIN}/entry"  # "true", on entry pods only
GROUP_LEADER: Final = f"{DOMAIN}/group-leader"  # "true", on the entry pod of the first role's instance 0
GROUP_INDEX: Final = f"{DOMAIN}/group-index"  # the group's ordinal; not on pods of the first release
WORKER_INDEX: Final = f"{DOMAIN}/worker-index"  # 0 on the entry pod; not on pods of the first release
SERVING: Final = f"{DOMAIN}/serving"  # "true" while template.drain is set; taken off a pod that drains

# Annotations of ours.
INCARNATION: Final = f"{DOMAIN}/incarnation"  # on pods: how often the pod's scope had been recreated when it was made
FAILED_AT: Final = f"{DOMAIN}/failed-at"  # on pods: when the failure that runs against the grace period began
ACKNOWLEDGED_RESTARTS: Final = f"{DOMAIN}/acknowledged-restarts"  # on pods: restarts that were dealt with
DRAIN_DEADLINE: Final = f"{DOMAIN}/drain-deadline"  # on pods that drain: when they are deleted at the latest, RFC 3339
DRAINED: Final = f"{DOMAIN}/drained"  # "true", on entry pods, by the workload: its last request is answered
PRIORITY_CLASS: Final = f"{DOMAIN}/priority-class"  # on Kubernetes' own PodGroups: the class that the templates name
# On PodDisruptionBudgets of ours: the taints that say that a node leaves, with commas between; for the plugin to read.
LEAVING_TAINTS: Final = f"{DOMAIN}/leaving-taints"
PAUSED_PARTITION: Final = f"{DOMAIN}/paused-partition"  # on ModelInfers: the partition before `rollout pause`

# On pods these are the controller's alone: a template's are dropped, since they would say what is not so.
OWN_POD_KEYS: Final = frozenset(
    {
        NAME,
        GROUP_NAME,
        GROUP_INDEX,
        ROLE,
        ROLE_ID,
        REVISION,
        ENTRY,
        GROUP_LEADER,
        WORKER_INDEX,
        SERVING,
        INCARNATION,
        FAILED_AT,
        ACKNOWLEDGED_RESTARTS,
        DRAIN_DEADLINE,
        DRAINED,
    }
)

# Annotations that users set in a role's pod template, and that are part of it.
LWS_ENV: Final = f"{DOMAIN}/lws-env"  # "true": the pods also get the environment variables of LeaderWorkerSet
IGNORE_RESTARTS_OF: Final = f"{DOMAIN}/ignore-restarts-of"  # names of containers, separated by commas

CHANGE_CAUSE: Final = "kubernetes.io/change-cause"

# Environment of every container, in this order, before the template's own.
ENV_GROUP_SIZE: Final = "GROUP_SIZE"
ENV_ENTRY_ADDRESS: Final = "ENTRY_ADDRESS"
ENV_WORKER_INDEX: Final = "WORKER_INDEX"

# LeaderWorkerSet's, where the template asks for them; source: sigs.k8s.io/lws, api/leaderworkerset/v1.
ENV_LWS_LEADER_ADDRESS: Final = "LWS_LEADER_ADDRESS"
ENV_LWS_GROUP_SIZE: Final = "LWS_GROUP_SIZE"
ENV_LWS_WORKER_INDEX: Final = "LWS_WORKER_INDEX"

# Volcano's own keys.
VOLCANO_GROUP_NAME: Final = "scheduling.k8s.io/group-name"  # annotation on pods: the PodGroup
VOLCANO_TASK_SPEC: Final = "volcano.sh/task-spec"  # annotation on pods: the key in minTaskMember
VOLCANO_QUEUE_NAME: Final = "scheduling.volcano.sh/queue-name"  # annotation on ModelInfers
