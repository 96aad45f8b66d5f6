"""The command line of each component, and the files that these name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from controlplane.real.addresses import SERVICES, SITE
from controlplane.settings import Audit, Settings
from controlplane.stages.nodes import NODE_STAGES
from controlplane.stages.pods import POD_STAGES

_HERE = Path(__file__).resolve().parent
_GANG_FEATURES = "--feature-gates=GenericWorkload=true"
# Far above what two cores can do: otherwise the components' own client limits are what every benchmark measures.
_NO_CLIENT_LIMIT = ("--kube-api-qps=5000", "--kube-api-burst=10000")

_APISERVER_OF_SIMULATED_NODES = (
    "--bind-address=127.0.0.1",
    # A loopback address is refused as an endpoint of the service "kubernetes".
    "--endpoint-reconciler-type=none",
    "--authorization-mode=RBAC",
)
# In the network of the site, which only its nodes can reach. Pods find it by the endpoint that it writes.
_APISERVER_OF_REAL_NODES = (
    "--bind-address=0.0.0.0",
    f"--advertise-address={SITE}",
    "--authorization-mode=Node,RBAC",
    "--enable-admission-plugins=NodeRestriction",
    "--kubelet-preferred-address-types=InternalIP",
)
# A busy machine must not make simulated nodes look dead: pods would be evicted. That real ones die is the point.
_MONITOR_OF_SIMULATED_NODES = ("--node-monitor-grace-period=240s",)
_MONITOR_OF_REAL_NODES = ("--node-monitor-grace-period=20s", "--node-monitor-period=1s")

KUBE_CLIENTS = ("kube-controller-manager", "kube-scheduler", "kwok")
VOLCANO_CLIENTS = ("vc-scheduler", "vc-controllers")


@dataclass(frozen=True)
class Ports:
    """`host` is a name or address of the loopback that kube-apiserver's certificate holds."""

    etcd: int
    etcd_peer: int
    apiserver: int
    host: str = "127.0.0.1"

    @property
    def server(self) -> str:
        return f"https://{self.host}:{self.apiserver}"


@dataclass(frozen=True)
class Layout:
    """The files of one cluster, all of them inside `folder`."""

    folder: Path

    @property
    def settings(self) -> Path:
        return self.folder / "settings.json"

    @property
    def state(self) -> Path:
        return self.folder / "state.json"

    @property
    def lock(self) -> Path:
        return self.folder / "lock"

    @property
    def logs(self) -> Path:
        return self.folder / "logs"

    @property
    def data(self) -> Path:
        return self.folder / "etcd"

    @property
    def certificates(self) -> Path:
        return self.folder / "certificates"

    @property
    def authority(self) -> Path:
        return self.certificates / "apiserver.crt"

    @property
    def service_account_key(self) -> Path:
        return self.folder / "service-account.key"

    @property
    def tokens(self) -> Path:
        return self.folder / "tokens.csv"

    @property
    def stages(self) -> Path:
        return self.folder / "stages.yaml"

    @property
    def audit_policy(self) -> Path:
        return self.folder / "audit-policy.json"

    @property
    def audit_log(self) -> Path:
        return self.folder / "logs" / "audit.jsonl"

    @property
    def nodes(self) -> Path:
        """The folders of the real nodes. It exists in a cluster that has some, and in no other."""
        return self.folder / "nodes"

    @property
    def images(self) -> Path:
        """The images that real nodes have from the start."""
        return self.folder / "images"

    @property
    def kubeconfig(self) -> Path:
        """The administrator's."""
        return self.folder / "kubeconfig"

    def kubeconfig_of(self, component: str) -> Path:
        return self.folder / f"{component}.kubeconfig"

    def log_of(self, component: str) -> Path:
        return self.logs / f"{component}.log"


def clients_of(settings: Settings) -> tuple[str, ...]:
    """The components that are clients of kube-apiserver, each of them a user of its own in the audit log."""
    return KUBE_CLIENTS + (VOLCANO_CLIENTS if settings.volcano else ())


def etcd(layout: Layout, ports: Ports) -> tuple[str, ...]:
    client, peer = f"http://127.0.0.1:{ports.etcd}", f"http://127.0.0.1:{ports.etcd_peer}"
    return (
        "etcd",
        f"--data-dir={layout.data}",
        "--unsafe-no-fsync",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
        "--quota-backend-bytes=8589934592",
        "--log-level=warn",
    )


