"""What is particular to each kind when one of its objects is written: defaults, validation, what may not change."""

from collections.abc import Iterator

from modelinfer_controller.simulator.apiserver.kinds import (
    CONTROLLER_REVISIONS,
    NAMESPACES,
    NATIVE_POD_GROUPS,
    NODES,
    PODS,
    SERVICES,
    Kind,
)
from modelinfer_controller.simulator.apiserver.metadata import dns_label_violations, label_violations
from modelinfer_controller.simulator.apiserver.pods import pod_violations, prepare_pod
from modelinfer_controller.simulator.apiserver.status_errors import Cause
from modelinfer_controller.simulator.apiserver.store import Store
from modelinfer_controller.simulator.objects import Object, copy_of

POD_GROUP_PROTECTION = "scheduling.k8s.io/podgroup-protection"


class Addresses:
    """Hands out addresses in the order in which they are asked for."""

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix
        self._count = 0

    def next(self) -> str:
        self._count += 1
        return f"{self._prefix}.{self._count >> 8 & 255}.{self._count & 255}"


class Strategies:
    """The built-in kinds' own behaviour; a kind without any is stored as it comes."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._cluster_ips = Addresses("10.96")

    def prepare_creation(self, kind: Kind, obj: Object) -> None:
        """Defaults a new object, in place. Does not raise on an invalid one."""
        match kind.key:
            case PODS.key:
                obj.setdefault("spec", {})
                prepare_pod(obj)
            case SERVICES.key:
                self._prepare_service(obj)
            case NAMESPACES.key:
                obj["spec"] = {"finalizers": ["kubernetes"]}
                obj["status"] = {"phase": "Active"}
                labels = obj["metadata"].get("labels") or {}
                obj["metadata"]["labels"] = {**labels, "kubernetes.io/metadata.name": obj["metadata"]["name"]}
            case NODES.key:
                obj.setdefault("spec", {})
            case NATIVE_POD_GROUPS.key:
                finalizers = obj["metadata"].get("finalizers") or []
                if POD_GROUP_PROTECTION not in finalizers:
                    obj["metadata"]["finalizers"] = [*finalizers, POD_GROUP_PROTECTION]

    def _prepare_service(self, service: Object) -> None:
        spec = service.setdefault("spec", {})
        spec.setdefault("type", "ClusterIP")
        spec.setdefault("sessionAffinity", "None")
        spec.setdefault("ipFamilyPolicy", "SingleStack")
        spec.setdefault("ipFamilies", ["IPv4"])
        spec.setdefault("internalTrafficPolicy", "Cluster")
        if not spec.get("clusterIP"):
            spec["clusterIP"] = self._cluster_ips.next()
        spec["clusterIPs"] = [spec["clusterIP"]]
        for port in spec.get("ports") or []:
            port.setdefault("protocol", "TCP")
            port.setdefault("targetPort", port.get("port"))
        service["status"] = {"loadBalancer": {}}

    def prepare_update(self, kind: Kind, new: Object, old: Object) -> Object:
        """What an update of the main resource is turned into: fields that a client leaves out and the server keeps."""
        if kind.key == SERVICES.key and not (new.get("spec") or {}).get("clusterIP"):
            spec = {**copy_of(new.get("spec") or {}), "clusterIP": old["spec"]["clusterIP"]}
            return {**new, "spec": {**spec, "clusterIPs": old["spec"]["clusterIPs"]}}
        return new

    def violations(self, kind: Kind, obj: Object, old: Object | None) -> Iterator[Cause]:
        match kind.key:
            case PODS.key:
                yield from pod_violations(obj, old)
            case SERVICES.key:
                yield from _service_violations(obj, old)
            case CONTROLLER_REVISIONS.key:
                yield from _revision_violations(obj, old)


def _service_violations(service: Object, old: Object | None) -> Iterator[Cause]:
    spec = service["spec"]
    yield from label_violations(spec.get("selector") or {}, "spec.selector")
    if not spec.get("ports") and spec["clusterIP"] != "None" and spec["type"] != "ExternalName":
        yield Cause.required("spec.ports")
    ports = spec.get("ports") or []
    for index, port in enumerate(ports):
        if port.get("name"):
            yield from dns_label_violations(port["name"], f"spec.ports[{index}].name")
        elif len(ports) > 1:
            yield Cause.required(f"spec.ports[{index}].name")
    if old is not None and old["spec"]["clusterIP"] != spec["clusterIP"]:
        detail = "may not change once set"
        yield Cause.invalid("spec.clusterIPs[0]", [spec["clusterIP"]], detail)


def _revision_violations(revision: Object, old: Object | None) -> Iterator[Cause]:
    if not isinstance(revision.get("data"), dict):
        yield Cause.invalid("data", revision.get("data"), "must be a valid JSON object")
    if "revision" not in revision:
        yield Cause.required("revision")
    elif revision["revision"] < 0:
        yield Cause.invalid("revision", revision["revision"], "must be greater than or equal to 0")
    if old is not None and revision.get("data") != old.get("data"):
        yield Cause.invalid("data", revision.get("data"), "field is immutable")
