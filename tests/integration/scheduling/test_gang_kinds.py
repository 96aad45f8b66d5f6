"""PodGroup kinds that are not there, that come, and that go, while the controller runs."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from controlplane import ControlPlane, Settings
from controlplane.tools import ensure_binaries
from peer_crds import wait_until_served
from tenancy import running_controller, tenancy
from tenant import Tenant, group_pods, uids


@pytest.fixture
def bare_tenant() -> Iterator[Tenant]:
    """On a control plane of his own, with no gang scheduling at all."""
    with ControlPlane.start(Settings(nodes=0)) as control_plane:
        for _ in running_controller(control_plane):
            control_plane.create_namespace("bare")
            yield from tenancy(Tenant(control_plane, "bare", "volcano"))


def pod_group_crd() -> Path:
    """Volcano's own, of the version that the tests run."""
    folder = ensure_binaries(volcano=True).volcano_crds
    assert folder is not None
    (found,) = folder.glob("*podgroups.yaml")
    return found


def test_pod_groups_appear_when_their_kind_does_and_pods_survive_its_removal(bare_tenant: Tenant) -> None:
    tenant = bare_tenant
    tenant.add_nodes(1, gpus=6)
    tenant.apply(tenant.gang("mi", tenant.role("decode", workers=1), replicas=2))
    tenant.wait_settled("mi")
    pods = tenant.uids
    missing = tenant.condition("mi", "GangScheduling")
    assert (missing["status"], missing["reason"]) == ("False", "PodGroupKindMissing")
    assert "install Volcano" in missing["message"]
    assert "feature gate GenericWorkload" in missing["message"]
    tenant.wait(lambda: tenant.events("PodGroupKindMissing") == [missing["message"]], "an event that says the same")

    def wait_for_pod_groups(*names: str) -> None:
        tenant.kubectl("apply", "--server-side", "-f", str(pod_group_crd()))
        tenant.wait(lambda: tenant.condition("mi", "GangScheduling")["status"] == "True", "noticed the kind")
        tenant.wait(lambda: tenant.pod_groups.keys() == set(names), f"PodGroups {names}")

    tenant.kubectl("apply", "--server-side", "-f", str(pod_group_crd()))
    wait_until_served(tenant.control_plane, "podgroups.scheduling.volcano.sh")
    wait_for_pod_groups("mi-0", "mi-1")
    assert "default-scheduler does not read" in tenant.condition("mi", "GangScheduling")["message"]
    assert tenant.uids == pods
    tenant.forget_pod_groups()
    tenant.kubectl("delete", "-f", str(pod_group_crd()))
    tenant.wait(lambda: tenant.condition("mi", "GangScheduling")["status"] == "False", "noticed that it is gone")
    # Everything but the gang goes on.
    tenant.patch("mi", {"replicas": 3})
    tenant.wait_settled("mi")
    tenant.wait_ready(name for group in range(3) for name in group_pods("mi", group, decode=(1, 2)))
    assert {name: tenant.uids[name] for name in pods} == pods
    wait_for_pod_groups("mi-0", "mi-1", "mi-2")
    tenant.patch("mi", {"replicas": 1})
    tenant.wait(lambda: uids(tenant.pod_groups).keys() == {"mi-0"}, "one PodGroup")
    assert tenant.uids.items() >= {name: pods[name] for name in group_pods("mi", 0, decode=(1, 2))}.items()


def test_a_scheduler_that_only_volcano_serves_asks_for_volcano_alone(bare_tenant: Tenant) -> None:
    tenant = bare_tenant
    tenant.apply(tenant.gang("mi", tenant.role("decode"), schedulerName="volcano"))
    tenant.wait(lambda: tenant.pods.keys() == {"mi-0-decode-0-0"}, "the pod")
    missing = tenant.wait(lambda: tenant.condition("mi", "GangScheduling"), "a condition")
    assert (missing["status"], missing["reason"]) == ("False", "PodGroupKindMissing")
    assert "install Volcano" in missing["message"]
    assert "GenericWorkload" not in missing["message"]
