"""Real nodes: what can be said of them without root and without a kernel's help."""

from __future__ import annotations

import argparse
import json
import tarfile
from pathlib import Path

import pytest
from controlplane import Settings, components, credentials
from controlplane.cli import _nodes
from controlplane.components import Layout, Ports
from controlplane.real import cgroups, configuration, dns, requirements
from controlplane.real.addresses import NodeIdentity
from controlplane.real.debian import Packages
from controlplane.real.images import write_image
from controlplane.real.init import NodePlan
from controlplane.real.site import cluster_cgroup, groups_of_real_nodes

LAYOUT = Layout(Path("/clusters/one"))
PORTS = Ports(etcd=1, etcd_peer=2, apiserver=3, host="localhost")


@pytest.fixture
def hierarchies_v1(tmp_path: Path) -> Path:
    for name in ("cpu", "cpuset", "memory", "pids"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "cgroup.procs").touch()
    (tmp_path / "cpuacct").symlink_to("cpu")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "nodes"), [("10", (False, 10)), ("real", (True, 1)), ("real:3", (True, 3)), ("0", (False, 0))]
)
def test_nodes_are_simulated_or_real(text: str, nodes: tuple[bool, int]) -> None:
    assert _nodes(text) == nodes


@pytest.mark.parametrize("text", ["real:x", "-1", "unreal:2", ""])
def test_another_kind_of_node_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="a number of simulated nodes, or real, or real:N"):
        _nodes(text)


def test_there_is_an_address_for_every_real_node() -> None:
    with pytest.raises(ValueError, match="real nodes must be 0 to 200: 201"):
        Settings(real_nodes=201)
    last = NodeIdentity(199)
    assert (last.name, last.address, last.pods) == ("real-199", "10.89.0.209", "10.88.199.0/24")


def test_only_a_site_has_a_server_that_others_reach() -> None:
    real = components.kube_apiserver(LAYOUT, PORTS, Settings(nodes=0, real_nodes=2))
    simulated = components.kube_apiserver(LAYOUT, PORTS, Settings())
    assert "--bind-address=0.0.0.0" in real
    assert "--authorization-mode=Node,RBAC" in real
    assert "--bind-address=127.0.0.1" in simulated
    assert PORTS.server == "https://localhost:3"


def test_the_users_of_nodes_are_no_masters() -> None:
    groups = groups_of_real_nodes(1)
    lines = credentials.token_file({"system:node:real-0": "a", "system:kube-proxy": "b", "cluster-admin": "c"}, groups)
    assert lines.splitlines() == [
        'a,system:node:real-0,system:node:real-0,"system:nodes"',
        'b,system:kube-proxy,system:kube-proxy,""',
        'c,cluster-admin,cluster-admin,"system:masters"',
    ]


def test_a_plan_survives_being_written_down() -> None:
    plan = NodePlan(1, (0, 2), "/f", "/c", "/l", {"kubelet": "/k"}, {"PATH": "/bin"}, ("/pause.tar",), "/kc", "a=b")
    assert NodePlan.from_json(plan.to_json()) == plan


def test_clusters_of_one_name_in_two_places_have_cgroups_of_their_own() -> None:
    one, other = cluster_cgroup(Path("/a/default")), cluster_cgroup(Path("/b/default"))
    assert one != other
    assert one == cluster_cgroup(Path("/a/default"))
    assert one.startswith("modelinfer/default-")


def test_a_cgroup_is_made_in_every_hierarchy_and_removed_from_all(hierarchies_v1: Path) -> None:
    (hierarchies_v1 / "memory" / "somebody-elses").mkdir()
    cgroups.create("modelinfer/one/real-0", hierarchies_v1)
    assert all((hierarchies_v1 / name / "modelinfer/one/real-0").is_dir() for name in ("cpu", "cpuset", "memory"))
    (hierarchies_v1 / "cpu" / "modelinfer/one/real-0/kubepods/pod").mkdir(parents=True)
    cgroups.create("modelinfer/two", hierarchies_v1)
    cgroups.remove("modelinfer/one", hierarchies_v1)
    assert sorted(path.name for path in (hierarchies_v1 / "cpu" / "modelinfer").iterdir()) == ["two"]
    cgroups.remove("modelinfer/two", hierarchies_v1)
    assert sorted(path.name for path in (hierarchies_v1 / "memory").iterdir()) == ["cgroup.procs", "somebody-elses"]


