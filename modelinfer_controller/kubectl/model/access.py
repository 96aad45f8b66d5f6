"""The way into the cluster for one command: whose configuration, which namespace, and errors as one line."""

import logging
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

from modelinfer_controller import __version__
from modelinfer_controller.exits import Exit
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kube.errors import ApiError, Conflict, Forbidden, Unauthorized, UndecodableResponse
from modelinfer_controller.kube.resource import Resource
from modelinfer_controller.kube.transport import Transport, TransportError
from modelinfer_controller.kubectl.model.adjusted_transport import AdjustedTransport
from modelinfer_controller.kubectl.model.kubeconfig import (
    ClusterFlags,
    Kubeconfig,
    failure,
    kubeconfig_paths,
    read_kubeconfig,
)
from modelinfer_controller.kubectl.model.stdlib_transport import stdlib_transport

USER_AGENT = f"kubectl-modelinfer/{__version__}"
SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")


def namespace_of(flags: ClusterFlags, environ: Mapping[str, str]) -> str:
    """The namespace that was asked for, else the context's, else the pod's own, else `default`."""
    if flags.namespace:
        return flags.namespace
    if any(path.exists() for path in kubeconfig_paths(flags, environ)):
        return read_kubeconfig(flags, environ).namespace or "default"
    if SERVICE_ACCOUNT_NAMESPACE.exists():
        return SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip() or "default"
    return "default"


@asynccontextmanager
async def connected(flags: ClusterFlags, environ: Mapping[str, str], *, follows: bool = False) -> AsyncIterator[Client]:
    """A client of the cluster; what goes wrong below HTTP, or with the credentials, becomes an Exit.

    follows: whether it is to watch; one that is not may be the cheaper transport.
    """
    config = read_kubeconfig(flags, environ)
    transport: Transport | None = None if follows else stdlib_transport(config, environ, USER_AGENT)
    if transport is None:
        transport = await _full_transport(flags, config, environ)
    client = Client(_adjusted(transport, flags, config))
    try:
        yield client
    except TransportError as error:
        raise failure(f"no cluster: nobody answers: {error}") from error
    except Unauthorized as error:
        raise failure(f"unauthorized: the cluster does not accept the credentials: {error}") from error
    except ApiError as error:
        raise _api_failure("the API server answers with an error", error) from error
    finally:
        await client.close()


def _adjusted(transport: Transport, flags: ClusterFlags, config: Kubeconfig) -> Transport:
    headers = _impersonation(flags, config.user or {})
    if not (headers or flags.request_timeout or flags.verbosity):
        return transport
    return AdjustedTransport(transport, headers=headers, timeout=flags.request_timeout, verbosity=flags.verbosity)


def _impersonation(flags: ClusterFlags, user: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The headers of --as, --as-uid and --as-group, else of the kubeconfig's user."""
    if flags.as_user or flags.as_uid or flags.as_group:
        name, uid, groups = flags.as_user, flags.as_uid, flags.as_group
    else:
        name, uid, groups = user.get("as"), user.get("as-uid"), tuple(user.get("as-groups") or ())
    if (uid or groups) and not name:
        raise failure("--as-uid and --as-group say more of a user: name one by --as")
    given = [("Impersonate-User", name), ("Impersonate-Uid", uid), *(("Impersonate-Group", group) for group in groups)]
    return [(key, str(value)) for key, value in given if value]


async def _full_transport(flags: ClusterFlags, config: Kubeconfig, environ: Mapping[str, str]) -> Transport:
    if not flags.overrides:
        return await _connect(flags.kubeconfig, flags.context, environ, is_named=_is_named(flags, environ))
    with _written(config) as path:
        return await _connect(path, None, environ, is_named=True)


def _is_named(flags: ClusterFlags, environ: Mapping[str, str]) -> bool:
    return flags.kubeconfig is not None or flags.context is not None or "KUBECONFIG" in environ


@contextmanager
def _written(config: Kubeconfig) -> Iterator[str]:
    """A file that nobody else can read, with what the flags made of the kubeconfig."""
    import yaml

    with tempfile.TemporaryDirectory(prefix="modelinfer-") as folder:
        path = Path(folder, "kubeconfig")
        path.touch(mode=0o600)
        path.write_text(yaml.safe_dump(config.document()), encoding="utf-8")
        yield str(path)


async def _connect(
    kubeconfig: str | None, context: str | None, environ: Mapping[str, str], *, is_named: bool
) -> Transport:
    from modelinfer_controller.kube.aiohttp_transport import connect
    from modelinfer_controller.kube.config import ConfigError, is_in_cluster

    quiet()
    try:
        return await connect(
            environ=environ,
            clock=SystemClock(),
            kubeconfig=kubeconfig,
            context=context,
            in_cluster=not is_named and is_in_cluster(environ),
            user_agent=USER_AGENT,
        )
    except ConfigError as error:
        text = str(error).removeprefix("no cluster: ")
        raise failure(f"no cluster: {text}; name one by --kubeconfig or $KUBECONFIG") from error


@contextmanager
def allowed_to(verb: str, resource: Resource[Any], namespace: str | None) -> Iterator[None]:
    """Names the verb and the resource that are missing where the server forbids it, in one line."""
    try:
        yield
    except Forbidden as error:
        message = missing_right(verb, str(resource), namespace if resource.namespaced else None)
        raise failure(f"{message}; the server says: {error}") from error
    except Conflict as error:
        raise failure(f"it has changed meanwhile: try again ({error})") from error
    except Unauthorized:
        raise
    except ApiError as error:
        raise _api_failure(f"cannot {verb} {resource}", error) from error


def _api_failure(what: str, error: ApiError) -> Exit:
    if isinstance(error, UndecodableResponse):
        return failure(f"no cluster: what answers is no Kubernetes API server: {error}")
    return failure(f"{what}: {error}")


def missing_right(verb: str, resource: str, namespace: str | None) -> str:
    """namespace: None for the whole cluster."""
    where = f"in namespace {namespace}" if namespace else "in the whole cluster"
    return f"forbidden: you need the verb {verb!r} on {resource!r} {where}"


def quiet() -> None:
    """The libraries' own logging off: what matters is told in one line."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
