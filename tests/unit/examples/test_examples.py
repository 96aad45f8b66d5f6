"""What every example has, and that its flags exist in the version of the engine that it names."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from .conftest import EXAMPLES, FOLDERS, containers, documents, model_of, templates

FLAGS: Mapping[str, list[str]] = json.loads((Path(__file__).parent / "engine_flags.json").read_text())
# What runs in a container, as its command says, and whose flags it takes.
ENGINES = {
    "vllm serve": "vllm 0.33.0",
    "sglang.launch_server": "sglang 0.5.23",
    "sglang_router.launch_router": "sglang_router 0.3.2",
    "vllm-router": "vllm_router 0.1.17",
}
# The flags of the others, which no wheel has in a form that can be read. They were read on 2026-11-25 in the sources
# that the READMEs name: a flag that is used and is not here was read nowhere.
READ = {
    "trtllm-serve": {"--host", "--port", "--tp_size", "--ep_size", "--trust_remote_code"},
    "llama-server": {"--model", "--host", "--port", "--rpc"},
    "ggml-rpc-server": {"--host", "--port", "--cache"},
    "mooncake_master": {"--rpc_port", "--metrics_port"},
    "mooncake_client": {
        "--master_server_address", "--metadata_server", "--host", "--port", "--protocol", "--global_segment_size",
    },
}  # fmt: skip
FLAG = re.compile(r"(?:(?<=\s)|^)--[a-z][a-z0-9_-]*", re.MULTILINE)


def command_line(container: Mapping[str, Any]) -> str:
    return "\n".join([" ".join(container["command"]), *container["args"]])


def engine_of(container: Mapping[str, Any]) -> str | None:
    return next((engine for words, engine in ENGINES.items() if words in command_line(container)), None)


def engine_flags(container: Mapping[str, Any]) -> set[str]:
    """Of a script only what follows the engine's name."""
    line = command_line(container)
    words = next(words for words in ENGINES if words in line)
    return set(FLAG.findall(line[line.index(words) :]))


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_flag_exists_in_the_version_that_the_image_names(folder: str) -> None:
    for where, _, container in containers(folder):
        engine = engine_of(container)
        if engine is None:
            continue
        assert engine_flags(container) <= set(FLAGS[engine]), f"{where}: {engine}"
        version = engine.split()[1]
        assert container["image"].endswith(f":v{version}"), f"{where} runs another version than {engine}"


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_flag_of_the_others_was_read_in_the_sources_of_the_readme(folder: str) -> None:
    for where, _, container in containers(folder):
        line = command_line(container)
        for program, known in READ.items():
            _, found, after = line.partition(f"{program} ")
            used = set(FLAG.findall(after.partition(" &")[0])) if found else set()
            assert used <= known, f"{where}: {program}"


def test_each_program_whose_flags_were_read_is_in_an_example() -> None:
    lines = [command_line(container) for folder in FOLDERS for _, _, container in containers(folder)]
    assert [program for program in READ if not any(f"{program} " in line for line in lines)] == []


def test_flags_of_four_engines_are_looked_at() -> None:
    seen = {engine_of(container) for folder in FOLDERS for _, _, container in containers(folder)}
    assert set(ENGINES.values()) <= seen


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_container_is_probed(folder: str) -> None:
    for where, _, container in containers(folder):
        assert "startupProbe" in container, where
        assert "readinessProbe" in container, where
        ports = {port["name"] for port in container.get("ports", ())}
        for kind in ("startupProbe", "readinessProbe", "livenessProbe"):
            probe = container.get(kind, {})
            named = [probe[how]["port"] for how in ("httpGet", "tcpSocket") if how in probe]
            assert ports.issuperset(named), f"{where}: {kind} names a port that the container does not have"


@pytest.mark.parametrize("folder", FOLDERS)
def test_pods_that_serve_have_time_to_finish(folder: str) -> None:
    spec = model_of(folder)["spec"]
    assert spec["template"]["drain"]["timeoutSeconds"] > 0
    for role, _, template in templates(folder):
        for container in template["spec"]["containers"]:
            if not any(port["name"] == "http" for port in container.get("ports", ())):
                continue
            pre_stop = container["lifecycle"]["preStop"].get("sleep", {}).get("seconds", 0)
            shutdown = re.search(r"--shutdown-timeout=(\d+)", command_line(container))
            needed = pre_stop + (int(shutdown[1]) if shutdown else 0)
            assert template["spec"]["terminationGracePeriodSeconds"] > needed, f"{role}: killed in the middle"


