"""Kubernetes' own gangs, on kube-scheduler with the feature gate on. Users name no scheduler at all."""

from __future__ import annotations

import json

import rollout_rules
from controller_process import ControllerProcess
from rollout_rules import Rules
from tenant import REMOVE_GANG, Tenant, group_pods, uids, version
from watched import Object

KUBERNETES = "scheduling.k8s.io/v1beta1"
PROTECTION = "scheduling.k8s.io/podgroup-protection"
POD_GROUPS = "podgroups.scheduling.k8s.io"
WHOLE = group_pods("mi", 0, prefill=(1, 1), decode=(1, 2))


def min_count(tenant: Tenant, name: str) -> int:
    return int(tenant.pod_groups[name]["spec"]["schedulingPolicy"]["gang"]["minCount"])


def groups_of_pods(tenant: Tenant) -> dict[str, str]:
    """Pod -> the PodGroup that it names."""
    found = {name: pod["spec"].get("schedulingGroup") for name, pod in tenant.pods.items()}
    return {name: group["podGroupName"] for name, group in found.items() if group}


def is_preempted(pod: Object) -> bool:
    """By the scheduler, not deleted by the controller since its sibling was."""
    return any(one.get("reason") == "PreemptionByScheduler" for one in pod["status"].get("conditions", []))


def test_a_gang_is_scheduled_whole_or_not_at_all(native_tenant: Tenant) -> None:
    tenant = native_tenant
    tenant.add_nodes(2)
    tenant.apply(tenant.gang("mi", tenant.role("prefill"), tenant.role("decode", workers=1)))
    tenant.wait_refused(WHOLE)
    assert tenant.ever_placed() == set()
    tenant.wait(
        lambda: tenant.condition("mi", "Available").get("reason") == "Unschedulable", "a condition that says so"
    )
    tenant.add_nodes(1)
    tenant.wait_settled("mi")
    assert tenant.ready_pods == WHOLE
    assert len(set(tenant.node_of.values())) == 3
    gang = tenant.condition("mi", "GangScheduling")
    assert gang["status"] == "True"
    assert KUBERNETES in gang["message"]


def test_a_pod_group_is_there_before_the_pods_that_name_it(native_tenant: Tenant) -> None:
    tenant = native_tenant
    tenant.watch("podgroups")
    tenant.add_nodes(1, gpus=8)
    roles = (tenant.role("Prefill", replicas=2), tenant.role("decode", workers=1))
    tenant.apply(tenant.gang("mi", *roles, minimum={"Prefill": 1}, replicas=2, schedulerName="default-scheduler"))
    tenant.wait_settled("mi")
    everything = group_pods("mi", 0, prefill=(2, 1), decode=(1, 2)) | group_pods("mi", 1, prefill=(2, 1), decode=(1, 2))
    tenant.wait_ready(everything)
    assert groups_of_pods(tenant) == {name: name[:4] for name in everything}
    assert tenant.pod_groups.keys() == {"mi-0", "mi-1"}
    for name, found in tenant.pod_groups.items():
        assert min_count(tenant, name) == 3
        (owner,) = found["metadata"]["ownerReferences"]
        assert (owner["kind"], owner["name"], owner["controller"]) == ("ModelInfer", "mi", True)
        made = next(change.object for change in tenant.watch("podgroups").changes if change.name == name)
        pods = [change.object for change in tenant.watch("pods").changes if change.type == "ADDED"]
        assert all(version(made) < version(one) for one in pods if one["metadata"]["name"].startswith(name))


def test_the_minimum_of_a_group_starts_before_the_rest(native_tenant: Tenant) -> None:
    tenant = native_tenant
    tenant.add_nodes(2)
    roles = (tenant.role("prefill"), tenant.role("decode", replicas=3))
    tenant.apply(tenant.gang("mi", *roles, minimum={"decode": 1}))
    tenant.wait_settled("mi")
    assert tenant.ready_pods == group_pods("mi", 0, prefill=(1, 1), decode=(1, 1))
    tenant.add_nodes(2)
    tenant.wait_ready(group_pods("mi", 0, prefill=(1, 1), decode=(3, 1)))


