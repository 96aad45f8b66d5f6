"""The settings: one type for flags, environment and file, in this order of precedence, each under the same name.

    --max-in-flight 16      MODELINFER_CONTROLLER_MAX_IN_FLIGHT=16      max-in-flight: 16   (YAML, --config FILE)

What `modelinfer-controller config` prints is such a file.
"""

import difflib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from modelinfer_controller.api.duration import Duration
from modelinfer_controller.app.metrics.scope import HistogramScope
from modelinfer_controller.kube.inflight import MAX_IN_FLIGHT
from modelinfer_controller.planning.nodes import LEAVING_TAINTS

ENVIRONMENT_PREFIX = "MODELINFER_CONTROLLER_"
CONFIG_VARIABLE = f"{ENVIRONMENT_PREFIX}CONFIG"

# What Kubernetes puts into every container for Services of its namespace, one named modelinfer-controller-... included.
_SERVICE_LINK = re.compile(r".*_(SERVICE_HOST|SERVICE_PORT(_[A-Z0-9_]+)?|PORT(_\d+_(TCP|UDP|SCTP)(_[A-Z]+)?)?)")
_BIND_ADDRESS = re.compile(r"(|[^:\s]+|\[[0-9a-fA-F:.]+\]):\d{1,5}")


class SettingsError(Exception):
    """A setting cannot be used; the message is one line that names it, where it came from and what is right."""


def kebab(name: str) -> str:
    return name.replace("_", "-")


def variable(key: str) -> str:
    """The environment variable of a setting's key."""
    return ENVIRONMENT_PREFIX + key.replace("-", "_").upper()


def _listed(value: object) -> object:
    return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value


def _bind_address(value: object) -> object:
    if isinstance(value, str) and value not in ("", "0"):
        port = int(value.rpartition(":")[2]) if _BIND_ADDRESS.fullmatch(value) else math.inf
        if port > 65535:
            raise ValueError(f"{value!r} is not an address such as :8080 or 127.0.0.1:8080, or 0 for none")
    return "0" if value in ("", 0) else value


Names = Annotated[tuple[str, ...], BeforeValidator(_listed)]
BindAddress = Annotated[str, BeforeValidator(_bind_address)]


