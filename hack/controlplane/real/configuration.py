"""The files that a node's programs read. Each value that is not a default says why."""

from __future__ import annotations

import json
from pathlib import Path

from controlplane.real.addresses import DNS_DOMAIN, DNS_SERVICE, PODS, NodeIdentity
from controlplane.real.images import PAUSE_IMAGE

CONTAINERD_SOCKET = "/run/containerd/containerd.sock"
CNI_CONFIGURATION = "/var/lib/cni/net.d"  # in a folder that a node has for itself, unlike /etc/cni

# What a kubelet sets where it finds something else. They are the machine's: a node sees these values, in files bound
# over the real ones, and writes none.
KUBELET_SYSCTLS = {
    "vm/overcommit_memory": "1",
    "vm/panic_on_oom": "0",
    "kernel/panic": "10",
    "kernel/panic_on_oops": "1",
    "kernel/keys/root_maxkeys": "1000000",
    "kernel/keys/root_maxbytes": "25000000",
}


def containerd(cni_plugins: Path, snapshotter: str) -> str:
    """containerd's configuration, in the version that 1.6 reads and later ones understand.

    No oom score is lowered, because root may lack the capability for it; AppArmor profiles would be loaded into the
    machine's kernel; the snapshotters left out do not fit the file system, or look for devices.
    """
    return f"""\
version = 2
root = "/var/lib/containerd"
state = "/run/containerd"
oom_score = 0
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs",
  "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper",
  "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.opt",
  "io.containerd.tracing.processor.v1.otlp",
]

[grpc]
  address = "{CONTAINERD_SOCKET}"

[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  restrict_oom_score_adj = true
  disable_apparmor = true
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "{cni_plugins}"
    conf_dir = "{CNI_CONFIGURATION}"
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "{snapshotter}"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
      runtime_type = "io.containerd.runc.v2"
      [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
        SystemdCgroup = false
"""


def cni(node: NodeIdentity) -> str:
    """One bridge for the node's pods. Nothing leaves the site, hence no masquerading."""
    bridge = {
        "type": "bridge",
        "bridge": "cni0",
        "isGateway": True,
        "hairpinMode": True,
        "ipMasq": False,
        "ipam": {"type": "host-local", "ranges": [[{"subnet": node.pods}]], "routes": [{"dst": "0.0.0.0/0"}]},
    }
    return json.dumps({"cniVersion": "0.4.0", "name": "site", "plugins": [bridge]}, indent=1)


def kubelet(cgroup: str) -> str:
    """KubeletConfiguration of a node whose pods' cgroups are below `cgroup` (absolute)."""
    return json.dumps(
        {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            # A hybrid hierarchy counts as v1, which is refused by default.
            "failCgroupV1": False,
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": cgroup,
            "failSwapOn": False,
            "oomScoreAdj": 0,
            "containerRuntimeEndpoint": f"unix://{CONTAINERD_SOCKET}",
            "clusterDNS": [DNS_SERVICE],
            "clusterDomain": DNS_DOMAIN,
            # Nothing of the machine's resolver reaches pods.
            "resolvConf": "/dev/null",
            # Logs and exec without client certificates; the port can be reached in the site only.
            "authentication": {"anonymous": {"enabled": True}, "webhook": {"enabled": False}},
            "authorization": {"mode": "AlwaysAllow"},
            # The disk is the machine's: its filling must not evict pods.
            "evictionHard": {
                "memory.available": "100Mi",
                **{f"{where}.{what}": "0%" for where in ("nodefs", "imagefs") for what in ("available", "inodesFree")},
            },
            # Images are loaded, never pulled: one that is collected does not come back.
            "imageGCHighThresholdPercent": 100,
            "imageGCLowThresholdPercent": 99,
            # Lost nodes are seen within the controller-manager's grace period.
            "nodeStatusUpdateFrequency": "2s",
            "nodeLeaseDurationSeconds": 10,
            "serializeImagePulls": False,
            "maxPods": 200,
            # The default lies outside of the folders that a node has for itself.
            "volumePluginDir": "/var/lib/kubelet/volumeplugins",
        },
        indent=1,
    )


def kube_proxy(node: NodeIdentity, kubeconfig: Path) -> str:
    """KubeProxyConfiguration. The sysctls of connection tracking belong to the machine's network: they stay."""
    return json.dumps(
        {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "nftables",
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            "clusterCIDR": PODS,
            "hostnameOverride": node.name,
            "oomScoreAdj": 0,
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        },
        indent=1,
    )