@pytest.mark.parametrize("folder", FOLDERS)
def test_workers_stay_until_their_entry_pod_has_finished(folder: str) -> None:
    """A rank that goes before rank 0 ends the requests that still run."""
    for role in model_of(folder)["spec"]["template"]["roles"]:
        entry = role["entryTemplate"]["spec"]["containers"]
        if not any(port["name"] == "http" for one in entry for port in one["ports"]):
            continue  # a store: what it loses is computed again
        for container in role.get("workerTemplate", {"spec": {"containers": []}})["spec"]["containers"]:
            (look,) = container["lifecycle"]["preStop"]["exec"]["command"][2:]
            assert "/dev/tcp/$ENTRY_ADDRESS/" in look, role["name"]


@pytest.mark.parametrize("folder", FOLDERS)
def test_pods_with_gpus_tolerate_gpu_nodes_and_share_memory_and_weights(folder: str) -> None:
    for where, pod, container in containers(folder):
        if "nvidia.com/gpu" not in container["resources"].get("limits", {}):
            continue
        assert any(one["key"] == "nvidia.com/gpu" for one in pod["tolerations"]), where
        kinds = {one["name"]: one for one in pod["volumes"]}
        mounts = {one["mountPath"]: kinds[one["name"]] for one in container["volumeMounts"]}
        assert mounts["/dev/shm"]["emptyDir"]["medium"] == "Memory", where
        assert mounts["/models"]["persistentVolumeClaim"]["claimName"] == "model-cache", where


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_service_reaches_entry_pods_that_serve(folder: str) -> None:
    (service,) = (one for one in documents(folder) if one["kind"] == "Service")
    model = model_of(folder)
    selector = dict(service["spec"]["selector"])
    role = selector.pop("modelinfer.volcano.sh/role", None)
    assert selector == {
        "modelinfer.volcano.sh/name": model["metadata"]["name"],
        "modelinfer.volcano.sh/entry": "true",
        "modelinfer.volcano.sh/serving": "true",
    }
    (port,) = service["spec"]["ports"]
    roles = [one for one in model["spec"]["template"]["roles"] if role in (None, one["name"])]
    assert len(roles) == 1, "a Service over several roles would mix them"
    offered = {named["name"] for one in roles[0]["entryTemplate"]["spec"]["containers"] for named in one["ports"]}
    assert port["targetPort"] in offered


@pytest.mark.parametrize("folder", FOLDERS)
def test_routers_find_the_servers_of_their_own_group(folder: str) -> None:
    roles = {role["name"]: role for role in model_of(folder)["spec"]["template"]["roles"]}
    for _, pod, container in containers(folder):
        if "--service-discovery" not in container["args"]:
            continue
        text = " ".join(container["args"])
        for mode in ("prefill", "decode"):
            selector = text.partition(f"--{mode}-selector ")[2].partition(" --")[0].split()
            assert "modelinfer.volcano.sh/group-name=$(GROUP_NAME)" in selector
            assert f"modelinfer.volcano.sh/role={mode}" in selector
            assert mode in roles
            if roles[mode]["workerReplicas"]:
                assert "modelinfer.volcano.sh/entry=true" in selector, "workers take no requests"
            # A pod that loses a label which the router selects on stays in the router's list for good.
            assert not any("serving" in one for one in selector)
        account = {one["metadata"]["name"] for one in documents(folder) if one["kind"] == "ServiceAccount"}
        assert pod["serviceAccountName"] in account


@pytest.mark.parametrize("folder", FOLDERS)
def test_the_readme_says_what_runs_and_where_it_is_documented(folder: str) -> None:
    text = (EXAMPLES / folder / "README.md").read_text()
    assert f"kubectl apply -f manifests/examples/{folder}" in text
    assert f"kubectl wait modelinfer/{model_of(folder)['metadata']['name']} " in text
    assert "https://" in text.partition("## Sources")[2] or "PyPI" in text.partition("## Sources")[2]
    for _, _, container in containers(folder):
        image = container["image"]
        if image.startswith("registry.example.com/"):
            assert f"docker build -t {image} manifests/examples/{folder}" in text
            assert (EXAMPLES / folder / "Dockerfile").exists()


def test_the_list_of_examples_is_complete() -> None:
    text = (EXAMPLES / "README.md").read_text()
    assert [folder for folder in FOLDERS if f"({folder}/README.md)" not in text] == []
