"""manifests/crd/modelinfers.yaml is what hack/update-crd writes, small enough, and lets through what pods may hold."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from crd.cli import MANIFEST, rendered
from crd.kubernetes_schemas import POD_SPEC, load, references, store
from crd.structural import OBJECT_META, QUANTITY_PATTERN, reference_of

from modelinfer_controller.api.well_known import OWN_POD_KEYS

Schema = dict[str, Any]


@pytest.fixture(scope="module")
def crd() -> Schema:
    definition: Schema = yaml.load(MANIFEST.read_text(), Loader=yaml.CSafeLoader)
    return definition


@pytest.fixture(scope="module")
def root(crd: Schema) -> Schema:
    schema: Schema = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    return schema


@pytest.fixture(scope="module")
def role(root: Schema) -> Schema:
    schema: Schema = root["properties"]["spec"]["properties"]["template"]["properties"]["roles"]["items"]
    return schema


@pytest.fixture(scope="module")
def pod_spec(role: Schema) -> Schema:
    schema: Schema = role["properties"]["entryTemplate"]["properties"]["spec"]
    return schema


def nodes(schema: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every schema node with the path of its field."""
    yield path, schema
    for name, property_ in schema.get("properties", {}).items():
        yield from nodes(property_, f"{path}.{name}")
    for keyword, suffix in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(schema.get(keyword), dict):
            yield from nodes(schema[keyword], path + suffix)


def test_the_committed_manifest_is_in_sync_with_the_types() -> None:
    assert MANIFEST.read_text() == rendered(), "run hack/update-crd"


def test_it_is_below_200_kb_as_json(crd: Schema) -> None:
    assert len(json.dumps(crd)) < 200_000


def test_it_is_the_only_file_to_apply() -> None:
    applied = [file.name for file in MANIFEST.parent.iterdir() if file.suffix in (".yaml", ".yml", ".json")]
    assert applied == ["modelinfers.yaml"], "what `kubectl apply -f` of the folder takes"


def test_own_fields_are_described_and_those_of_pods_are_not(root: Schema) -> None:
    # That the template is described as such is the field's own description.
    for path, node in nodes(root):
        is_in_pod_spec = "Template.spec." in path
        if path and not path.endswith(("[]", "{}")) and path != ".metadata":
            assert ("description" in node) != is_in_pod_spec, path


def test_both_templates_hold_the_full_pod_spec(role: Schema) -> None:
    entry, worker = (role["properties"][field]["properties"]["spec"] for field in ("entryTemplate", "workerTemplate"))
    assert entry == worker
    assert entry["properties"].keys() == load()[POD_SPEC]["properties"].keys()
    assert "schedulingGroup" in entry["properties"]


def served_nodes(schemas: dict[str, Schema], served: Schema, path: str = "") -> Iterator[tuple[str, Schema]]:
    """Every node below a schema as Kubernetes serves it, with the path of its field."""
    target = reference_of(served)
    if target is not None:
        if target != OBJECT_META:
            yield from served_nodes(schemas, schemas[target], path)
        return
    yield path, served
    for name, property_ in served.get("properties", {}).items():
        yield from served_nodes(schemas, property_, f"{path}.{name}")
    for keyword, suffix in (("items", "[]"), ("additionalProperties", "{}")):
        if isinstance(served.get(keyword), dict):
            yield from served_nodes(schemas, served[keyword], path + suffix)


def test_no_field_and_no_demand_of_pods_is_lost_on_the_way(pod_spec: Schema) -> None:
    schemas = load()
    ours = dict(nodes(pod_spec))
    count = 0
    for path, served in served_nodes(schemas, schemas[POD_SPEC]):
        count += 1
        assert path in ours, path
        assert ours[path].get("required") == served.get("required"), path
        if served.get("type") != "string" or "anyOf" not in ours[path]:
            assert ours[path].get("type", "either") == served.get("type", "either"), path
    assert count > 800


