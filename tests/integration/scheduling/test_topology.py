"""Groups spread over domains by the real kube-scheduler: a group counts once, where its leader runs."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from models import Manifest, model
from tenant import Tenant, group_pods

ZONES = ("zone-a", "zone-b", "zone-c")
ZONE = "topology.kubernetes.io/zone"
LEADER = "modelinfer.volcano.sh/group-leader"


def spread(*, when: str = "DoNotSchedule", **more: Any) -> Manifest:
    """Over the zones, as a field of the spec."""
    return {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": ZONE, "whenUnsatisfiable": when, **more}]}


class Zoned:
    """A tenant with as many nodes in each zone as he says, and where his pods are."""

    def __init__(self, tenant: Tenant) -> None:
        self.tenant = tenant
        self._zone_of: dict[str, str] = {}

    def add_nodes(self, *gpus: int) -> None:
        """One node for each number, in the zones in turn."""
        for zone, count in zip(ZONES, gpus, strict=False):
            self._zone_of |= dict.fromkeys(self.tenant.add_nodes(1, gpus=count, zone=zone), zone)

    @property
    def zone_of(self) -> dict[str, str]:
        return {pod: self._zone_of[node] for pod, node in self.tenant.node_of.items()}

    @property
    def leaders(self) -> dict[str, str]:
        """Leader -> its zone, "" while it has none."""
        pods = self.tenant.pods
        return {name: self.zone_of.get(name, "") for name, pod in pods.items() if LEADER in pod["metadata"]["labels"]}

    @property
    def leaders_by_zone(self) -> dict[str, int]:
        return dict(Counter(self.leaders.values()))


@pytest.fixture
def zoned(tenant: Tenant) -> Zoned:
    return Zoned(tenant)


def test_six_groups_over_three_zones_end_2_2_2_through_a_rollout_and_a_recovery(zoned: Zoned) -> None:
    zoned.add_nodes(20, 20, 20)
    tenant = zoned.tenant
    roles = (tenant.role("prefill", workers=1), tenant.role("decode"))
    tenant.apply(model("mi", *roles, replicas=6, **spread()))
    tenant.wait_settled("mi")
    evenly = dict.fromkeys(ZONES, 2)
    assert zoned.leaders.keys() == {f"mi-{group}-prefill-0-0" for group in range(6)}
    assert zoned.leaders_by_zone == evenly

    before = tenant.uids
    roles = (tenant.role("prefill", workers=1, image="image:2"), tenant.role("decode"))
    tenant.apply(model("mi", *roles, replicas=6, **spread()))
    tenant.wait_settled("mi")
    assert not set(before.values()) & set(tenant.uids.values())
    assert zoned.leaders_by_zone == evenly

    before, lost = tenant.uids, {"mi-1-prefill-0-0", "mi-4-prefill-0-0"}
    tenant.delete_pods(*lost)
    tenant.wait_rebuilt(before, {*lost, "mi-1-prefill-0-1", "mi-4-prefill-0-1"}, "mi")
    assert zoned.leaders_by_zone == evenly


def test_do_not_schedule_holds_a_group_back(zoned: Zoned) -> None:
    zoned.add_nodes(20, 1)
    tenant = zoned.tenant
    tenant.apply(model("mi", tenant.role("decode", workers=1), replicas=4, **spread()))
    # One leader fills zone-b; a third in zone-a would be two ahead of it.
    tenant.wait(lambda: sorted(zoned.leaders.values()) == ["", "zone-a", "zone-a", "zone-b"], "three groups placed")
    (held,) = (name for name, zone in zoned.leaders.items() if not zone)
    tenant.wait_refused({held})
    tenant.wait(lambda: held in tenant.condition("mi", "Available").get("message", ""), "the condition names it")
    assert "topology spread constraints" in tenant.condition("mi", "Available")["message"]
    # Not its leader alone is held back: its followers take no room that their leader might never join.
    assert {name for name in tenant.ever_placed() if name.startswith(held[:4])} == set()
    zoned.add_nodes(0, 1)
    tenant.wait_settled("mi")
    assert zoned.leaders_by_zone == {"zone-a": 2, "zone-b": 2}


def test_schedule_anyway_holds_no_group_back(zoned: Zoned) -> None:
    zoned.add_nodes(20, 1)
    tenant = zoned.tenant
    tenant.apply(model("mi", tenant.role("decode", workers=1), replicas=5, **spread(when="ScheduleAnyway")))
    tenant.wait_settled("mi")
    assert zoned.leaders_by_zone["zone-a"] >= 4


def test_followers_end_in_their_leaders_domain_while_there_is_room(zoned: Zoned) -> None:
    zoned.add_nodes(5, 5, 5)
    zoned.add_nodes(5, 5, 5)
    tenant = zoned.tenant
    roles = (tenant.role("prefill", workers=1), tenant.role("decode", replicas=3))
    tenant.apply(model("mi", *roles, replicas=6, **spread()))
    tenant.wait_settled("mi")
    assert zoned.leaders_by_zone == dict.fromkeys(ZONES, 2)
    for group in range(6):
        pods = group_pods("mi", group, prefill=(1, 2), decode=(3, 1))
        assert {zoned.zone_of[name] for name in pods} == {zoned.leaders[f"mi-{group}-prefill-0-0"]}


def test_followers_go_elsewhere_when_there_is_no_room_beside_their_leader(zoned: Zoned) -> None:
    zoned.add_nodes(2, 5)
    tenant = zoned.tenant
    tenant.apply(model("mi", tenant.role("decode", workers=2), replicas=2, **spread()))
    tenant.wait_settled("mi")
    assert zoned.leaders_by_zone == {"zone-a": 1, "zone-b": 1}


def test_a_label_selector_counts_the_groups_of_two_model_infers(zoned: Zoned) -> None:
    zoned.add_nodes(20, 20, 20)
    tenant = zoned.tenant
    both = spread(labelSelector={"matchLabels": {"app": "both"}})

    def named(name: str, replicas: int) -> Any:
        role = tenant.role("decode", workers=1)
        for template in ("entryTemplate", "workerTemplate"):
            role[template]["metadata"] = {"labels": {"app": "both"}}
        return model(name, role, replicas=replicas, **both)

    tenant.apply(named("one", 2))
    tenant.wait_settled("one")
    tenant.apply(named("two", 1))
    tenant.wait_settled("two")
    assert zoned.leaders_by_zone == dict.fromkeys(ZONES, 1)
    tenant.apply(named("two", 4))
    tenant.wait_settled("two")
    assert zoned.leaders_by_zone == dict.fromkeys(ZONES, 2)


def test_the_templates_own_constraints_and_affinity_are_kept(zoned: Zoned) -> None:
    zoned.add_nodes(20, 20, 20)
    tenant = zoned.tenant
    own = {
        "maxSkew": 3,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": "mine"}},
    }
    not_in_c = {"key": ZONE, "operator": "NotIn", "values": ["zone-c"]}
    node_affinity = {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [{"matchExpressions": [not_in_c]}]}
    }
    term = {"topologyKey": "kubernetes.io/hostname", "labelSelector": {"matchLabels": {"app": "mine"}}}
    preferred = "preferredDuringSchedulingIgnoredDuringExecution"
    pod_affinity = {preferred: [{"weight": 1, "podAffinityTerm": term}]}
    affinity = {"nodeAffinity": node_affinity, "podAffinity": pod_affinity}
    role = tenant.role("decode", workers=1, topologySpreadConstraints=[own], affinity=affinity)
    tenant.apply(model("mi", role, replicas=4, **spread()))
    tenant.wait_settled("mi")
    # The zone that the template excludes is no domain to fill.
    assert zoned.leaders_by_zone == {"zone-a": 2, "zone-b": 2}
    assert "zone-c" not in zoned.zone_of.values()
    for name, pod in tenant.pods.items():
        constraints, found = pod["spec"]["topologySpreadConstraints"], pod["spec"]["affinity"]
        assert constraints[0] == own
        assert found["nodeAffinity"] == node_affinity
        assert found["podAffinity"][preferred][0] == pod_affinity[preferred][0]
        is_leader = name in zoned.leaders
        assert [one["topologyKey"] for one in constraints[1:]] == ([ZONE] if is_leader else [])
        assert len(found["podAffinity"][preferred]) == (1 if is_leader else 2)
