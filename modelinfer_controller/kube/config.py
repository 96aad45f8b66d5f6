"""Where the cluster is and who we are: kubeconfig or service account, read by kubernetes.aio, renewed by us."""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import structlog
from kubernetes.aio.client import Configuration
from kubernetes.aio.config import ConfigException
from kubernetes.aio.config.incluster_config import InClusterConfigLoader

from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.kube.kubeconfig import load_kubeconfig
from modelinfer_controller.kube.proxy import proxy_for
from modelinfer_controller.kube.tasks import CancelledFromWithin, stray_cancellation_as_error

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

SERVICE_ACCOUNT_FOLDER = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TOKEN_REREAD_INTERVAL = 60.0  # a projected token is replaced long before it expires
RENEWAL_RETRY_INTERVAL = 10.0  # after a renewal that failed, and between renewals that a 401 asks for
RENEWAL_TIMEOUT = 60.0  # of an exec plugin or an identity provider


class ConfigError(Exception):
    """There is no usable cluster configuration; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Access:
    """Credentials at one moment. authorization is the header's value; tls is False for plain http."""

    authorization: str | None
    tls: ssl.SSLContext | bool


@dataclass(frozen=True, slots=True)
class Loaded:
    """One reading of the configuration. valid_for is in seconds, None for credentials that are good until refused."""

    configuration: Configuration
    valid_for: float | None


Source = Callable[[], Awaitable[Loaded]]


@dataclass(frozen=True, slots=True)
class ClusterConfig:
    """server has no trailing slash; proxy is a URL or ""; tls_server_name replaces the host's name in TLS, or ""."""

    server: str
    tls_server_name: str
    proxy: str
    credentials: "Credentials"


def is_in_cluster(environ: Mapping[str, str]) -> bool:
    """Whether this process runs in a pod that may talk to its API server."""
    return bool(environ.get("KUBERNETES_SERVICE_HOST")) and (SERVICE_ACCOUNT_FOLDER / "token").exists()


async def load_config(
    *, environ: Mapping[str, str], clock: Clock, kubeconfig: str | None, context: str | None, in_cluster: bool
) -> ClusterConfig:
    """See `aiohttp_transport.connect`. Raises ConfigError."""
    source = service_account(environ) if in_cluster else _kubeconfig(environ, clock, kubeconfig, context)
    loaded = await source()
    configuration = loaded.configuration
    proxy = configuration.proxy or proxy_for(configuration.host, environ)
    scheme = urlsplit(proxy).scheme
    if proxy and scheme not in ("http", "https"):
        raise ConfigError(f"the proxy is {scheme}://, but must be http:// or https://: see HTTPS_PROXY and proxy-url")
    return ClusterConfig(
        server=configuration.host.rstrip("/"),
        tls_server_name=configuration.tls_server_name or "",
        proxy=proxy,
        credentials=Credentials(loaded, source),
    )


class Credentials:
    """The current Access. One renewal runs at a time; while it fails the old credentials stay."""

    def __init__(self, loaded: Loaded, source: Source) -> None:
        self._source = source
        self._tls_files: tuple[bytes | None, ...] | None = None
        self._renewal: asyncio.Task[None] | None = None
        self._renewed_at = float("-inf")
        self._stale_at = float("inf")
        self._access = Access(None, False)
        self._accept(loaded)

    async def access(self) -> Access:
        """Credentials to send a request with; renews them first where their time has come."""
        if asyncio.get_running_loop().time() >= self._stale_at:
            await self._renew()
        return self._access

    async def refresh(self, rejected: Access) -> bool:
        """After a 401: whether there are other credentials now, so that one more attempt makes sense."""
        rested = asyncio.get_running_loop().time() >= self._renewed_at + RENEWAL_RETRY_INTERVAL
        if self._access is rejected and (rested or self._renewal is not None):
            await self._renew()
        return self._access is not rejected

    async def close(self) -> None:
        if self._renewal is not None:
            self._renewal.cancel()
            await asyncio.gather(self._renewal, return_exceptions=True)

    async def _renew(self) -> None:
        if self._renewal is None:
            self._renewal = asyncio.create_task(self._load_again(), name="credentials-renewal")
        await asyncio.shield(self._renewal)

    async def _load_again(self) -> None:
        self._renewed_at = asyncio.get_running_loop().time()
        try:
            with stray_cancellation_as_error("the renewal of credentials"):
                async with asyncio.timeout(RENEWAL_TIMEOUT):
                    self._accept(await self._source())
        except (ConfigError, OSError, CancelledFromWithin) as error:  # TimeoutError and ssl.SSLError are OSErrors
            self._stale_at = asyncio.get_running_loop().time() + RENEWAL_RETRY_INTERVAL
            log.warning("credentials not renewed", error=str(error) or type(error).__name__)
        finally:
            self._renewal = None

    def _accept(self, loaded: Loaded) -> None:
        configuration = loaded.configuration
        authorization = configuration.api_key.get("BearerToken")
        access = Access(authorization, self._tls(configuration))
        if access != self._access:
            self._access = access
        if loaded.valid_for is None:
            self._stale_at = float("inf")
        else:
            self._stale_at = asyncio.get_running_loop().time() + loaded.valid_for

    def _tls(self, configuration: Configuration) -> ssl.SSLContext | bool:
        """The same context as before while its files are: building one takes tens of milliseconds."""
        if not configuration.host.startswith("https"):
            return False
        paths = (configuration.ssl_ca_cert, configuration.cert_file, configuration.key_file)
        files = tuple(Path(path).read_bytes() if path else None for path in paths)
        if files == self._tls_files:
            return self._access.tls
        context = _tls_context(configuration)
        self._tls_files = files
        return context


def _tls_context(configuration: Configuration) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=configuration.ssl_ca_cert)
    # Cluster authorities are commonly made without the extensions that the strict check demands; Go does not ask.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    if not configuration.verify_ssl:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if configuration.cert_file:
        context.load_cert_chain(configuration.cert_file, configuration.key_file)
    return context


def service_account(environ: Mapping[str, str], folder: Path = SERVICE_ACCOUNT_FOLDER) -> Source:
    """The source of a pod's own service account, which the kubelet mounts at folder."""

    async def load() -> Loaded:
        configuration = Configuration()
        loader = InClusterConfigLoader(
            str(folder / "token"), str(folder / "ca.crt"), try_refresh_token=False, environ=environ
        )
        try:
            loader.load_and_set(configuration)
        except (ConfigException, OSError) as error:
            raise ConfigError(f"not inside a pod with a service account: {error}") from error
        _normalise_token(configuration)
        return Loaded(configuration, TOKEN_REREAD_INTERVAL)

    return load


def _kubeconfig(environ: Mapping[str, str], clock: Clock, kubeconfig: str | None, context: str | None) -> Source:
    paths = kubeconfig or environ.get("KUBECONFIG") or str(Path.home() / ".kube" / "config")

    async def load() -> Loaded:
        configuration = Configuration()
        try:
            valid_for = await load_kubeconfig(paths, context, configuration, clock)
        except (ConfigException, OSError) as error:
            raise ConfigError(str(error)) from error
        _normalise_token(configuration)
        return Loaded(configuration, valid_for)

    return load


def _normalise_token(configuration: Configuration) -> None:
    """Token files end in a newline, which a header must not."""
    token = configuration.api_key.get("BearerToken")
    if token:
        scheme, _, credentials = token.partition(" ")
        configuration.api_key["BearerToken"] = f"{scheme.capitalize()} {credentials.strip()}"