def test_a_preemption_takes_the_whole_gang(native_tenant: Tenant) -> None:
    tenant = native_tenant
    tenant.add_nodes(4)
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=1), replicas=2))
    tenant.wait_settled("mi")
    assert all(found["spec"]["disruptionMode"] == {"all": {}} for found in tenant.pod_groups.values())
    urgent = tenant.pod(priorityClassName="system-node-critical")
    tenant.create({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "urgent"}, "spec": urgent["spec"]})
    tenant.wait(lambda: "urgent" in tenant.ready_pods, "the urgent pod runs")
    preempted = {change.name for change in tenant.watch("pods").changes if is_preempted(change.object)}
    assert preempted in ({"mi-0-decode-0-0", "mi-0-decode-0-1"}, {"mi-1-decode-0-0", "mi-1-decode-0-1"})


def test_a_changed_minimum_changes_the_count_and_no_pod(native_tenant: Tenant) -> None:
    tenant = native_tenant
    tenant.add_nodes(3)
    role = tenant.role("decode", replicas=4)
    tenant.apply(tenant.gang("mi", role))
    tenant.wait_refused(group_pods("mi", 0, decode=(4, 1)))
    assert min_count(tenant, "mi-0") == 4
    before, pods = tenant.pod_groups, tenant.uids
    tenant.patch("mi", {"template": {"gangSchedule": {"minRoleReplicas": {"decode": 3}}}})
    tenant.wait(lambda: len(tenant.ready_pods) == 3, "three pods ready")
    assert min_count(tenant, "mi-0") == 3
    assert uids(tenant.pod_groups) == uids(before)
    assert tenant.uids == pods


def test_of_two_gangs_with_room_for_one_exactly_one_runs(native_tenant: Tenant) -> None:
    tenant = native_tenant
    tenant.add_nodes(3)
    pods = {name: group_pods(name, 0, decode=(1, 2)) for name in ("one", "two")}
    tenant.create(*(tenant.gang(name, tenant.role("decode", workers=1)) for name in pods))
    winner = tenant.wait(lambda: next(filter(tenant.is_settled, pods), None), "one of them settled")
    loser = "two" if winner == "one" else "one"
    tenant.wait_refused(pods[loser])
    assert tenant.ever_placed() == pods[winner]
    tenant.delete_model(winner)
    tenant.wait_settled(loser)
    assert tenant.ready_pods == pods[loser]


def test_a_full_cluster_is_updated_group_by_group(native_tenant: Tenant) -> None:
    tenant = native_tenant
    tenant.add_nodes(6)
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=1), replicas=3))
    tenant.wait_settled("mi")
    before, groups, since = tenant.uids, tenant.pod_groups, len(tenant.watch("pods").changes)
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=1, image="image:2"), replicas=3))
    tenant.wait_settled("mi")
    assert tenant.uids.keys() == before.keys()
    assert not set(tenant.uids.values()) & set(before.values())
    rollout_rules.check(tenant.watch("pods").changes, "mi", Rules(replicas=3), since)
    # The PodGroups say the same as before: they have gone on.
    assert uids(tenant.pod_groups) == uids(groups)


def test_a_revision_of_another_size_gets_pod_groups_of_its_own(native_tenant: Tenant) -> None:
    tenant = native_tenant
    tenant.add_nodes(4)
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=1), replicas=2))
    tenant.wait_settled("mi")
    before = tenant.pod_groups
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=2), replicas=2))
    larger = group_pods("mi", 1, decode=(1, 3))
    tenant.wait_refused(larger)
    assert tenant.ready_pods == group_pods("mi", 0, decode=(1, 2))
    assert (min_count(tenant, "mi-0"), min_count(tenant, "mi-1")) == (2, 3)
    assert uids(tenant.pod_groups)["mi-1"] != uids(before)["mi-1"]
    tenant.add_nodes(2)
    tenant.wait_settled("mi")
    assert tenant.ready_pods == larger | group_pods("mi", 0, decode=(1, 3))


def test_a_changed_priority_class_comes_with_new_pod_groups(native_tenant: Tenant) -> None:
    tenant = native_tenant
    tenant.add_nodes(1, gpus=2)
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000}
    tenant.create({**priority, "metadata": {"name": tenant.namespace}})
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=1)))
    tenant.wait_settled("mi")
    for made, expected in ({"priorityClassName": tenant.namespace}, 1000), ({}, 0):
        before = uids(tenant.pod_groups)
        tenant.apply(tenant.gang("mi", tenant.role("decode", workers=1, **made)))
        tenant.wait_settled("mi")
        assert tenant.pod_groups["mi-0"]["spec"]["priority"] == expected
        assert uids(tenant.pod_groups) != before
    tenant.kubectl("delete", "priorityclass", tenant.namespace)


