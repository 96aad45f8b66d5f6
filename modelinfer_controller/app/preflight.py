"""What must be true of a cluster before anything starts; where it is not, one line says what to do."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from modelinfer_controller.api.core import KubeObject, WireStruct
from modelinfer_controller.api.names import ObjectName
from modelinfer_controller.app.scrape_authorization import SUBJECT_ACCESS_REVIEWS, TOKEN_REVIEWS
from modelinfer_controller.controller.resources import MODEL_INFERS
from modelinfer_controller.exits import Exit, ExitCode
from modelinfer_controller.kube.cache.discovered_informer import is_resource_served
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import ApiError, Forbidden, Unauthorized
from modelinfer_controller.kube.lease import LEASES
from modelinfer_controller.kube.resource import CONTROLLER_REVISIONS, PODS, SERVICES, Resource
from modelinfer_controller.kube.transport import TransportError

INSTALL_CRD = "kubectl apply -f manifests/crd"
INSTALL_RBAC = "kubectl apply -k manifests/rbac"
INSTALL_SECURE_METRICS = "kubectl apply -f manifests/components/secure-metrics/rbac.yaml"
MAX_REFUSALS_NAMED = 6

WATCH = ("list", "watch")
WATCH_AND_WRITE = ("get", "list", "watch", "create", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Permission:
    """One verb on one resource, in one namespace or, for None, in all; on one object where there is a name."""

    verb: str
    group: str
    resource: str
    subresource: str
    namespace: str | None
    name: str = ""

    def __str__(self) -> str:
        name = f"{self.resource}/{self.subresource}" if self.subresource else self.resource
        where = f"in namespace {self.namespace}" if self.namespace else "in all namespaces"
        return f"{self.verb} {name}{'.' + self.group if self.group else ''} {where}"


class AccessReviewStatus(WireStruct, frozen=True):
    """What the API server says of an AccessReview."""

    allowed: bool = False


class AccessReview(KubeObject, frozen=True):
    """A SelfSubjectAccessReview: whether the process may do something."""

    status: AccessReviewStatus = AccessReviewStatus()


ACCESS_REVIEWS = Resource(
    "authorization.k8s.io",
    "v1",
    "selfsubjectaccessreviews",
    "SelfSubjectAccessReview",
    AccessReview,
    namespaced=False,
)


async def check_cluster(
    client: Client, namespaces: Sequence[str], *, lease: ObjectName | None, authorizes_scrapes: bool = False
) -> None:
    """lease: None without leader election; authorizes_scrapes: whether metrics are served over TLS. Raises Exit."""
    try:
        await _require_crd(client)
        await _require_permissions(client, list(_needed(namespaces, lease)), INSTALL_RBAC)
        if authorizes_scrapes:
            reviews = [_permission("create", resource, None) for resource in (TOKEN_REVIEWS, SUBJECT_ACCESS_REVIEWS)]
            await _require_permissions(client, reviews, INSTALL_SECURE_METRICS)
    except TransportError as error:
        raise Exit(ExitCode.NO_CLUSTER, f"no cluster: nobody answers: {error}") from error
    except Unauthorized as error:
        raise Exit(ExitCode.FORBIDDEN, f"unauthorized: the cluster does not accept the credentials: {error}") from error
    except Forbidden as error:
        raise Exit(ExitCode.FORBIDDEN, f"forbidden: {error}") from error
    except ApiError as error:
        raise Exit(
            ExitCode.NO_CLUSTER, f"no cluster: the server answers with status {error.status}: {error}"
        ) from error


async def _require_crd(client: Client) -> None:
    if not await is_resource_served(client, MODEL_INFERS):
        raise crd_missing()


def crd_missing() -> Exit:
    return Exit(ExitCode.CRD_MISSING, f"the CRD {MODEL_INFERS} is not installed: `{INSTALL_CRD}` installs it")


def _needed(namespaces: Sequence[str], lease: ObjectName | None) -> Iterable[Permission]:
    """PodGroups are not among it: without them everything works but gangs, and a condition names what is missing."""
    for namespace in namespaces or (None,):
        yield from (_permission(verb, MODEL_INFERS, namespace) for verb in WATCH)
        yield _permission("patch", MODEL_INFERS, namespace, "status")
        written: tuple[Resource[Any], ...] = (PODS, SERVICES, CONTROLLER_REVISIONS)
        for resource in written:
            yield from (_permission(verb, resource, namespace) for verb in WATCH_AND_WRITE)
    if lease is not None:
        yield _permission("create", LEASES, lease.namespace)
        yield from (_permission(verb, LEASES, lease.namespace, name=lease.name) for verb in ("get", "update"))


def _permission(
    verb: str, resource: Resource[Any], namespace: str | None, subresource: str = "", name: str = ""
) -> Permission:
    return Permission(verb, resource.group, resource.plural, subresource, namespace, name)


async def _require_permissions(client: Client, needed: Sequence[Permission], granted_by: str) -> None:
    """granted_by: the command that grants them. Raises Exit."""
    answers = await asyncio.gather(*(_is_allowed(client, permission) for permission in needed))
    refused = [str(permission) for permission, allowed in zip(needed, answers, strict=True) if not allowed]
    if refused:
        more = f" and {len(refused) - MAX_REFUSALS_NAMED} more" if len(refused) > MAX_REFUSALS_NAMED else ""
        named = ", ".join(refused[:MAX_REFUSALS_NAMED])
        raise Exit(ExitCode.FORBIDDEN, f"forbidden: may not {named}{more}: `{granted_by}` grants what is needed")


async def _is_allowed(client: Client, permission: Permission) -> bool:
    attributes = {
        "verb": permission.verb,
        "group": permission.group,
        "resource": permission.resource,
        "subresource": permission.subresource,
        "namespace": permission.namespace or "",
        "name": permission.name,
    }
    body = {
        "apiVersion": ACCESS_REVIEWS.api_version,
        "kind": ACCESS_REVIEWS.kind,
        "spec": {"resourceAttributes": attributes},
    }
    return (await client.create(ACCESS_REVIEWS, None, body)).status.allowed
