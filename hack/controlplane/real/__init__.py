"""Real nodes: kubelet, containerd, runc, CNI, kube-proxy and cluster DNS, each node in namespaces of its own.

A cluster with real nodes lives in a *site*: a network namespace with a bridge, in which the control plane runs. A node
is a second set of namespaces (network, pid, mount, UTS, IPC) on that bridge. The machine's own network, mounts, sysctls
and DNS stay as they are; its cgroups get one tree for each cluster, which goes with it. docs/real-nodes.md explains it.

    addresses      who has which address
    requirements   what the machine must offer, and what is missing
    cgroups        a node's cgroups
    debian         programs from Debian packages, unpacked beside the binaries
    images         container images as OCI archives, made without an engine
    configuration  the files that containerd, CNI, kubelet and kube-proxy read
    dns            the objects of cluster DNS
    namespaces     processes in namespaces, and their pids as the machine sees them
    init           the first process of a node
    forward        the way from the machine's loopback to kube-apiserver
    site           the site: its network, its nodes, their power
"""