def test_the_gang_of_higher_priority_comes_first(native_tenant: Tenant) -> None:
    tenant = native_tenant
    priority = {"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "value": 1000}
    tenant.create({**priority, "metadata": {"name": tenant.namespace}})
    pods = {name: group_pods(name, 0, decode=(1, 2)) for name in ("low", "urgent")}
    tenant.apply(tenant.gang("low", tenant.role("decode", workers=1)))
    tenant.wait_refused(pods["low"])
    tenant.apply(tenant.gang("urgent", tenant.role("decode", workers=1, priorityClassName=tenant.namespace)))
    tenant.wait_refused(pods["urgent"])
    tenant.add_nodes(1, gpus=2)
    tenant.wait_settled("urgent")
    tenant.wait(lambda: tenant.node_of.keys() == pods["urgent"], "the urgent one alone")
    tenant.kubectl("delete", "priorityclass", tenant.namespace)


def test_gang_scheduling_is_turned_off_and_on_by_new_revisions(native_tenant: Tenant) -> None:
    tenant = native_tenant
    tenant.add_nodes(2, gpus=2)
    gang = tenant.gang("mi", tenant.role("decode", workers=1), replicas=2)
    tenant.apply(gang)
    tenant.wait_settled("mi")
    with_gang = tenant.status("mi")["updateRevision"]
    assert tenant.pod_groups.keys() == {"mi-0", "mi-1"}
    tenant.kubectl("patch", "modelinfer", "mi", "--type=json", "--patch", REMOVE_GANG)
    tenant.wait(lambda: tenant.status("mi")["updateRevision"] != with_gang, "another revision")
    tenant.wait_settled("mi")
    tenant.wait(lambda: not tenant.pod_groups, "no PodGroups")
    assert groups_of_pods(tenant) == {}
    assert tenant.condition("mi", "GangScheduling") == {}
    tenant.apply(gang)
    tenant.wait(lambda: tenant.status("mi")["updateRevision"] == with_gang, "the first revision")
    tenant.wait_settled("mi")
    assert tenant.pod_groups.keys() == {"mi-0", "mi-1"}
    assert groups_of_pods(tenant) == {name: name[:4] for name in tenant.pods}


def test_a_deleted_pod_group_stays_for_its_pods_and_comes_back_with_new_ones(native_tenant: Tenant) -> None:
    tenant = native_tenant
    tenant.add_nodes(3)
    roles = (tenant.role("prefill"), tenant.role("decode", workers=1))
    tenant.apply(tenant.gang("mi", *roles))
    tenant.wait_settled("mi")
    before, pods = uids(tenant.pod_groups), tenant.uids
    tenant.kubectl("delete", POD_GROUPS, "mi-0", "--wait=false")
    tenant.wait(lambda: "deletionTimestamp" in tenant.pod_groups["mi-0"]["metadata"], "going")
    assert tenant.pod_groups["mi-0"]["metadata"]["finalizers"] == [PROTECTION]
    # A role instance that is rebuilt meanwhile does not wait for what waits for its siblings.
    tenant.delete_pods("mi-0-decode-0-1")
    tenant.wait_rebuilt(pods, {"mi-0-decode-0-0", "mi-0-decode-0-1"}, "mi")
    assert uids(tenant.pod_groups) == before
    tenant.delete_pods(*WHOLE)
    tenant.wait(lambda: tenant.pod_groups.keys() == {"mi-0"} and uids(tenant.pod_groups) != before, "another PodGroup")
    tenant.wait_settled("mi")
    assert "deletionTimestamp" not in tenant.pod_groups["mi-0"]["metadata"]
    assert tenant.ready_pods == WHOLE


def test_a_foreign_pod_group_of_the_name_is_left_alone(native_tenant: Tenant) -> None:
    tenant = native_tenant
    tenant.add_nodes(2, gpus=2)
    spec = {"schedulingPolicy": {"gang": {"minCount": 7}}}
    tenant.create({"apiVersion": KUBERNETES, "kind": "PodGroup", "metadata": {"name": "mi-0"}, "spec": spec})
    before = uids(tenant.pod_groups)
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=1), replicas=2))
    tenant.wait_ready(group_pods("mi", 1, decode=(1, 2)))
    tenant.wait(
        lambda: tenant.condition("mi", "Available").get("reason") == "NameCollision", "a condition that says so"
    )
    assert "PodGroup mi-0" in tenant.condition("mi", "Available")["message"]
    assert min_count(tenant, "mi-0") == 7
    assert uids(tenant.pod_groups)["mi-0"] == before["mi-0"]
    tenant.delete_model("mi")
    tenant.wait_gone()
    tenant.wait(lambda: tenant.pod_groups.keys() == {"mi-0"}, "only the foreign PodGroup left")