def test_the_hierarchies_are_known_for_what_they_are(
    hierarchies_v1: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert [path.name for path in cgroups.hierarchies(hierarchies_v1)] == ["cpu", "cpuset", "memory", "pids"]
    assert cgroups.missing_controllers(hierarchies_v1) == []
    unified = tmp_path_factory.mktemp("unified")
    (unified / "cgroup.controllers").write_text("cpu io pids\n")
    assert cgroups.hierarchies(unified) == [unified]
    assert cgroups.missing_controllers(unified) == ["cpuset", "memory"]
    assert cgroups.missing_controllers(unified / "nothing") == ["cpu", "cpuset", "memory", "pids"]


def test_a_machine_that_is_not_linux_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements.sys, "platform", "darwin")
    with pytest.raises(requirements.MachineUnfit, match="cannot run real nodes: they need Linux, this is darwin"):
        requirements.check_machine()


def test_whoever_is_not_root_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requirements.os, "geteuid", lambda: 1000)
    with pytest.raises(requirements.MachineUnfit, match="only root can make their namespaces"):
        requirements.check_machine()


def test_an_image_is_an_oci_archive_and_the_same_each_time(tmp_path: Path) -> None:
    program = tmp_path / "program"
    program.write_bytes(b"\x7fELF")
    for name in ("one.tar", "two.tar"):
        write_image(tmp_path / name, "local/thing:1", {"/bin/thing": program}, ["/bin/thing"])
    assert (tmp_path / "one.tar").read_bytes() == (tmp_path / "two.tar").read_bytes()
    with tarfile.open(tmp_path / "one.tar") as tar:

        def content(name: str) -> bytes:
            file = tar.extractfile(name)
            assert file is not None
            return file.read()

        [entry] = json.loads(content("index.json"))["manifests"]
        assert entry["annotations"]["io.containerd.image.name"] == "docker.io/local/thing:1"
        manifest = json.loads(content(f"blobs/sha256/{entry['digest'].removeprefix('sha256:')}"))
        config = json.loads(content(f"blobs/sha256/{manifest['config']['digest'].removeprefix('sha256:')}"))
        assert config["config"]["Entrypoint"] == ["/bin/thing"]
        assert config["rootfs"]["diff_ids"] == [layer["digest"] for layer in manifest["layers"]]


def test_nothing_of_the_machines_resolver_and_disk_reaches_pods() -> None:
    kubelet = json.loads(configuration.kubelet("/modelinfer/one/real-0"))
    assert kubelet["resolvConf"] == "/dev/null"
    assert {key: value for key, value in kubelet["evictionHard"].items() if value != "0%"} == {
        "memory.available": "100Mi"
    }
    assert kubelet["cgroupRoot"] == "/modelinfer/one/real-0"


def test_cluster_dns_leaves_a_dead_node() -> None:
    [deployment] = [body["spec"] for path, body in dns.objects() if path.endswith("/deployments")]
    tolerations = deployment["template"]["spec"]["tolerations"]
    assert all("key" in each and each["tolerationSeconds"] <= 5 for each in tolerations)


def test_unpacked_programs_come_before_the_machines(tmp_path: Path) -> None:
    (tmp_path / "usr/lib/x86_64-linux-gnu").mkdir(parents=True)
    environment = Packages(tmp_path).environment()
    assert environment["PATH"].split(":")[0] == f"{tmp_path}/usr/sbin"
    assert environment["LD_LIBRARY_PATH"] == f"{tmp_path}/usr/lib/x86_64-linux-gnu"
    assert Packages(tmp_path).cni_plugins == Path("/usr/lib/cni")
    assert Packages(tmp_path / "empty").environment().keys() == {"PATH"}
