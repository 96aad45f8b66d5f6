"""Gangs on Volcano's own scheduler: whole or not at all, whatever happens to them."""

from __future__ import annotations

import json
from typing import Any

import rollout_rules
from controller_process import ControllerProcess
from rollout_rules import Rules
from tenant import REMOVE_GANG, Tenant, group_pods, uids, version
from watched import Object

VOLCANO = "scheduling.volcano.sh/v1beta1"
GROUP_NAME = "scheduling.k8s.io/group-name"
WHOLE = group_pods("mi", 0, prefill=(1, 1), decode=(1, 2))


def listed(items: list[Object]) -> Object:
    return {"apiVersion": "v1", "kind": "List", "items": items}


def hyper_node(rack: str) -> Object:
    member = {"type": "Node", "selector": {"labelMatch": {"matchLabels": {"rack": rack}}}}
    metadata = {"apiVersion": "topology.volcano.sh/v1alpha1", "kind": "HyperNode", "metadata": {"name": rack}}
    return {**metadata, "spec": {"tier": 1, "members": [member]}}


def queue_of(name: str, *, gpus: int) -> Object:
    spec = {"weight": 1, "capability": {"nvidia.com/gpu": str(gpus)}}
    return {"apiVersion": VOLCANO, "kind": "Queue", "metadata": {"name": name}, "spec": spec}


def annotations(pod: Object) -> dict[str, Any]:
    return dict(pod["metadata"].get("annotations", {}))


def own_groups(tenant: Tenant) -> set[str]:
    """PodGroups of groups; Volcano itself makes one for pods that name none."""
    return {name for name in tenant.pod_groups if name.startswith("mi-")}


def first_placed(tenant: Tenant, pods: set[str]) -> list[Object]:
    """Each pod in the first state in which it had a node."""
    placed: dict[str, Object] = {}
    for change in tenant.watch("pods").changes:
        if change.name in pods and change.object["spec"].get("nodeName"):
            placed.setdefault(change.name, change.object)
    return list(placed.values())