def test_list_map_keys_are_kept_but_for_host_aliases(pod_spec: Schema) -> None:
    schemas = load()
    ours = dict(nodes(pod_spec))
    for path, served in served_nodes(schemas, schemas[POD_SPEC]):
        expected = None if path == ".hostAliases" else served.get("x-kubernetes-list-map-keys")
        assert ours[path].get("x-kubernetes-list-map-keys") == expected, path
    assert ours[".hostAliases"]["x-kubernetes-list-type"] == "atomic"


def test_nothing_is_defaulted_inside_pods_but_keys_of_lists(pod_spec: Schema) -> None:
    defaulted = {path: node["default"] for path, node in nodes(pod_spec) if "default" in node}
    assert defaulted == {
        ".imagePullSecrets[].name": "",
        **{f".{kind}[].ports[].protocol": "TCP" for kind in ("containers", "ephemeralContainers", "initContainers")},
    }


@pytest.mark.parametrize("quantity", ["1", "0.5", ".5", "1.", "100m", "2Gi", "1e3", "1E-2", "+5k", "-1", "3n", "4u"])
def test_quantities_are_accepted_as_kubernetes_reads_them(quantity: str) -> None:
    assert re.search(QUANTITY_PATTERN, quantity)


@pytest.mark.parametrize("quantity", ["", "1 Gi", "one", "1GB", "1K", "Gi", "1e", ".", "1..2", "--1"])
def test_what_is_no_quantity_is_refused(quantity: str) -> None:
    assert not re.search(QUANTITY_PATTERN, quantity)


OPTIONAL = ("minReadySeconds", "paused", "suspend", "progressDeadlineSeconds", "nodeDrainPolicy")
OPTIONAL_OF_TEMPLATE = ("drain", "startupPolicy")


def test_optional_fields_stay_absent_where_nobody_sets_them(root: Schema) -> None:
    spec = root["properties"]["spec"]["properties"]
    update = spec["rolloutStrategy"]["properties"]["rollingUpdateConfiguration"]["properties"]
    optional = [
        *(spec[name] for name in OPTIONAL),
        *(spec["template"]["properties"][name] for name in OPTIONAL_OF_TEMPLATE),
        update["onFailure"],
    ]
    assert all("default" not in schema for schema in optional)


def test_a_new_object_says_that_nothing_of_it_was_observed(root: Schema) -> None:
    assert root["properties"]["status"]["default"] == {"observedGeneration": -1}


def test_users_are_warned_of_all_keys_that_only_the_controller_sets() -> None:
    file = MANIFEST.parents[1] / "components" / "admission-warnings" / "admission-warnings.yaml"
    policy, _ = yaml.safe_load_all(file.read_text())
    listed = next(one["expression"] for one in policy["spec"]["variables"] if one["name"] == "ownKeys")
    assert set(re.findall("'(.*?)'", listed)) == OWN_POD_KEYS


def test_every_rule_says_what_to_do(root: Schema) -> None:
    rules = [(path, rule) for path, node in nodes(root) for rule in node.get("x-kubernetes-validations", ())]
    assert len(rules) >= 10
    for path, rule in rules:
        assert len(rule["message"]) > 30, path


def test_a_new_pod_spec_is_taken_from_a_servers_document(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    schemas = load()
    described = {name: {**schema, "description": "text"} for name, schema in schemas.items()}
    extra = {"unrelated": {"type": "object"}}
    document = {"info": {"version": "1.99"}, "components": {"schemas": {**described, **extra}}}
    file = tmp_path / "schemas.json"
    monkeypatch.setattr("crd.kubernetes_schemas.FILE", file)
    store(document)
    written = json.loads(file.read_text())
    assert written["kubernetes"] == "1.99"
    assert written["schemas"].keys() == schemas.keys()
    assert "description" not in written["schemas"][POD_SPEC]
    assert set(references(written["schemas"])) <= written["schemas"].keys()