def kube_apiserver(layout: Layout, ports: Ports, settings: Settings) -> tuple[str, ...]:
    gang = (_GANG_FEATURES, "--runtime-config=scheduling.k8s.io/v1beta1=true") if settings.native_gang else ()
    audit = (
        f"--audit-policy-file={layout.audit_policy}",
        f"--audit-log-path={layout.audit_log}",
        # One file, whole, as long as the cluster lives: tests count its lines.
        "--audit-log-maxsize=1000000",
    )
    return (
        "kube-apiserver",
        f"--etcd-servers=http://127.0.0.1:{ports.etcd}",
        f"--secure-port={ports.apiserver}",
        f"--cert-dir={layout.certificates}",
        *(_APISERVER_OF_REAL_NODES if settings.real_nodes else _APISERVER_OF_SIMULATED_NODES),
        f"--token-auth-file={layout.tokens}",
        f"--service-account-key-file={layout.service_account_key}",
        f"--service-account-signing-key-file={layout.service_account_key}",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-cluster-ip-range={SERVICES}",
        *(audit if settings.audit != "off" else ()),
        *gang,
    )


def kube_controller_manager(layout: Layout, settings: Settings) -> tuple[str, ...]:
    return (
        "kube-controller-manager",
        f"--kubeconfig={layout.kubeconfig_of('kube-controller-manager')}",
        "--leader-elect=false",
        "--secure-port=0",
        f"--service-account-private-key-file={layout.service_account_key}",
        f"--root-ca-file={layout.authority}",
        *(_MONITOR_OF_REAL_NODES if settings.real_nodes else _MONITOR_OF_SIMULATED_NODES),
        *_NO_CLIENT_LIMIT,
        *((_GANG_FEATURES,) if settings.native_gang else ()),
    )


def kube_scheduler(layout: Layout, settings: Settings) -> tuple[str, ...]:
    return (
        "kube-scheduler",
        f"--kubeconfig={layout.kubeconfig_of('kube-scheduler')}",
        "--leader-elect=false",
        "--secure-port=0",
        *_NO_CLIENT_LIMIT,
        *((_GANG_FEATURES,) if settings.native_gang else ()),
    )


def kwok(layout: Layout, settings: Settings) -> tuple[str, ...]:
    lease = 20 if settings.real_nodes else 120  # renewed in a quarter of it, and seen within the grace period
    return (
        "kwok",
        f"--kubeconfig={layout.kubeconfig_of('kwok')}",
        "--manage-nodes-with-annotation-selector=kwok.x-k8s.io/node=fake",
        f"--node-lease-duration-seconds={lease}",
        "--cidr=10.128.0.1/9",
        "--node-ip=10.64.0.1",
        f"--config={layout.stages}",
    )


def volcano_scheduler(layout: Layout) -> tuple[str, ...]:
    return (
        "vc-scheduler",
        f"--kubeconfig={layout.kubeconfig_of('vc-scheduler')}",
        "--leader-elect=false",
        f"--scheduler-conf={_HERE / 'volcano-scheduler.yaml'}",
        "--schedule-period=200ms",
        "--cache-dumper=false",
        *_NO_CLIENT_LIMIT,
    )


def volcano_controllers(layout: Layout) -> tuple[str, ...]:
    return (
        "vc-controllers",
        f"--kubeconfig={layout.kubeconfig_of('vc-controllers')}",
        "--leader-elect=false",
        # The other controllers wait for CRDs that are not installed, and then the default queue never opens.
        "--controllers=pg-controller,queue-controller,hyperNode-controller",
        *_NO_CLIENT_LIMIT,
    )


def clients(layout: Layout, settings: Settings) -> tuple[tuple[str, ...], ...]:
    """The command lines of the components that need a ready kube-apiserver."""
    kube = (kube_controller_manager(layout, settings), kube_scheduler(layout, settings), kwok(layout, settings))
    return kube + ((volcano_scheduler(layout), volcano_controllers(layout)) if settings.volcano else ())


def kwok_stages(settings: Settings) -> str:
    """The stages as one file of YAML documents, each of them JSON."""
    stages = NODE_STAGES + (POD_STAGES if settings.kwok_pods else ())
    return "\n---\n".join(json.dumps(stage.manifest(), indent=1) for stage in stages)


def audit_policy(audit: Audit) -> str:
    """Metadata alone, and once for each request: when its answer is complete."""
    reads = {"level": "None", "verbs": ["get", "list", "watch"]}
    rules = [*([reads] if audit == "writes" else []), {"level": "Metadata"}]
    return json.dumps(
        {
            "apiVersion": "audit.k8s.io/v1",
            "kind": "Policy",
            "omitStages": ["RequestReceived", "ResponseStarted"],
            "omitManagedFields": True,
            "rules": rules,
        }
    )