def test_a_gang_is_scheduled_whole_or_not_at_all(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    tenant.add_nodes(2)
    roles = (tenant.role("prefill"), tenant.role("decode", workers=1))
    tenant.apply(tenant.gang("mi", *roles, schedulerName="volcano"))
    tenant.wait_refused(WHOLE)
    assert tenant.ever_placed() == set()
    tenant.wait(
        lambda: tenant.condition("mi", "Available").get("reason") == "Unschedulable", "a condition that says so"
    )
    tenant.add_nodes(1)
    tenant.wait_settled("mi")
    assert tenant.ready_pods == WHOLE
    assert len(set(tenant.node_of.values())) == 3
    assert tenant.condition("mi", "GangScheduling")["status"] == "True"


def test_a_pod_group_says_what_its_group_needs_before_there_are_pods(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    tenant.watch("podgroups")
    prefill = tenant.role("Prefill", replicas=2, gpus=2)
    decode = tenant.role("decode", workers=1)
    decode["entryTemplate"]["spec"]["containers"][0]["resources"] = {
        "requests": {"cpu": "1500m", "memory": "1Gi"},
        "limits": {"cpu": "2", "memory": "1Gi", "nvidia.com/gpu": "1"},
    }
    tenant.add_nodes(1, gpus=12)
    tenant.apply(tenant.gang("mi", prefill, decode, minimum={"Prefill": 1}, schedulerName="volcano", replicas=2))
    tenant.wait_settled("mi")
    assert tenant.pod_groups.keys() == {"mi-0", "mi-1"}
    for name, found in tenant.pod_groups.items():
        assert found["spec"]["minMember"] == 3
        assert found["spec"]["minTaskMember"] == {"Prefill-0": 1, "decode-0": 2}
        assert found["spec"]["minResources"] == {"nvidia.com/gpu": "4", "cpu": "1500m", "memory": "1073741824"}
        assert found["spec"]["queue"] == "default"
        (owner,) = found["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("ModelInfer", "mi", True)
        made = next(change.object for change in tenant.watch("podgroups").changes if change.name == name)
        pods = [change.object for change in tenant.watch("pods").changes if change.type == "ADDED"]
        own = [one for one in pods if one["metadata"]["annotations"]["scheduling.k8s.io/group-name"] == name]
        assert len(own) == 4
        assert all(version(made) < version(one) for one in own)
        tasks = [one["metadata"]["annotations"]["volcano.sh/task-spec"] for one in own]
        assert sorted(tasks) == ["Prefill-0", "Prefill-1", "decode-0", "decode-0"]


def test_the_minimum_of_a_group_starts_before_the_rest(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    tenant.add_nodes(2)
    roles = (tenant.role("prefill"), tenant.role("decode", replicas=3))
    tenant.apply(tenant.gang("mi", *roles, minimum={"decode": 1}, schedulerName="volcano"))
    minimum = group_pods("mi", 0, prefill=(1, 1), decode=(1, 1))
    tenant.wait_settled("mi")
    assert tenant.ready_pods == minimum
    tenant.add_nodes(2)
    tenant.wait_ready(group_pods("mi", 0, prefill=(1, 1), decode=(3, 1)))


def test_of_two_gangs_with_room_for_one_exactly_one_runs(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    tenant.add_nodes(3)
    pods = {name: group_pods(name, 0, decode=(1, 2)) for name in ("one", "two")}
    tenant.create(*(tenant.gang(name, tenant.role("decode", workers=1), schedulerName="volcano") for name in pods))
    winner = tenant.wait(lambda: next(filter(tenant.is_settled, pods), None), "one of them settled")
    loser = "two" if winner == "one" else "one"
    tenant.wait_refused(pods[loser])
    assert tenant.ever_placed() == pods[winner]
    tenant.delete_model(winner)
    tenant.wait_settled(loser)
    assert tenant.ready_pods == pods[loser]


def test_a_full_cluster_is_updated_group_by_group(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    tenant.add_nodes(6)
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=1), replicas=3, schedulerName="volcano"))
    tenant.wait_settled("mi")
    before, groups, since = tenant.uids, tenant.pod_groups, len(tenant.watch("pods").changes)
    role = tenant.role("decode", workers=1, image="image:2")
    tenant.apply(tenant.gang("mi", role, replicas=3, schedulerName="volcano"))
    tenant.wait_settled("mi")
    assert tenant.uids.keys() == before.keys()
    assert not set(tenant.uids.values()) & set(before.values())
    rollout_rules.check(tenant.watch("pods").changes, "mi", Rules(replicas=3), since)
    # The PodGroups say the same as before: they have gone on.
    assert uids(tenant.pod_groups) == uids(groups)


def test_a_revision_of_another_size_gets_pod_groups_of_its_own(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    tenant.add_nodes(4)
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=1), replicas=2, schedulerName="volcano"))
    tenant.wait_settled("mi")
    before = tenant.pod_groups
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=2), replicas=2, schedulerName="volcano"))
    larger = group_pods("mi", 1, decode=(1, 3))
    # Room for one larger group, beside the one that is not to be taken down before the other is available.
    tenant.wait_refused(larger)
    assert tenant.ready_pods == group_pods("mi", 0, decode=(1, 2))
    assert tenant.pod_groups["mi-0"]["spec"]["minMember"] == 2
    assert tenant.pod_groups["mi-1"]["spec"]["minMember"] == 3
    assert tenant.pod_groups["mi-1"]["metadata"]["uid"] != before["mi-1"]["metadata"]["uid"]
    tenant.add_nodes(2)
    tenant.wait_settled("mi")
    assert tenant.ready_pods == larger | group_pods("mi", 0, decode=(1, 3))


