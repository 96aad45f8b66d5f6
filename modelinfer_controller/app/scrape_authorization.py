"""Who may scrape: the API server says who sent a token, and whether its RBAC lets them get /metrics.

source: controller-runtime, pkg/metrics/filters: a TokenReview, then a SubjectAccessReview of the path.
"""

import asyncio
import hashlib
from dataclasses import dataclass
from enum import IntEnum

import structlog

from modelinfer_controller.api.core import KubeObject, WireStruct
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.errors import ApiError
from modelinfer_controller.kube.resource import Resource
from modelinfer_controller.kube.transport import TransportError

log: structlog.stdlib.BoundLogger = structlog.get_logger(__name__)

PATH = "/metrics"
ALLOWED_FOR, DENIED_FOR = 60.0, 10.0  # seconds for which an answer holds
MAX_REMEMBERED = 1000
MAX_REVIEWS = 8  # at the same time: strangers cannot make the controller ask more


class Verdict(IntEnum):
    """The HTTP status of a scrape."""

    ALLOWED = 200
    UNAUTHENTICATED = 401
    FORBIDDEN = 403
    UNKNOWN = 503  # the API server gave no answer


class UserInfo(WireStruct, frozen=True):
    """Who a token belongs to."""

    username: str = ""
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, tuple[str, ...]] = {}


class TokenReviewStatus(WireStruct, frozen=True):
    """What the API server says of a token."""

    authenticated: bool = False
    user: UserInfo = UserInfo()


class TokenReview(KubeObject, frozen=True):
    """A question to the API server: whose token is this?"""

    status: TokenReviewStatus = TokenReviewStatus()


class SubjectAccessReviewStatus(WireStruct, frozen=True):
    """What the API server says of a SubjectAccessReview."""

    allowed: bool = False


class SubjectAccessReview(KubeObject, frozen=True):
    """A question to the API server: may this user do that?"""

    status: SubjectAccessReviewStatus = SubjectAccessReviewStatus()


TOKEN_REVIEWS = Resource("authentication.k8s.io", "v1", "tokenreviews", "TokenReview", TokenReview, namespaced=False)
SUBJECT_ACCESS_REVIEWS = Resource(
    "authorization.k8s.io", "v1", "subjectaccessreviews", "SubjectAccessReview", SubjectAccessReview, namespaced=False
)


@dataclass(frozen=True, slots=True)
class _Remembered:
    verdict: Verdict
    until: float


class ScrapeAuthorizer:
    """Asks the API server once for each token and minute. Keeps digests of tokens, and no token."""

    def __init__(self, client: Client) -> None:
        """client: one that may write without leading, since each replica is scraped."""
        self._client = client
        self._remembered: dict[bytes, _Remembered] = {}
        self._reviews = asyncio.Semaphore(MAX_REVIEWS)

    async def verdict(self, authorization: str) -> Verdict:
        """authorization: the header as it was sent, "" for none."""
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            return Verdict.UNAUTHENTICATED
        digest = hashlib.sha256(token.strip().encode()).digest()
        async with self._reviews:
            remembered = self._remembered.get(digest)
            if remembered is not None and remembered.until > asyncio.get_running_loop().time():
                return remembered.verdict
            verdict = await self._ask(token.strip())
        self._remember(digest, verdict)
        return verdict

    async def _ask(self, token: str) -> Verdict:
        try:
            user = await self._user_of(token)
            if user is None:
                return Verdict.UNAUTHENTICATED
            return Verdict.ALLOWED if await self._may_scrape(user) else Verdict.FORBIDDEN
        except (ApiError, TransportError) as error:
            log.warning("A scrape could not be authorized", error=str(error))
            return Verdict.UNKNOWN

    async def _user_of(self, token: str) -> UserInfo | None:
        body = {"apiVersion": TOKEN_REVIEWS.api_version, "kind": TOKEN_REVIEWS.kind, "spec": {"token": token}}
        status = (await self._client.create(TOKEN_REVIEWS, None, body)).status
        return status.user if status.authenticated else None

    async def _may_scrape(self, user: UserInfo) -> bool:
        spec = {
            "user": user.username,
            "uid": user.uid,
            "groups": list(user.groups),
            "extra": user.extra,
            "nonResourceAttributes": {"path": PATH, "verb": "get"},
        }
        reviews = SUBJECT_ACCESS_REVIEWS
        body = {"apiVersion": reviews.api_version, "kind": reviews.kind, "spec": spec}
        return (await self._client.create(reviews, None, body)).status.allowed

    def _remember(self, digest: bytes, verdict: Verdict) -> None:
        if verdict is Verdict.UNKNOWN:
            return
        now = asyncio.get_running_loop().time()
        if len(self._remembered) >= MAX_REMEMBERED:
            self._remembered = {key: one for key, one in self._remembered.items() if one.until > now}
        if len(self._remembered) < MAX_REMEMBERED:
            seconds = ALLOWED_FOR if verdict is Verdict.ALLOWED else DENIED_FOR
            self._remembered[digest] = _Remembered(verdict, now + seconds)
