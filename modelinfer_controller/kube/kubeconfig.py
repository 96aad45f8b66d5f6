"""Reading a kubeconfig: kubernetes.aio's loader, with errors for people and plugins whose answers expire."""

import os
from datetime import datetime, timedelta
from typing import Any

import yaml
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config.exec_provider import ExecProvider
from kubernetes.aio.config.kube_config import ConfigNode, FileOrData, KubeConfigLoader, KubeConfigMerger

from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.oidc import is_expired, refreshed_tokens

FILE_REREAD_INTERVAL = 60.0
EXPIRY_MARGIN = timedelta(seconds=60)
MIN_VALIDITY = 10.0  # of what a plugin gives out already nearly expired


async def load_kubeconfig(paths: str, context: str | None, configuration: Configuration, clock: Clock) -> float | None:
    """Fills the configuration from the files at paths (separated as in KUBECONFIG); None is the current context.

    Returns the seconds for which the credentials are good, None if only a refusal can tell. Raises ConfigException
    and OSError; runs an exec plugin or asks the identity provider where the user's entry says so.
    """
    merger = _read(paths)
    loader = _Loader(
        clock,
        config_dict=merger.config,
        active_context=_context(merger, context, paths),
        config_persister=lambda _: merger.save_changes(),
    )
    try:
        await loader.load_and_set(configuration)
    except (TypeError, KeyError, AttributeError, ValueError) as error:  # what the loader makes of a malformed file
        raise ConfigException(f"cannot use the kubeconfig {paths}: {error}") from error
    if not loader.has_server:
        raise ConfigException(f"the cluster's entry in the kubeconfig {paths} has no server")
    return loader.valid_for


def _read(paths: str) -> KubeConfigMerger:
    if not any(os.path.exists(os.path.expanduser(path)) for path in paths.split(os.pathsep) if path):
        raise ConfigException(
            f"no cluster: there is no kubeconfig at {paths}, and no service account of a pod was requested"
        )
    try:
        return KubeConfigMerger(paths)
    except (yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
        raise ConfigException(f"cannot read the kubeconfig {paths}: {error}") from error


def _context(merger: KubeConfigMerger, wanted: str | None, paths: str) -> str:
    names = [str(entry["name"]) for entry in merger.config.value["contexts"]]
    there_are = ", ".join(names) or "none"
    name = wanted or merger.config.value.get("current-context")
    if not name:
        raise ConfigException(f"the kubeconfig {paths} has no current context; choose one of: {there_are}")
    if name not in names:
        raise ConfigException(f"the kubeconfig {paths} has no context {name!r}; there are: {there_are}")
    return str(name)


class _Loader(KubeConfigLoader):  # type: ignore[misc]
    """Replaces what the base class does with credentials that expire.

    Its exec call swallows errors and drops a certificate that comes beside a token; its OIDC refresh does not verify
    the provider's certificate and misreads base64url.
    """

    _user: Any

    def __init__(self, clock: Clock, **arguments: Any) -> None:
        super().__init__(**arguments)
        self._clock = clock
        self.valid_for: float | None = None
        if self._user is None:  # a context without a user; the base class needs something to look into
            self._user = ConfigNode("user", {})
        if "tokenFile" in self._user:
            self.valid_for = FILE_REREAD_INTERVAL

    @property
    def has_server(self) -> bool:
        return "host" in self.__dict__

    async def load_from_exec_plugin(self) -> bool:
        status = await ExecProvider(self._user["exec"]).run()
        token, certificate, key = (status.get(k) for k in ("token", "clientCertificateData", "clientKeyData"))
        if not token and not (certificate and key):
            raise ConfigException("exec: the plugin gave neither a token nor a client certificate with its key")
        if token:
            self.token = f"Bearer {token}"
        if certificate and key:
            self.cert_file = _as_file(certificate)
            self.key_file = _as_file(key)
        if expiry := status.get("expirationTimestamp"):
            remaining = datetime.fromisoformat(expiry) - EXPIRY_MARGIN - self._clock.now()
            self.valid_for = max(remaining.total_seconds(), MIN_VALIDITY)
        return True

    async def _load_oid_token(self) -> str:
        settings: dict[str, str] = self._user["auth-provider"]["config"].value
        self.valid_for = FILE_REREAD_INTERVAL
        if is_expired(settings.get("id-token", ""), self._clock.now()):
            settings.update(await refreshed_tokens(settings))
            self._config_persister(self._config.value)
        self.token = f"Bearer {settings['id-token']}"
        return self.token


def _as_file(content: str) -> str:
    """Path of a file, private and removed at exit, with that content: TLS libraries read keys from files only."""
    path: str = FileOrData({"data": content}, None, data_key_name="data", base64_file_content=False).as_file()
    return path