def test_network_topology_hard_places_each_group_inside_one_hyper_node(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    racks = [f"{tenant.namespace}-rack-{i}" for i in range(3)]
    rack_of = {node: rack for rack in racks for node in tenant.add_nodes(3, rack=rack)}
    tenant.kubectl("create", "-f-", input=json.dumps(listed([hyper_node(rack) for rack in racks])))
    manifest = tenant.gang("mi", tenant.role("decode", workers=1), replicas=4, schedulerName="volcano")
    manifest["spec"]["template"]["gangSchedule"]["networkTopology"] = {"mode": "hard", "highestTierAllowed": 1}
    tenant.apply(manifest)
    # Nine nodes would hold four groups of two, but a rack of three holds only one.
    tenant.wait(lambda: len(tenant.ready_pods) == 6, "three groups ready")
    racks_of_group = {
        group: [rack_of[node] for name, node in tenant.node_of.items() if name.startswith(f"mi-{group}-")]
        for group in range(4)
    }
    placed = {group: set(used) for group, used in racks_of_group.items() if used}
    assert all(len(used) == 1 for used in placed.values())
    assert set().union(*placed.values()) == set(racks)
    (waiting,) = racks_of_group.keys() - placed.keys()
    tenant.wait_refused(group_pods("mi", waiting, decode=(1, 2)))
    (node,) = tenant.add_nodes(1, rack=racks[1])
    tenant.wait_settled("mi")
    assert node in tenant.node_of.values()
    tenant.kubectl("delete", "hypernodes", *racks)


def test_a_queue_holds_no_more_than_its_capability(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    tenant.add_nodes(4)
    queue = tenant.namespace
    tenant.kubectl("create", "-f-", input=json.dumps(queue_of(queue, gpus=2)))
    annotations = {"scheduling.volcano.sh/queue-name": queue}
    pods = {name: group_pods(name, 0, decode=(1, 2)) for name in ("one", "two")}
    role = tenant.role("decode", workers=1)
    tenant.create(*(tenant.gang(name, role, annotations=annotations, schedulerName="volcano") for name in pods))
    winner = tenant.wait(lambda: next(filter(tenant.is_settled, pods), None), "one of them settled")
    assert tenant.pod_groups[f"{winner}-0"]["spec"]["queue"] == queue
    loser = "two" if winner == "one" else "one"
    tenant.wait(lambda: pods[loser] <= tenant.pods.keys(), "the other's pods")
    # Moved to a queue with room, it runs: the annotation is kept in step.
    tenant.kubectl("annotate", "--overwrite", "modelinfer", loser, "scheduling.volcano.sh/queue-name-")
    tenant.wait_settled(loser)
    assert tenant.pod_groups[f"{loser}-0"]["spec"]["queue"] == "default"
    last = max(version(pod) for pod in first_placed(tenant, pods[loser]))
    moved = next(c.object for c in tenant.watch("podgroups").changes if c.object["spec"]["queue"] == "default")
    assert version(moved) < last
    tenant.delete_model("one")
    tenant.delete_model("two")
    tenant.wait_gone()
    tenant.kubectl("delete", "queue", queue, "--wait=false")


def test_the_gang_of_higher_priority_comes_first(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000}
    tenant.create({**priority, "metadata": {"name": tenant.namespace}})
    pods = {name: group_pods(name, 0, decode=(1, 2)) for name in ("low", "urgent")}
    low = tenant.gang("low", tenant.role("decode", workers=1), schedulerName="volcano")
    tenant.apply(low)
    tenant.wait_refused(pods["low"])
    role = tenant.role("decode", workers=1, priorityClassName=tenant.namespace)
    tenant.apply(tenant.gang("urgent", role, schedulerName="volcano"))
    tenant.wait_refused(pods["urgent"])
    assert tenant.pod_groups["urgent-0"]["spec"]["priorityClassName"] == tenant.namespace
    tenant.add_nodes(1, gpus=2)
    tenant.wait_settled("urgent")
    assert tenant.ever_placed() == pods["urgent"]
    tenant.kubectl("delete", "priorityclass", tenant.namespace)


def test_gang_scheduling_is_turned_off_and_on_by_new_revisions(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    tenant.add_nodes(2, gpus=2)
    role = tenant.role("decode", workers=1)
    gang = tenant.gang("mi", role, replicas=2, schedulerName="volcano")
    tenant.apply(gang)
    tenant.wait_settled("mi")
    with_gang = tenant.status("mi")["updateRevision"]
    assert tenant.pod_groups.keys() == {"mi-0", "mi-1"}
    tenant.kubectl("patch", "modelinfer", "mi", "--type=json", "--patch", REMOVE_GANG)
    tenant.wait(lambda: tenant.status("mi")["updateRevision"] != with_gang, "another revision")
    tenant.wait_settled("mi")
    assert own_groups(tenant) == set()
    # Volcano itself puts pods that name no PodGroup into one that it makes.
    assert all(not annotations(pod).get(GROUP_NAME, "").startswith("mi-") for pod in tenant.pods.values())
    assert tenant.condition("mi", "GangScheduling") == {}
    tenant.apply(gang)
    tenant.wait(lambda: tenant.status("mi")["updateRevision"] == with_gang, "the first revision")
    tenant.wait_settled("mi")
    assert own_groups(tenant) == {"mi-0", "mi-1"}
    assert {name: annotations(pod)[GROUP_NAME] for name, pod in tenant.pods.items()} == {
        name: name[:4] for name in tenant.pods
    }


def test_a_pod_group_that_is_deleted_or_edited_is_put_right(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    tenant.add_nodes(1, gpus=2)
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=1), schedulerName="volcano"))
    tenant.wait_settled("mi")
    before, pods = tenant.pod_groups["mi-0"], tenant.uids
    tenant.kubectl("delete", "podgroups.scheduling.volcano.sh", "mi-0", "--wait=false")
    tenant.wait(
        lambda: uids(tenant.pod_groups).get("mi-0", before["metadata"]["uid"]) != before["metadata"]["uid"], "new"
    )
    assert tenant.pod_groups["mi-0"]["spec"] == before["spec"]
    wrong = {"minMember": 1, "minTaskMember": {"decode-0": 1, "other": 3}, "minResources": {"cpu": "7"}}
    tenant.kubectl(
        "patch", "podgroups.scheduling.volcano.sh", "mi-0", "--type=merge", "-p", json.dumps({"spec": wrong})
    )
    tenant.wait(lambda: tenant.pod_groups["mi-0"]["metadata"]["generation"] >= 3, "edited and put right")
    tenant.wait(lambda: tenant.pod_groups["mi-0"]["spec"] == before["spec"], "put right")
    assert tenant.uids == pods


def test_a_foreign_pod_group_of_the_name_is_left_alone(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    tenant.add_nodes(2, gpus=2)
    foreign = {"apiVersion": VOLCANO, "kind": "PodGroup", "metadata": {"name": "mi-0"}, "spec": {"minMember": 7}}
    tenant.create(foreign)
    before = tenant.pod_groups["mi-0"]
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=1), replicas=2, schedulerName="volcano"))
    tenant.wait_ready(group_pods("mi", 1, decode=(1, 2)))
    tenant.wait(
        lambda: tenant.condition("mi", "Available").get("reason") == "NameCollision", "a condition that says so"
    )
    assert "PodGroup mi-0" in tenant.condition("mi", "Available")["message"]
    tenant.wait(lambda: tenant.events("NameCollision"), "an event that says so")
    assert tenant.pod_groups["mi-0"]["spec"] == before["spec"]
    assert tenant.pod_groups["mi-0"]["metadata"]["uid"] == before["metadata"]["uid"]
    tenant.delete_model("mi")
    tenant.wait_gone()
    tenant.wait(lambda: tenant.pod_groups.keys() == {"mi-0"}, "only the foreign PodGroup left")


