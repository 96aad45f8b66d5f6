"""Identity: names, labels, environment, Services; and how groups are spread over topology domains."""

import json
from dataclasses import replace
from typing import Any

import pytest

from modelinfer_controller.api import well_known
from modelinfer_controller.planning.manifests import (
    MOST_COMPILED,
    CompiledPodTemplates,
    OwnerIdentity,
    pod_body,
    pod_kind,
)
from modelinfer_controller.planning.pod_identity import PodIdentity, parse_pod_name
from modelinfer_controller.planning.revision import GangScheduler, payload_of_spec, resolve
from planning.world import NAME, NAMESPACE, UID, Spec, World, a_role, a_spec, pod_name

IDENTITY = OwnerIdentity(NAMESPACE, NAME, UID)


def render(spec: Spec, identity: PodIdentity, gang: GangScheduler | None = None, *, is_serving: bool = False) -> Any:
    revision = resolve(NAME, payload_of_spec(json.dumps(spec).encode(), gang), [], [], {})
    return json.loads(pod_body(IDENTITY, revision, identity, 3, is_serving=is_serving))


def environment(pod: Any, kind: str = "containers", index: int = 0) -> list[tuple[str, str]]:
    return [(variable["name"], variable["value"]) for variable in pod["spec"][kind][index]["env"]]


def test_a_pod_has_its_names_labels_owner_and_environment() -> None:
    spec = a_spec(1, a_role("Prefill", 2, workers=2), schedulerName="mine")
    pod = render(spec, PodIdentity(7, "prefill", 1, 2))
    assert pod["metadata"]["name"] == "m-7-prefill-1-2"
    own = {
        well_known.NAME: "m",
        well_known.GROUP_NAME: "m-7",
        well_known.GROUP_INDEX: "7",
        well_known.WORKER_INDEX: "2",
        well_known.ROLE: "Prefill",
        well_known.ROLE_ID: "Prefill-1",
        well_known.REVISION: pod["metadata"]["labels"][well_known.REVISION],
    }
    assert pod["metadata"]["labels"] == own
    (owner,) = pod["metadata"]["ownerReferences"]
    assert (owner["kind"], owner["name"], owner["uid"], owner["controller"]) == ("ModelInfer", NAME, UID, True)
    assert environment(pod) == [
        ("GROUP_SIZE", "3"),
        ("ENTRY_ADDRESS", "m-7-prefill-1-0.ns"),
        ("WORKER_INDEX", "2"),
    ]
    assert pod["spec"]["schedulerName"] == "mine"


def test_entry_pods_are_labelled_and_one_leads_the_group() -> None:
    spec = a_spec(1, a_role("Prefill", 2, workers=1), a_role("decode"))

    def marks(identity: PodIdentity) -> set[str]:
        return {well_known.ENTRY, well_known.GROUP_LEADER} & set(render(spec, identity)["metadata"]["labels"])

    assert marks(PodIdentity(0, "prefill", 0, 0)) == {well_known.ENTRY, well_known.GROUP_LEADER}
    assert marks(PodIdentity(0, "prefill", 1, 0)) == {well_known.ENTRY}
    assert marks(PodIdentity(0, "decode", 0, 0)) == {well_known.ENTRY}
    assert marks(PodIdentity(0, "prefill", 0, 1)) == set()


def test_ours_win_over_the_templates_and_the_rest_of_the_template_is_kept() -> None:
    role = a_role("decode")
    role["entryTemplate"]["metadata"] = {
        "labels": {"app": "x", well_known.ROLE: "fake"},
        "annotations": {"note": "y", well_known.INCARNATION: "99"},
    }
    role["entryTemplate"]["spec"] |= {
        "initContainers": [{"name": "init", "image": "i"}],
        "containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "$(ENTRY_ADDRESS)"}]}],
        "hostNetwork": True,
    }
    pod = render(a_spec(1, role), PodIdentity(0, "decode", 0, 0))
    assert pod["metadata"]["labels"].items() >= {"app": "x", well_known.ROLE: "decode"}.items()
    assert pod["metadata"]["annotations"] == {"note": "y", well_known.INCARNATION: "3"}
    assert pod["spec"]["hostNetwork"] is True
    names = ["GROUP_SIZE", "ENTRY_ADDRESS", "WORKER_INDEX"]
    assert [name for name, _ in environment(pod)] == [*names, "A"], "first, so that the template's can refer to them"
    assert [name for name, _ in environment(pod, "initContainers")] == names