def test_scaled_from_4_to_0_to_4_while_pods_still_terminate(native_tenant: Tenant) -> None:
    tenant = native_tenant
    tenant.add_nodes(4, gpus=2)
    role = tenant.role("decode", workers=1)
    for template in ("entryTemplate", "workerTemplate"):
        role[template]["metadata"] = {"annotations": {"kwok.stage/terminate-after": "1500ms"}}
    tenant.apply(tenant.gang("mi", role, replicas=4))
    tenant.wait_settled("mi")
    before = tenant.uids
    tenant.patch("mi", {"replicas": 0})
    tenant.wait(lambda: all("deletionTimestamp" in pod["metadata"] for pod in tenant.pods.values()), "terminating")
    tenant.wait(
        lambda: all("deletionTimestamp" in group["metadata"] for group in tenant.pod_groups.values()), "going with them"
    )
    tenant.patch("mi", {"replicas": 4})
    tenant.wait_settled("mi")
    assert tenant.uids.keys() == before.keys()
    assert tenant.pod_groups.keys() == {f"mi-{group}" for group in range(4)}
    tenant.patch("mi", {"replicas": 0})
    tenant.wait(lambda: not tenant.pods and not tenant.pod_groups, "nothing left")
    tenant.wait_settled("mi")


def test_a_group_is_rebuilt_within_its_gang(native_tenant: Tenant) -> None:
    tenant = native_tenant
    tenant.add_nodes(4)
    roles = (tenant.role("prefill"), tenant.role("decode", workers=2))
    tenant.apply(tenant.gang("mi", *roles, recoveryPolicy="InferGroupRecreate"))
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


def test_roles_are_scaled_inside_the_gang(native_tenant: Tenant) -> None:
    tenant = native_tenant
    tenant.add_nodes(3)
    tenant.apply(tenant.gang("mi", tenant.role("decode")))
    tenant.wait_settled("mi")
    before = tenant.uids
    tenant.apply(tenant.gang("mi", tenant.role("decode", replicas=3)))
    tenant.wait_ready(group_pods("mi", 0, decode=(3, 1)))
    assert min_count(tenant, "mi-0") == 3
    tenant.apply(tenant.gang("mi", tenant.role("decode")))
    tenant.wait_settled("mi")
    tenant.wait(lambda: tenant.uids == before, "the first instance alone")
    assert min_count(tenant, "mi-0") == 1


def test_a_converged_gang_is_not_written_to(native_tenant: Tenant, native_controller: ControllerProcess) -> None:
    tenant = native_tenant
    tenant.add_nodes(1, gpus=2)
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=1)))
    tenant.wait_settled("mi")
    tenant.kubectl("get", POD_GROUPS)  # time for the last write to reach the audit log
    position = tenant.control_plane.audit_position()
    note = json.dumps({"metadata": {"annotations": {"note": "somebody's"}}})
    tenant.kubectl("patch", POD_GROUPS, "mi-0", "--type=merge", "--patch", note)
    native_controller.restart()
    # Whatever it would do to this one, it has done when it is done with the next.
    tenant.apply(tenant.gang("next", tenant.role("decode", gpus=0)))
    tenant.wait_settled("next")
    written = [event for event in native_controller.writes_since(position) if event.namespace == tenant.namespace]
    assert [event for event in written if event.name.startswith("mi")] == []


def test_gangs_are_spread_and_each_stays_in_its_leaders_zone(native_tenant: Tenant) -> None:
    tenant = native_tenant
    zones = ("zone-a", "zone-b", "zone-c")
    zone_of = {node: zone for zone in zones for node in tenant.add_nodes(2, gpus=4, zone=zone)}
    constraint = {"maxSkew": 1, "topologyKey": "topology.kubernetes.io/zone", "whenUnsatisfiable": "DoNotSchedule"}
    roles = (tenant.role("prefill"), tenant.role("decode", workers=2))
    tenant.apply(tenant.gang("mi", *roles, replicas=6, topologySpreadConstraints=[constraint]))
    tenant.wait_settled("mi")
    zones_of_groups = [
        {zone_of[node] for name, node in tenant.node_of.items() if name.startswith(f"mi-{group}-")}
        for group in range(6)
    ]
    assert sorted(zone for (zone,) in zones_of_groups) == sorted(zones * 2)