def test_scaled_from_4_to_0_to_4_while_pods_still_terminate(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    tenant.add_nodes(4, gpus=2)
    role = tenant.role("decode", workers=1)
    for template in ("entryTemplate", "workerTemplate"):
        role[template]["metadata"] = {"annotations": {"kwok.stage/terminate-after": "1500ms"}}
    tenant.apply(tenant.gang("mi", role, replicas=4, schedulerName="volcano"))
    tenant.wait_settled("mi")
    before = tenant.uids
    tenant.patch("mi", {"replicas": 0})
    tenant.wait(lambda: all("deletionTimestamp" in pod["metadata"] for pod in tenant.pods.values()), "terminating")
    tenant.wait(lambda: not tenant.pod_groups, "no PodGroups")
    tenant.patch("mi", {"replicas": 4})
    tenant.wait_settled("mi")
    assert tenant.uids.keys() == before.keys()
    assert tenant.pod_groups.keys() == {f"mi-{group}" for group in range(4)}
    tenant.patch("mi", {"replicas": 0})
    tenant.wait_settled("mi")
    assert not tenant.pods
    assert not tenant.pod_groups


def test_a_group_is_rebuilt_within_its_gang(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    tenant.add_nodes(4)
    roles = (tenant.role("prefill"), tenant.role("decode", workers=2))
    tenant.apply(tenant.gang("mi", *roles, schedulerName="volcano", recoveryPolicy="InferGroupRecreate"))
    tenant.wait_settled("mi")
    before, groups = tenant.uids, tenant.pod_groups
    tenant.delete_pods("mi-0-decode-0-1")
    tenant.wait_rebuilt(before, set(before), "mi")
    assert uids(tenant.pod_groups) == uids(groups)
    tenant.patch("mi", {"recoveryPolicy": "RoleRecreate"})
    tenant.wait_settled("mi")
    before = tenant.uids
    tenant.annotate_pods("mi-0-prefill-0-0", succeed_after="0s")
    tenant.wait_rebuilt(before, {"mi-0-prefill-0-0"}, "mi")


def test_roles_are_scaled_inside_the_gang(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    tenant.add_nodes(3)
    tenant.apply(tenant.gang("mi", tenant.role("decode"), schedulerName="volcano"))
    tenant.wait_settled("mi")
    before = tenant.uids
    tenant.apply(tenant.gang("mi", tenant.role("decode", replicas=3), schedulerName="volcano"))
    tenant.wait_ready(group_pods("mi", 0, decode=(3, 1)))
    assert tenant.pod_groups["mi-0"]["spec"]["minTaskMember"] == {"decode-0": 1, "decode-1": 1, "decode-2": 1}
    assert tenant.pod_groups["mi-0"]["spec"]["minResources"] == {"nvidia.com/gpu": "3"}
    tenant.apply(tenant.gang("mi", tenant.role("decode"), schedulerName="volcano"))
    tenant.wait_settled("mi")
    tenant.wait(lambda: tenant.uids == before, "the first instance alone")
    assert tenant.pod_groups["mi-0"]["spec"]["minTaskMember"] == {"decode-0": 1}


def test_what_means_the_same_is_not_written(volcano_tenant: Tenant, volcano_controller: ControllerProcess) -> None:
    tenant = volcano_tenant
    tenant.add_nodes(1, gpus=2)
    role = tenant.role("decode", workers=1)
    for template in ("entryTemplate", "workerTemplate"):
        role[template]["spec"]["containers"][0]["resources"]["requests"] = {"cpu": "1", "memory": "1Gi"}
    manifest = tenant.gang("mi", role, replicas=1, schedulerName="volcano")
    manifest["spec"]["template"]["gangSchedule"]["networkTopology"] = {}
    tenant.watch("podgroups")
    tenant.apply(manifest)
    tenant.wait_settled("mi")
    same = {"minResources": {"cpu": "2000m", "memory": "2Gi", "nvidia.com/gpu": "2000m"}}
    patch = json.dumps({"spec": same})
    tenant.kubectl("get", "podgroups.scheduling.volcano.sh")  # time for the last write to reach the audit log
    position = tenant.control_plane.audit_position()
    tenant.kubectl("patch", "podgroups.scheduling.volcano.sh", "mi-0", "--type=merge", "--patch", patch)
    volcano_controller.restart()
    # Whatever it would do to this one, it has done when it is done with the next.
    tenant.apply(tenant.gang("next", tenant.role("decode", gpus=0), schedulerName="volcano"))
    tenant.wait_settled("next")
    written = [event for event in volcano_controller.writes_since(position) if event.namespace == tenant.namespace]
    assert [event for event in written if event.name.startswith("mi")] == []
    seen = [change.object["spec"] for change in tenant.watch("podgroups").changes if change.name == "mi-0"]
    assert same["minResources"] in [spec["minResources"] for spec in seen]


def test_surge_groups_have_pod_groups_of_their_own_for_as_long_as_they_last(volcano_tenant: Tenant) -> None:
    tenant = volcano_tenant
    tenant.watch("podgroups")
    tenant.add_nodes(3, gpus=2)
    surge = {"rolloutStrategy": {"rollingUpdateConfiguration": {"maxUnavailable": 0, "maxSurge": 1}}}
    gang = {"replicas": 2, "schedulerName": "volcano", **surge}
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=1), **gang))
    tenant.wait_settled("mi")
    since = len(tenant.watch("pods").changes)
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=1, image="image:2"), **gang))
    tenant.wait_settled("mi")
    tenant.wait(lambda: tenant.pod_groups.keys() == {"mi-0", "mi-1"}, "the surge's PodGroup gone")
    assert "mi-2" in {change.name for change in tenant.watch("podgroups").changes}
    rollout_rules.check(tenant.watch("pods").changes, "mi", Rules(replicas=2, max_unavailable=0, max_surge=1), since)