def test_what_a_user_wrote_is_never_taken_for_a_mark() -> None:
    role = a_role("decode")
    text = '<<modelinfer>>0<<modelinfer>> <<<modelinfer>>>1 \\d " é'
    role["entryTemplate"]["spec"]["containers"][0]["args"] = [text]
    assert render(a_spec(1, role), PodIdentity(0, "decode", 0, 0))["spec"]["containers"][0]["args"] == [text]


def test_a_worker_without_a_template_uses_the_entrys() -> None:
    role = {**a_role("decode"), "workerReplicas": 1}
    assert render(a_spec(1, role), PodIdentity(0, "decode", 0, 1))["spec"]["containers"][0]["image"] == "v1"


def test_one_headless_service_for_each_instance_with_workers_selects_exactly_its_entry_pod() -> None:
    world = World(a_spec(2, a_role("Decode", 2, workers=1), a_role("router")))
    world.settle()
    assert set(world.services) == {pod_name(group, "decode", instance) for group in (0, 1) for instance in (0, 1)}
    for name, service in world.services.items():
        selected = [
            pod for pod, stored in world.pods.items() if service.spec.selector.items() <= stored.metadata.labels.items()
        ]
        assert selected == [name]
        assert (service.spec.cluster_ip, service.spec.publish_not_ready_addresses) == ("None", True)


@pytest.mark.parametrize(
    ("name", "identity"),
    [
        ("m-0-decode-0-0", PodIdentity(0, "decode", 0, 0)),
        ("m-12-a-0-3-4", PodIdentity(12, "a-0", 3, 4)),
        ("m-1-2-3-4", PodIdentity(1, "2", 3, 4)),
        ("m-00-decode-0-0", None),
        ("m-0-Decode-0-0", None),
        ("m-decode-0-0", None),
        ("mm-0-decode-0-0", None),
        ("m-0-decode-0", None),
        ("m", None),
    ],
)
def test_a_pods_identity_is_read_from_its_name(name: str, identity: PodIdentity | None) -> None:
    assert parse_pod_name("m", name) == identity


