"""A gang one node short, on Volcano and on Kubernetes' own: `explain` and `tree` tell it in the scheduler's words."""

from __future__ import annotations

import json
import time

from plugin import Plugin
from tenant import Tenant, group_pods

WHOLE = group_pods("mi", 0, prefill=(1, 1), decode=(1, 2))


def test_a_gang_one_node_short_on_volcano(volcano_tenant: Tenant) -> None:
    explained(volcano_tenant, schedulerName="volcano")


def test_a_gang_one_node_short_on_kubernetes_own(native_tenant: Tenant) -> None:
    explained(native_tenant)


def explained(tenant: Tenant, **spec: str) -> None:
    """The explanation of a gang of three pods where there is room for two; then a node comes and all is well."""
    plugin = Plugin(tenant.control_plane.kubeconfig, tenant.namespace)
    tenant.add_nodes(2)
    tenant.apply(tenant.gang("mi", tenant.role("prefill"), tenant.role("decode", workers=1), **spec))
    tenant.wait_refused(WHOLE)
    told = plugin.explain_until("mi", "Unschedulable")
    refused = [one for pod in tenant.pods.values() for one in pod["status"]["conditions"] if one["status"] == "False"]
    words = {one["message"] for one in refused if one["type"] == "PodScheduled"}
    assert any(word in told["message"] for word in words), f"{told['message']} has none of {words}"
    assert "until the scheduler finds room for the pods" in json.dumps(told["next"])
    (group,) = plugin.document("tree", "mi")["groups"]
    assert group["gang"]["state"] not in ("", "Running", "Scheduled")

    tenant.add_nodes(1)
    tenant.wait_settled("mi")
    deadline = time.monotonic() + 10
    while not plugin.explain("mi")["isWell"]:
        assert time.monotonic() < deadline, plugin.run("explain", "mi").out
    (group,) = plugin.document("tree", "mi")["groups"]
    assert group["gang"]["state"] in ("Running", "Scheduled")
