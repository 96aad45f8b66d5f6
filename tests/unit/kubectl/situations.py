"""What can be the matter with a ModelInfer, each as a cluster to look at."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any

from clusters import Cluster, role, spec

from modelinfer_controller.api.status import ApiFailure
from modelinfer_controller.planning.status import status_of


def pd_spec(image: str = "vllm:v1", replicas: int = 3, **rolling: Any) -> dict[str, Any]:
    return spec(replicas, role("prefill", image=image), role("decode", 2, 1, image=image), **rolling)


def settled(replicas: int = 3, **rolling: Any) -> Cluster:
    cluster = Cluster(pd_spec(replicas=replicas, **rolling))
    cluster.settle()
    return cluster


def being_created() -> Cluster:
    cluster = Cluster(pd_spec())
    cluster.act()
    cluster.start(lambda name: name.startswith("qwen-0"), seconds=30)
    return cluster


def rollout_hangs() -> Cluster:
    """The new image cannot be pulled: the first group that was replaced hangs."""
    cluster = settled()
    cluster.change(pd_spec("vllm:v2"), **{"kubernetes.io/change-cause": "vLLM 2"})
    cluster.act()
    cluster.act()
    cluster.start(lambda name: name.startswith("qwen-2-prefill"), seconds=20)
    for name in ("qwen-2-decode-0-0", "qwen-2-decode-0-1", "qwen-2-decode-1-0"):
        cluster.fail_to_pull(name)
    cluster.leave_unscheduled("qwen-2-decode-1-1", "0/6 nodes are available: 6 Insufficient nvidia.com/gpu.")
    cluster.now += timedelta(minutes=12)
    cluster.note()
    return cluster


def crash_loop() -> Cluster:
    """Its instance is recreated, crashes again, and waits for the back-off."""
    cluster = settled()
    cluster.act()
    for _ in range(2):
        cluster.restart("qwen-1-decode-0-1", 1)
        cluster.act()
        cluster.act()
        cluster.start(lambda name: name != "qwen-1-decode-0-1", seconds=5)
    cluster.restart("qwen-1-decode-0-1", 1)
    cluster.note()
    return cluster


def unschedulable() -> Cluster:
    cluster = Cluster(pd_spec())
    cluster.act()
    cluster.start(lambda name: not name.startswith("qwen-2"))
    for name in [name for name in cluster.pods if name.startswith("qwen-2")]:
        cluster.leave_unscheduled(name, "0/6 nodes are available: 6 Insufficient nvidia.com/gpu.")
    cluster.now += timedelta(minutes=4)
    cluster.note()
    return cluster


def quota_exceeded() -> Cluster:
    cluster = Cluster(spec(4, role("decode")))
    text = 'pods "qwen-{0}-decode-0-0" is forbidden: exceeded quota: few, requested: pods=1, used: pods=0, limited: 0'
    failures: dict[int | None, ApiFailure] = {
        n: ApiFailure("QuotaExceeded", text.format(n), f"create pod qwen-{n}-decode-0-0", n) for n in range(4)
    }
    cluster.note(status_of(cluster.snapshot().decision, failures))
    return cluster


def held_by_partition() -> Cluster:
    cluster = settled()
    cluster.change(pd_spec("vllm:v2", partition=2))
    cluster.settle()
    return cluster


def name_conflict() -> Cluster:
    cluster = Cluster(spec(1, role("decode")))
    cluster.take_name("qwen-0-decode-0-0")
    cluster.note()
    return cluster


def kept_by_a_finalizer() -> Cluster:
    cluster = settled()
    cluster.end("qwen-0-decode-0-1", "example.com/drain")
    cluster.now += timedelta(minutes=3)
    cluster.note()
    return cluster


def invalid_spec() -> Cluster:
    cluster = settled()
    cluster.change(pd_spec(maxUnavailable="120%"))
    return cluster


def being_deleted() -> Cluster:
    cluster = settled()
    cluster.delete("example.com/keep")
    return cluster


def not_seen_by_the_controller() -> Cluster:
    cluster = settled()
    cluster.change(pd_spec(replicas=4))
    return cluster


def many_groups() -> Cluster:
    """150 groups, of which one cannot pull its image and three lack a node."""
    cluster = Cluster(spec(150, role("decode", workers=1)))
    cluster.settle()
    for ordinal in (7, 100, 101, 149):
        for index in (0, 1):
            name = f"qwen-{ordinal}-decode-0-{index}"
            if ordinal == 7:
                cluster.fail_to_pull(name)
            else:
                cluster.leave_unscheduled(name, "0/6 nodes are available: 6 Insufficient nvidia.com/gpu.")
    cluster.now += timedelta(minutes=2)
    cluster.note()
    return cluster


def without_groups() -> Cluster:
    cluster = Cluster(pd_spec(replicas=0))
    cluster.settle()
    return cluster


def paused() -> Cluster:
    """The spec has a new image, and a pause that keeps every group at the old one."""
    cluster = settled()
    cluster.change({**pd_spec("vllm:v2"), "paused": True})
    cluster.act()
    return cluster


def rollout_failed() -> Cluster:
    """The new image cannot be pulled for longer than progressDeadlineSeconds."""
    cluster = Cluster({**pd_spec(), "progressDeadlineSeconds": 300})
    cluster.settle()
    cluster.change({**pd_spec("vllm:v2"), "progressDeadlineSeconds": 300})
    cluster.act()
    cluster.act()
    for name in [name for name in cluster.pods if name.startswith("qwen-2")]:
        cluster.fail_to_pull(name)
    cluster.note()
    cluster.now += timedelta(minutes=6)
    cluster.note()
    return cluster


def gang_kind_missing() -> Cluster:
    """It asks for gangs, and no PodGroup kind is served."""
    wanted = pd_spec()
    wanted["template"]["gangSchedule"] = {}
    cluster = Cluster(wanted)
    cluster.settle()
    return cluster


def several_are_down() -> Cluster:
    """Group 0 crashes, group 2 cannot pull its image."""
    cluster = settled()
    cluster.restart("qwen-0-decode-0-1", 1)
    cluster.now += timedelta(minutes=5)
    cluster.fail_to_pull("qwen-2-prefill-0-0")
    cluster.note()
    return cluster


def suspended() -> Cluster:
    cluster = settled()
    cluster.change({**pd_spec(), "suspend": True})
    cluster.settle()
    return cluster


def rolled_back() -> Cluster:
    """The new image cannot be pulled for longer than progressDeadlineSeconds, and the groups have returned."""
    rolling = {"onFailure": "Rollback"}
    cluster = Cluster({**pd_spec(**rolling), "progressDeadlineSeconds": 300})
    cluster.settle()
    cluster.change({**pd_spec("vllm:v2", **rolling), "progressDeadlineSeconds": 300})
    cluster.act()
    cluster.act()
    for name in [name for name in cluster.pods if name.startswith("qwen-2")]:
        cluster.fail_to_pull(name)
    cluster.note()
    cluster.now += timedelta(minutes=6)
    cluster.settle()
    return cluster


def draining() -> Cluster:
    """An update has taken the label `serving` off its first group, whose pods finish their requests."""
    wanted = pd_spec()
    wanted["template"]["drain"] = {"timeoutSeconds": 120}
    cluster = Cluster(wanted)
    cluster.settle()
    wanted = pd_spec("vllm:v2")
    wanted["template"]["drain"] = {"timeoutSeconds": 120}
    cluster.change(wanted)
    cluster.act()
    cluster.now += timedelta(seconds=30)
    cluster.note()
    return cluster


def handing_over() -> Cluster:
    """Somebody drains a node. The first group that moves off it finishes its requests, and another one waits."""
    wanted = {**pd_spec(), "nodeDrainPolicy": "HandOver", "recoveryPolicy": "InferGroupRecreate"}
    wanted["template"]["drain"] = {"timeoutSeconds": 120}
    cluster = Cluster(wanted)
    cluster.settle()
    cluster.cordon("gpu-0")
    cluster.act()
    cluster.now += timedelta(seconds=30)
    cluster.note()
    return cluster


def not_ready_for_long_enough() -> Cluster:
    cluster = Cluster({**pd_spec(), "minReadySeconds": 600})
    cluster.act()
    cluster.start()
    cluster.now += timedelta(minutes=4)
    cluster.note()
    return cluster


def entry_pods_first() -> Cluster:
    """Workers are created when the entry pod of their instance is ready; that of decode-1 in group 2 is not."""
    wanted = pd_spec()
    wanted["template"]["startupPolicy"] = "EntryReady"
    cluster = Cluster(wanted)
    cluster.act()
    cluster.start(lambda name: name != "qwen-2-decode-1-0")
    cluster.act()
    cluster.start(lambda name: name != "qwen-2-decode-1-0")
    return cluster


SITUATIONS: Mapping[str, Callable[[], Cluster]] = {
    "well": settled,
    "being-created": being_created,
    "rollout-hangs": rollout_hangs,
    "crash-loop": crash_loop,
    "unschedulable": unschedulable,
    "quota-exceeded": quota_exceeded,
    "held-by-partition": held_by_partition,
    "name-conflict": name_conflict,
    "kept-by-a-finalizer": kept_by_a_finalizer,
    "invalid-spec": invalid_spec,
    "being-deleted": being_deleted,
    "not-seen-by-the-controller": not_seen_by_the_controller,
    "many-groups": many_groups,
    "without-groups": without_groups,
    "paused": paused,
    "rollout-failed": rollout_failed,
    "gang-kind-missing": gang_kind_missing,
    "several-are-down": several_are_down,
    "suspended": suspended,
    "rolled-back": rolled_back,
    "draining": draining,
    "handing-over": handing_over,
    "not-ready-for-long-enough": not_ready_for_long_enough,
    "entry-pods-first": entry_pods_first,
}