ZONES = [{"maxSkew": 2, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway"}]


def test_the_leader_carries_the_constraint_and_counts_leaders_of_this_modelinfer() -> None:
    role = a_role("decode", 2)
    role["entryTemplate"]["spec"]["topologySpreadConstraints"] = [{"topologyKey": "rack"}]
    pod = render(a_spec(3, role, topologySpreadConstraints=ZONES), PodIdentity(1, "decode", 0, 0))
    mine, ours = pod["spec"]["topologySpreadConstraints"]
    assert mine == {"topologyKey": "rack"}, "the template's own are kept"
    assert ours == {
        **ZONES[0],
        "labelSelector": {"matchLabels": {well_known.NAME: "m", well_known.GROUP_LEADER: "true"}},
    }
    assert "affinity" not in pod["spec"]


def test_a_label_selector_picks_which_leaders_count() -> None:
    given = {"matchLabels": {"app": "llm"}, "matchExpressions": [{"key": "x", "operator": "Exists"}]}
    constraint = {"topologyKey": "zone", "labelSelector": given}
    pod = render(a_spec(1, topologySpreadConstraints=[constraint]), PodIdentity(0, "decode", 0, 0))
    selector = pod["spec"]["topologySpreadConstraints"][0]["labelSelector"]
    assert selector["matchLabels"] == {"app": "llm", well_known.GROUP_LEADER: "true"}
    assert selector["matchExpressions"][0]["key"] == "x"


def test_the_other_pods_of_the_group_prefer_the_leaders_domain() -> None:
    role = a_role("decode", 2)
    term = {"weight": 1, "podAffinityTerm": {"topologyKey": "node"}}
    role["entryTemplate"]["spec"]["affinity"] = {
        "nodeAffinity": {"x": 1},
        "podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": [term]},
    }
    pod = render(a_spec(3, role, topologySpreadConstraints=ZONES), PodIdentity(1, "decode", 1, 0))
    affinity = pod["spec"]["affinity"]
    assert affinity["nodeAffinity"] == {"x": 1}
    own, ours = affinity["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert own == term
    assert ours["podAffinityTerm"]["topologyKey"] == "zone"
    leader = {well_known.GROUP_NAME: "m-1", well_known.GROUP_LEADER: "true"}
    assert leader.items() <= ours["podAffinityTerm"]["labelSelector"]["matchLabels"].items()
    assert "topologySpreadConstraints" not in pod["spec"]


def test_without_constraints_the_template_is_left_as_it_is() -> None:
    spec = render(a_spec(1, a_role("decode", 2)), PodIdentity(0, "decode", 1, 0))["spec"]
    assert spec.keys() == {"containers"}


def test_new_pods_say_their_indices() -> None:
    labels = render(a_spec(9, a_role("decode", 1, workers=3)), PodIdentity(7, "decode", 0, 2))["metadata"]["labels"]
    assert (labels[well_known.GROUP_INDEX], labels[well_known.WORKER_INDEX]) == ("7", "2")


@pytest.mark.parametrize("is_serving", [True, False])
def test_a_pod_serves_from_birth_while_drain_is_set(is_serving: bool) -> None:
    role = a_role("decode")
    role["entryTemplate"]["metadata"] = {"labels": {well_known.SERVING: "false"}}
    pod = render(a_spec(1, role), PodIdentity(0, "decode", 0, 0), is_serving=is_serving)
    assert pod["metadata"]["labels"].get(well_known.SERVING) == ("true" if is_serving else None)


def test_our_keys_in_a_template_are_dropped_and_the_users_kept() -> None:
    role = a_role("decode")
    role["entryTemplate"]["metadata"] = {
        "labels": {well_known.GROUP_LEADER: "true", well_known.ROLE: "x", "app": "a"},
        "annotations": {
            well_known.ACKNOWLEDGED_RESTARTS: "5",
            well_known.DRAINED: "true",
            well_known.IGNORE_RESTARTS_OF: "proxy",
            "note": "n",
        },
    }
    metadata = render(a_spec(1, role), PodIdentity(0, "decode", 0, 0))["metadata"]
    assert metadata["annotations"] == {
        well_known.IGNORE_RESTARTS_OF: "proxy",
        "note": "n",
        well_known.INCARNATION: "3",
    }
    assert (metadata["labels"]["app"], metadata["labels"][well_known.ROLE]) == ("a", "decode")


@pytest.mark.parametrize("wanted", [True, False])
def test_images_made_for_leader_worker_set_find_its_environment_where_the_template_asks_for_it(wanted: bool) -> None:
    role = a_role("decode", 1, workers=3)
    role["workerTemplate"] = {**role["workerTemplate"], "metadata": {"annotations": {well_known.LWS_ENV: "true"}}}
    pod = render(a_spec(1, role), PodIdentity(0, "decode", 0, 2 if wanted else 0))
    environment = {one["name"]: one["value"] for one in pod["spec"]["containers"][0]["env"]}
    own = {"GROUP_SIZE": "4", "ENTRY_ADDRESS": environment["ENTRY_ADDRESS"], "WORKER_INDEX": "2" if wanted else "0"}
    lws = {
        "LWS_LEADER_ADDRESS": environment["ENTRY_ADDRESS"],
        "LWS_GROUP_SIZE": "4",
        "LWS_WORKER_INDEX": "2",
    }
    assert environment == {**own, **(lws if wanted else {})}


def test_templates_are_compiled_once_and_the_newest_are_kept() -> None:
    compiled = CompiledPodTemplates()
    revision = resolve(NAME, payload_of_spec(json.dumps(a_spec(1)).encode(), None), [], [], {})
    kind = pod_kind(revision.template, PodIdentity(0, "decode", 0, 0))
    first = compiled.get(IDENTITY, revision, "decode", kind)
    assert compiled.get(IDENTITY, revision, "decode", kind) is first
    others = [replace(revision, name=f"m-{number}") for number in range(MOST_COMPILED)]
    for other in others:
        compiled.get(IDENTITY, other, "decode", kind)
    assert compiled.get(IDENTITY, others[-1], "decode", kind) is compiled.get(IDENTITY, others[-1], "decode", kind)
    assert compiled.get(IDENTITY, revision, "decode", kind) is not first


def test_what_is_compiled_renders_the_same() -> None:
    spec = a_spec(1, a_role("decode", 2, workers=1), schedulerName="mine")
    revision = resolve(NAME, payload_of_spec(json.dumps(spec).encode(), None), [], [], {})
    compiled = CompiledPodTemplates()
    for _ in range(2):
        for identity in (PodIdentity(0, "decode", 1, 0), PodIdentity(3, "decode", 0, 1)):
            plain = pod_body(IDENTITY, revision, identity, 2)
            assert pod_body(IDENTITY, revision, identity, 2, compiled=compiled) == plain


def test_a_pod_of_a_role_that_its_revision_does_not_know_cannot_be_made() -> None:
    with pytest.raises(KeyError, match=r"revision m-\w+ has no role prefill"):
        render(a_spec(1), PodIdentity(0, "prefill", 0, 0))