class Settings(BaseModel):
    """Every setting of `modelinfer-controller run`."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", alias_generator=kebab, populate_by_name=True, defer_build=True
    )

    kubeconfig: str | None = Field(
        None, description="The kubeconfig file; by default that of $KUBECONFIG, inside a pod its service account."
    )
    context: str | None = Field(None, description="The kubeconfig's context to use; by default its current one.")
    namespace: Names = Field((), description="A namespace to look after, may be given several times; by default all.")
    workers: int = Field(
        256, ge=1, le=4096, description="How many ModelInfers are reconciled at the same time, of one namespace half."
    )
    max_in_flight: int = Field(
        MAX_IN_FLIGHT, ge=1, le=1024, description="How many writes may be under way, but for statuses."
    )
    leaving_taint: Names = Field(
        LEAVING_TAINTS,
        description="The key of a taint that says that a node leaves, may be given several times; nodes that are "
        "cordoned leave too.",
    )
    kube_api_qps: float = Field(
        0.0, ge=0, allow_inf_nan=False, description="Requests to the API server a second; 0 is no limit of our own."
    )
    kube_api_burst: int = Field(
        0, ge=0, description="Requests that may be sent at once below that limit; 0 is twice the limit."
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="The least level that is logged."
    )
    log_format: Literal["json", "console"] = Field("json", description="json for machines, console for people.")
    metrics_bind_address: BindAddress = Field("0", description="Where /metrics is served, such as :8080; 0 is nowhere.")
    metrics_secure_bind_address: BindAddress = Field(
        "0",
        description="Where /metrics is served over TLS, to whom the API server lets; such as :8443, 0 is nowhere.",
    )
    metrics_cert_file: Path | None = Field(
        None, description="The certificate of that, read anew when it changes; by default one made at the start."
    )
    metrics_key_file: Path | None = Field(None, description="The key of that certificate.")
    metrics_histograms: HistogramScope = Field(
        HistogramScope.AGGREGATED,
        description="Histograms over all ModelInfers (aggregated), of each one (per-object), or none (off).",
    )
    health_probe_bind_address: BindAddress = Field(
        "0", description="Where /healthz and /readyz are served, such as :8081; 0 is nowhere."
    )
    leader_elect: bool = Field(False, description="Work only while holding a Lease, so that several replicas may run.")
    leader_elect_namespace: str | None = Field(
        None, description="The Lease's namespace; by default, inside a pod, the pod's own."
    )
    leader_elect_resource_name: str = Field("modelinfer-controller", min_length=1, description="The Lease's name.")
    leader_elect_lease_duration: Duration = Field(
        timedelta(seconds=15), description="How long others wait for a leader that went silent."
    )
    leader_elect_renew_deadline: Duration = Field(
        timedelta(seconds=10), description="How long a leader goes on without having renewed the Lease."
    )
    leader_elect_retry_period: Duration = Field(
        timedelta(seconds=2), description="The time between attempts to get or renew the Lease."
    )
    shutdown_timeout: Duration = Field(
        timedelta(seconds=10), description="How long reconciles may go on after a signal to stop."
    )

    @model_validator(mode="after")
    def _lease_times_in_order(self) -> Self:
        # The rules are those of `kube.leaderelection.LeaseTiming`, said here in terms of the settings.
        lease, renew, retry = (
            self.leader_elect_lease_duration,
            self.leader_elect_renew_deadline,
            self.leader_elect_retry_period,
        )
        if not timedelta(0) < retry * 1.2 < renew < lease or lease < timedelta(seconds=1):
            raise ValueError(
                "leader-elect-lease-duration must be longer than leader-elect-renew-deadline, and that longer than "
                "1.2 times leader-elect-retry-period"
            )
        return self

    @model_validator(mode="after")
    def _secure_metrics_are_whole(self) -> Self:
        if (self.metrics_cert_file is None) != (self.metrics_key_file is None):
            raise ValueError("metrics-cert-file and metrics-key-file are of use only together")
        secure = self.metrics_secure_bind_address
        if secure != "0" and secure in (self.metrics_bind_address, self.health_probe_bind_address):
            raise ValueError("metrics-secure-bind-address must be an address of its own")
        return self

    @property
    def burst(self) -> int:
        return self.kube_api_burst or max(1, math.ceil(2 * self.kube_api_qps))

    def as_yaml(self) -> str:
        """As a configuration file."""
        return yaml.safe_dump(self.model_dump(mode="json", by_alias=True), sort_keys=False)


KEYS: tuple[str, ...] = tuple(kebab(name) for name in Settings.model_fields)


@dataclass(frozen=True, slots=True)
class Given:
    """One value as it was given. origin is how its user would name it: `--workers`, a variable, or a key in a file."""

    value: Any
    origin: str


def load_settings(flags: Mapping[str, Any], environ: Mapping[str, str], file: str | None) -> Settings:
    """flags: by key, only those that were given. file: a path, or None for that of the environment, if any.

    Raises SettingsError.
    """
    path = file or environ.get(CONFIG_VARIABLE)
    given = {
        **(_from_file(path) if path else {}),
        **_from_environment(environ),
        **{key: Given(value, f"--{key}") for key, value in flags.items()},
    }
    try:
        return Settings.model_validate({key: one.value for key, one in given.items()})
    except ValidationError as error:
        raise SettingsError("; ".join(_describe(dict(problem), given) for problem in error.errors())) from error


def _from_file(path: str) -> dict[str, Given]:
    try:
        content = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "is not UTF-8"
        raise SettingsError(f"cannot read the configuration file {path}: {reason}") from error
    except yaml.YAMLError as error:
        raise SettingsError(f"the configuration file {path} is not YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(f"the configuration file {path} must hold settings as `name: value`")
    for key in content:
        _require_known(str(key), KEYS, f"in the configuration file {path}")
    return {key: Given(value, f"{key} in {path}") for key, value in content.items() if value is not None}


def _from_environment(environ: Mapping[str, str]) -> dict[str, Given]:
    key_by_variable = {variable(key): key for key in KEYS}
    known = (*key_by_variable, CONFIG_VARIABLE)
    for name in environ:
        if name.startswith(ENVIRONMENT_PREFIX) and not _SERVICE_LINK.fullmatch(name):
            _require_known(name, known, "in the environment")
    return {key: Given(environ[name], name) for name, key in key_by_variable.items() if name in environ}


def _require_known(key: str, known: Iterable[str], where: str) -> None:
    if key in known:
        return
    by_core = {name.removeprefix(ENVIRONMENT_PREFIX): name for name in known}
    near = difflib.get_close_matches(key.removeprefix(ENVIRONMENT_PREFIX), by_core, n=2, cutoff=0.6)
    hint = f"did you mean {' or '.join(by_core[core] for core in near)}?" if near else f"there are: {', '.join(known)}"
    raise SettingsError(f"unknown setting {key} {where}; {hint}")


def _describe(problem: Mapping[str, Any], given: Mapping[str, Given]) -> str:
    message = str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return message
    key = str(problem["loc"][0])
    origin = given[key].origin if key in given else key
    return f"{origin}: {message[:1].lower()}{message[1:]}, not {given[key].value!r}" if key in given else message
