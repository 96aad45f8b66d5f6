"""What a control plane is configured with."""

from __future__ import annotations

import base64
import json
import os
import random
from pathlib import Path

import pytest
from controlplane import Settings, components, credentials
from controlplane.components import Layout, Ports
from controlplane.nodes import initial_nodes
from controlplane.processes import free_ports, is_locked, lock_file
from controlplane.state import State, read_state, write_state

LAYOUT = Layout(Path("/clusters/one"))
PORTS = Ports(etcd=1, etcd_peer=2, apiserver=3)


def test_settings_survive_being_written_down() -> None:
    settings = Settings(nodes=7, real_nodes=2, volcano=True, kwok_pods=False, audit="all", gpus="8")
    assert Settings.from_json(settings.to_json()) == settings


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="nodes must not be negative: -1"):
        Settings(nodes=-1)
    with pytest.raises(ValueError, match="audit must be one of writes, all, off: some"):
        Settings.from_json('{"audit": "some"}')


def test_nodes_take_zones_in_turn() -> None:
    nodes = initial_nodes(Settings(nodes=4, gpus="8"))
    assert [n["metadata"]["name"] for n in nodes] == ["node-0", "node-1", "node-2", "node-3"]
    zones = [n["metadata"]["labels"]["topology.kubernetes.io/zone"] for n in nodes]
    assert zones == ["zone-a", "zone-b", "zone-c", "zone-a"]
    assert nodes[0]["status"]["allocatable"]["nvidia.com/gpu"] == "8"
    assert nodes[3]["metadata"]["labels"]["kubernetes.io/hostname"] == "node-3"


def test_the_service_account_key_is_an_ec_private_key() -> None:
    first, second = credentials.service_account_key(), credentials.service_account_key()
    assert first != second
    lines = first.splitlines()
    assert (lines[0], lines[-1]) == ("-----BEGIN EC PRIVATE KEY-----", "-----END EC PRIVATE KEY-----")
    der = base64.b64decode("".join(lines[1:-1]))
    # SEQUENCE { INTEGER 1, OCTET STRING of 32 bytes, [0] { OBJECT IDENTIFIER prime256v1 } }
    assert der[0] == 0x30
    assert der[1] == len(der) - 2
    assert der[2:7] == bytes.fromhex("0201010420")
    assert der[39:] == bytes.fromhex("a00a06082a8648ce3d030107")


def test_a_kubeconfig_holds_all_it_needs(tmp_path: Path) -> None:
    authority = tmp_path / "ca.crt"
    authority.write_text("certificate")
    config = json.loads(credentials.kubeconfig("https://127.0.0.1:3", authority, "secret", "somebody"))
    assert config["clusters"][0]["cluster"]["server"] == "https://127.0.0.1:3"
    assert base64.b64decode(config["clusters"][0]["cluster"]["certificate-authority-data"]) == b"certificate"
    assert config["users"] == [{"name": "somebody", "user": {"token": "secret"}}]


def test_everything_listens_on_the_loopback_only() -> None:
    for command in (components.etcd(LAYOUT, PORTS), components.kube_apiserver(LAYOUT, PORTS, Settings())):
        assert not [flag for flag in command if "0.0.0.0" in flag]
    assert "--bind-address=127.0.0.1" in components.kube_apiserver(LAYOUT, PORTS, Settings())
    assert "--listen-client-urls=http://127.0.0.1:1" in components.etcd(LAYOUT, PORTS)


def test_native_gangs_are_switched_on_everywhere_or_nowhere() -> None:
    gate = "--feature-gates=GenericWorkload=true"
    for settings in (Settings(native_gang=True), Settings()):
        commands = (
            components.kube_apiserver(LAYOUT, PORTS, settings),
            components.kube_controller_manager(LAYOUT, settings),
            components.kube_scheduler(LAYOUT, settings),
        )
        assert [gate in command for command in commands] == [settings.native_gang] * 3


def test_volcano_runs_only_when_asked_for() -> None:
    plain = [command[0] for command in components.clients(LAYOUT, Settings())]
    with_volcano = [command[0] for command in components.clients(LAYOUT, Settings(volcano=True))]
    assert plain == ["kube-controller-manager", "kube-scheduler", "kwok"]
    assert with_volcano == [*plain, "vc-scheduler", "vc-controllers"]
    assert components.clients_of(Settings(volcano=True)) == tuple(with_volcano)


def test_without_kwok_pods_only_nodes_are_simulated() -> None:
    def kinds(settings: Settings) -> set[str]:
        stages = components.kwok_stages(settings).split("\n---\n")
        return {json.loads(stage)["spec"]["resourceRef"]["kind"] for stage in stages}

    assert kinds(Settings()) == {"Node", "Pod"}
    assert kinds(Settings(kwok_pods=False)) == {"Node"}


def test_a_deleted_pod_stays_long_enough_for_kwok_to_delete_it_twice() -> None:
    stages = [json.loads(stage) for stage in components.kwok_stages(Settings()).split("\n---\n")]
    deletes = [stage for stage in stages if stage["spec"]["steps"] == [{"delete": True}]]
    assert [stage["spec"]["delay"]["durationMilliseconds"] >= 100 for stage in deletes] == [True]


def test_the_audit_log_holds_writes_alone_unless_told_otherwise() -> None:
    writes = json.loads(components.audit_policy("writes"))["rules"]
    assert writes[0] == {"level": "None", "verbs": ["get", "list", "watch"]}
    assert json.loads(components.audit_policy("all"))["rules"] == [{"level": "Metadata"}]
    command = components.kube_apiserver(LAYOUT, PORTS, Settings(audit="off"))
    assert not [flag for flag in command if flag.startswith("--audit")]


def test_free_ports_are_different() -> None:
    ports = free_ports(5)
    assert len(set(ports)) == 5


def test_a_port_that_was_given_out_is_nobody_elses(monkeypatch: pytest.MonkeyPatch) -> None:
    [taken] = free_ports(1)
    monkeypatch.setattr(random, "sample", lambda population, k: [taken, taken + 1, taken + 2, taken + 3, taken + 4])
    assert free_ports(1) != [taken]


def test_a_lock_tells_the_living(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    assert not is_locked(lock)
    descriptor = lock_file(lock)
    assert is_locked(lock)
    os.close(descriptor)
    assert not is_locked(lock)


def test_a_state_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "state.json"
    assert read_state(path) is None
    state = State("ready", "", "https://127.0.0.1:3", {"supervisor": 12})
    write_state(path, state)
    assert read_state(path) == state
