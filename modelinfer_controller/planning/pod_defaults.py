"""What a pod spec means to the API server: the same spec without the fields that say what is the case without them.

A CRD may write Kubernetes' defaults out (another ModelInfer CRD does, ours may one day), and a user may, too. Pods are
the same either way, so nothing may restart for it. Only what is known here is left out; all else stays as it is.

source: pkg/apis/core/v1/defaults.go and zz_generated.defaults.go; where the server defaults nothing, the meaning of
the absent field by its documentation.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from modelinfer_controller.api.quantity import QUANTITY_PATTERN, format_quantity, parse_quantity

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Type:
    """A type of the API with its defaults.

    defaults: values that count as absent. parts: fields with defaults of their own, objects or lists of objects. empty:
    fields of which an empty object counts as absent. An empty list always does.
    """

    defaults: Json = field(default_factory=dict)
    parts: "Mapping[str, Type]" = field(default_factory=dict)
    empty: frozenset[str] = frozenset()


FIELD_REF = Type({"apiVersion": "v1"})
RESOURCE_FIELD_REF = Type({"divisor": "0"})
REFERRED = {"fieldRef": FIELD_REF, "resourceFieldRef": RESOURCE_FIELD_REF}
HTTP_GET = Type({"path": "/", "scheme": "HTTP"})
HANDLER = Type(parts={"httpGet": HTTP_GET})
PROBE = Type(
    {"initialDelaySeconds": 0, "timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3},
    {"httpGet": HTTP_GET, "grpc": Type({"service": ""})},
)
CONTAINER = Type(
    {
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
        "stdin": False,
        "stdinOnce": False,
        "tty": False,
        "workingDir": "",
    },
    {
        "ports": Type({"protocol": "TCP", "hostPort": 0, "hostIP": "", "name": ""}),
        "env": Type({"value": ""}, {"valueFrom": Type(parts=REFERRED)}),
        "envFrom": Type({"prefix": ""}),
        "volumeMounts": Type({"readOnly": False, "subPath": "", "subPathExpr": "", "mountPropagation": "None"}),
        "livenessProbe": PROBE,
        "readinessProbe": PROBE,
        "startupProbe": PROBE,
        "lifecycle": Type(parts={"postStart": HANDLER, "preStop": HANDLER}),
        "resources": Type(empty=frozenset({"limits", "requests"})),
        "securityContext": Type({"procMount": "Default"}),
    },
    frozenset({"resources", "securityContext", "lifecycle"}),
)
FILES = Type({"defaultMode": 420}, {"items": Type(parts=REFERRED)})
PROJECTED = Type(
    {"defaultMode": 420},
    {
        "sources": Type(
            parts={
                "serviceAccountToken": Type({"expirationSeconds": 3600, "audience": ""}),
                "downwardAPI": Type(parts={"items": Type(parts=REFERRED)}),
            }
        )
    },
)
CLAIM = Type(
    parts={"metadata": Type({"creationTimestamp": None}), "spec": Type({"volumeMode": "Filesystem"})},
    empty=frozenset({"metadata"}),
)
VOLUME = Type(
    parts={
        "emptyDir": Type({"medium": ""}),
        "hostPath": Type({"type": ""}),
        "secret": FILES,
        "configMap": FILES,
        "downwardAPI": FILES,
        "projected": PROJECTED,
        "persistentVolumeClaim": Type({"readOnly": False}),
        "nfs": Type({"readOnly": False}),
        "ephemeral": Type(parts={"volumeClaimTemplate": CLAIM}),
        "iscsi": Type({"iscsiInterface": "default", "readOnly": False}),
        "rbd": Type({"pool": "rbd", "user": "admin", "keyring": "/etc/ceph/keyring", "readOnly": False}),
        "azureDisk": Type({"cachingMode": "ReadWrite", "kind": "Shared", "fsType": "ext4", "readOnly": False}),
        "scaleIO": Type({"storageMode": "ThinProvisioned", "fsType": "xfs", "readOnly": False}),
    },
)
POD_SPEC = Type(
    {
        "restartPolicy": "Always",
        "dnsPolicy": "ClusterFirst",
        "terminationGracePeriodSeconds": 30,
        "schedulerName": "default-scheduler",
        "enableServiceLinks": True,
        "hostNetwork": False,
        "hostPID": False,
        "hostIPC": False,
        "hostUsers": True,
        "shareProcessNamespace": False,
        "setHostnameAsFQDN": False,
        "hostname": "",
        "subdomain": "",
        "nodeName": "",
        "priorityClassName": "",
        "serviceAccountName": "",
    },
    {
        "initContainers": CONTAINER,
        "containers": CONTAINER,
        "volumes": VOLUME,
        "securityContext": Type({"fsGroupChangePolicy": "Always", "supplementalGroupsPolicy": "Merge"}),
        "tolerations": Type({"operator": "Equal", "key": "", "value": "", "effect": ""}),
        "topologySpreadConstraints": Type({"nodeAffinityPolicy": "Honor", "nodeTaintsPolicy": "Ignore"}),
        "imagePullSecrets": Type({"name": ""}),
        "resources": Type(empty=frozenset({"limits", "requests"})),
    },
    frozenset({"securityContext", "nodeSelector", "affinity", "overhead", "resources"}),
)


def without_defaults(spec: Json) -> dict[str, Any]:
    """A new pod spec that means the same, in the one form that all of that meaning have.

    >>> without_defaults({"restartPolicy": "Always", "containers": [{"name": "a", "ports": [{"protocol": "TCP"}]}]})
    {'containers': [{'name': 'a', 'ports': [{}]}]}
    """
    meant: dict[str, Any] = _without(_with_known_meaning(spec), POD_SPEC)
    return meant


def _without(value: Any, type_: Type) -> Any:
    if isinstance(value, list):
        return [_without(item, type_) for item in value]
    if not isinstance(value, Mapping):
        return value
    inner = {name: _without(one, type_.parts[name]) if name in type_.parts else one for name, one in value.items()}
    return {name: one for name, one in inner.items() if not _is_default(name, one, type_)}


def _is_default(name: str, value: Any, type_: Type) -> bool:
    if value is None or value == []:
        return True
    if value == {}:
        return name in type_.empty
    known = name in type_.defaults and type_.defaults[name] == value
    return known and isinstance(value, bool) == isinstance(type_.defaults[name], bool)


def _with_known_meaning(spec: Json) -> dict[str, Any]:
    """Defaults that follow from other fields, and quantities in one spelling."""
    meant = dict(spec)
    for kind in ("initContainers", "containers"):
        if isinstance(containers := meant.get(kind), list):
            meant[kind] = [_container(one, uses_host_ports=spec.get("hostNetwork") is True) for one in containers]
    if isinstance(volumes := meant.get("volumes"), list):
        meant["volumes"] = [_volume(one) for one in volumes]
    if meant.get("serviceAccount") == meant.get("serviceAccountName"):
        meant.pop("serviceAccount", None)  # the older name of the field, which the server fills in
    for name in ("overhead",):
        if isinstance(meant.get(name), Mapping):
            meant[name] = _quantities(meant[name])
    if isinstance(meant.get("resources"), Mapping):
        meant["resources"] = _resources(meant["resources"])
    return meant


def _container(container: Any, *, uses_host_ports: bool) -> Any:
    if not isinstance(container, Mapping):
        return container
    meant = dict(container)
    if meant.get("imagePullPolicy") in ("", _pull_policy(str(meant.get("image", "")))):
        del meant["imagePullPolicy"]
    if isinstance(meant.get("resources"), Mapping):
        meant["resources"] = _resources(meant["resources"])
    if isinstance(policies := meant.get("resizePolicy"), list):
        meant["resizePolicy"] = [one for one in policies if one.get("restartPolicy") != "NotRequired"]
    if uses_host_ports and isinstance(ports := meant.get("ports"), list):
        meant["ports"] = [_host_port(one) for one in ports]
    return meant


def _host_port(port: Json) -> Json:
    """On the host's network a port is always the host's."""
    same = port.get("hostPort") == port.get("containerPort")
    return {name: value for name, value in port.items() if name != "hostPort"} if same else port


def _pull_policy(image: str) -> str:
    """The default: Always for the tag latest, written or not, else IfNotPresent. A digest is no tag.

    >>> _pull_policy("registry:5000/vllm"), _pull_policy("vllm:v1"), _pull_policy("vllm@sha256:0")
    ('Always', 'IfNotPresent', 'IfNotPresent')
    """
    name, _, digest = image.partition("@")
    _, colon, tag = name.rpartition("/")[2].partition(":")
    return "Always" if tag == "latest" or not (colon or digest) else "IfNotPresent"


def _resources(resources: Json) -> dict[str, Any]:
    """Limits stand in for requests that are left out."""
    meant = dict(resources)
    for kind in ("limits", "requests"):
        if isinstance(meant.get(kind), Mapping):
            meant[kind] = _quantities(meant[kind])
    limits, requests = meant.get("limits"), meant.get("requests")
    if isinstance(limits, Mapping) and isinstance(requests, Mapping):
        meant["requests"] = {name: value for name, value in requests.items() if limits.get(name) != value}
    return meant


def _quantities(quantities: Json) -> dict[str, Any]:
    """In one spelling; what is no quantity stays as it is, for the server to refuse."""
    return {
        name: format_quantity(parse_quantity(value)) if QUANTITY_PATTERN.fullmatch(str(value)) else value
        for name, value in quantities.items()
    }


def _volume(volume: Any) -> Any:
    """A volume of no kind is an emptyDir."""
    if not isinstance(volume, Mapping):
        return volume
    meant = {name: value for name, value in volume.items() if value is not None}
    if isinstance(image := meant.get("image"), Mapping):
        default = _pull_policy(str(image.get("reference", "")))
        meant["image"] = {k: v for k, v in image.items() if k != "pullPolicy" or v not in ("", default)}
    if isinstance(directory := meant.get("emptyDir"), Mapping) and "sizeLimit" in directory:
        meant["emptyDir"] = _quantities({"sizeLimit": directory["sizeLimit"]}) | {
            k: v for k, v in directory.items() if k != "sizeLimit"
        }
    return meant if meant.keys() - {"name"} else {**meant, "emptyDir": {}}
