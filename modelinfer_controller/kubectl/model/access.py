"""The way into the cluster for one command: whose configuration, which namespace, and errors as one line."""

import logging
import os
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from modelinfer_controller import __version__
from modelinfer_controller.exits import Exit, ExitCode
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.clock import SystemClock
from modelinfer_controller.kube.errors import ApiError, Conflict, Forbidden, Unauthorized
from modelinfer_controller.kube.resource import Resource
from modelinfer_controller.kube.transport import Transport, TransportError
from modelinfer_controller.kubectl.model.stdlib_transport import Source, stdlib_transport

USER_AGENT = f"kubectl-modelinfer/{__version__}"
SERVICE_ACCOUNT_NAMESPACE = Path("/var/run/secrets/kubernetes.io/serviceaccount/namespace")
DEFAULT_KUBECONFIG = "~/.kube/config"


@dataclass(frozen=True, slots=True)
class ClusterFlags:
    """Where a command looks: --kubeconfig, --context and --namespace as they were given."""

    kubeconfig: str | None = None
    context: str | None = None
    namespace: str | None = None


def failure(message: str) -> Exit:
    """Every failure of these verbs has exit code 1, as kubectl's own: 2 is an answer of `plan`."""
    return Exit(ExitCode.FAILURE, message)


def namespace_of(flags: ClusterFlags, environ: Mapping[str, str]) -> str:
    """The namespace that was asked for, else the context's, else the pod's own, else `default`."""
    if flags.namespace:
        return flags.namespace
    paths = kubeconfig_paths(flags, environ)
    if any(path.exists() for path in paths):
        return _context_namespace(paths, flags.context) or "default"
    if SERVICE_ACCOUNT_NAMESPACE.exists():
        return SERVICE_ACCOUNT_NAMESPACE.read_text(encoding="utf-8").strip() or "default"
    return "default"


def kubeconfig_paths(flags: ClusterFlags, environ: Mapping[str, str]) -> tuple[Path, ...]:
    """The files that make up the kubeconfig, in kubectl's order; they need not exist."""
    text = flags.kubeconfig or environ.get("KUBECONFIG") or DEFAULT_KUBECONFIG
    return tuple(Path(path).expanduser() for path in text.split(os.pathsep) if path)


def _context_namespace(paths: Iterable[Path], context: str | None) -> str | None:
    """As kubectl merges several files: the first that says something wins."""
    documents = [document for path in paths if path.exists() for document in _documents(path)]
    name = context or next((d["current-context"] for d in documents if d.get("current-context")), None)
    entries = (entry for document in documents for entry in document.get("contexts") or ())
    found = next((entry for entry in entries if entry.get("name") == name), None)
    namespace = (found or {}).get("context", {}).get("namespace")
    return str(namespace) if namespace else None


def _documents(path: Path) -> Iterator[dict[str, Any]]:
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise failure(f"cannot read the kubeconfig {path}: {' '.join(str(error).split())}") from error
    if isinstance(content, dict):
        yield content


@asynccontextmanager
async def connected(flags: ClusterFlags, environ: Mapping[str, str], *, follows: bool = False) -> AsyncIterator[Client]:
    """A client of the cluster; what goes wrong below HTTP, or with the credentials, becomes an Exit.

    follows: whether it is to watch; one that is not may be the cheaper transport.
    """
    transport = None if follows else _direct(flags, environ)
    if transport is None:
        transport = await _transport(flags, environ)
    client = Client(transport)
    try:
        yield client
    except TransportError as error:
        raise failure(f"no cluster: nobody answers: {error}") from error
    except Unauthorized as error:
        raise failure(f"unauthorized: the cluster does not accept the credentials: {error}") from error
    finally:
        await client.close()


def _direct(flags: ClusterFlags, environ: Mapping[str, str]) -> Transport | None:
    sources = [
        Source(path, document)
        for path in kubeconfig_paths(flags, environ)
        if path.exists()
        for document in _documents(path)
    ]
    return stdlib_transport(sources, flags.context, environ, USER_AGENT)


async def _transport(flags: ClusterFlags, environ: Mapping[str, str]) -> Transport:
    from modelinfer_controller.kube.aiohttp_transport import connect
    from modelinfer_controller.kube.config import ConfigError, is_in_cluster

    quiet()
    is_named = flags.kubeconfig is not None or flags.context is not None or "KUBECONFIG" in environ
    try:
        return await connect(
            environ=environ,
            clock=SystemClock(),
            kubeconfig=flags.kubeconfig,
            context=flags.context,
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
        where = f"in namespace {namespace}" if namespace and resource.namespaced else "in the whole cluster"
        told = f"forbidden: you need the verb {verb!r} on {str(resource)!r} {where}"
        raise failure(f"{told}; the server says: {error}") from error
    except Conflict as error:
        raise failure(f"it has changed meanwhile: try again ({error})") from error
    except Unauthorized:
        raise
    except ApiError as error:
        raise failure(f"cannot {verb} {resource}: {error}") from error


def quiet() -> None:
    """The libraries' own logging off: what matters is told in one line."""
    import structlog

    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
