"""Who may scrape over TLS, as the API server's reviews say."""

import asyncio
import json
from collections import Counter
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from modelinfer_controller.app.scrape_authorization import MAX_REVIEWS, ScrapeAuthorizer, Verdict
from modelinfer_controller.kube.client import Client
from modelinfer_controller.kube.transport import Request, Response, StreamResponse, TransportError

SCRAPER = {"username": "prometheus", "uid": "1", "groups": ["monitoring"], "extra": {"pod": ["p-0"]}}
GUEST = {"username": "guest"}


class Reviews:
    """Knows tokens of two users, of whom the one in the group `monitoring` may scrape."""

    def __init__(self) -> None:
        self.user_by_token: dict[str, dict[str, Any]] = {"scraper": SCRAPER, "guest": GUEST}
        self.is_up = True
        self.asked: Counter[str] = Counter()
        self.running = self.most_running = 0

    async def request(self, request: Request) -> Response:
        assert request.body is not None
        body = json.loads(request.body)
        self.asked[body["kind"]] += 1
        self.running += 1
        self.most_running = max(self.running, self.most_running)
        await asyncio.sleep(0)
        self.running -= 1
        if not self.is_up:
            raise TransportError("refused")
        return Response(201, json.dumps({"status": self._review(body["kind"], body["spec"])}).encode())

    def _review(self, kind: str, spec: dict[str, Any]) -> dict[str, Any]:
        if kind == "TokenReview":
            user = self.user_by_token.get(spec["token"])
            return {"authenticated": True, "user": user} if user else {"authenticated": False, "error": "unknown"}
        asked = spec["nonResourceAttributes"] == {"path": "/metrics", "verb": "get"}
        return {"allowed": asked and "monitoring" in spec["groups"]}

    def stream(self, request: Request) -> AbstractAsyncContextManager[StreamResponse]:
        raise NotImplementedError

    async def close(self) -> None: ...


@pytest.mark.parametrize(
    ("header", "verdict"),
    [
        ("Bearer scraper", Verdict.ALLOWED),
        ("bearer scraper", Verdict.ALLOWED),
        ("Bearer guest", Verdict.FORBIDDEN),
        ("Bearer nobody", Verdict.UNAUTHENTICATED),
        ("Bearer ", Verdict.UNAUTHENTICATED),
        ("Basic scraper", Verdict.UNAUTHENTICATED),
        ("", Verdict.UNAUTHENTICATED),
    ],
)
async def test_whom_the_api_server_lets_may_scrape(header: str, verdict: Verdict) -> None:
    assert await ScrapeAuthorizer(Client(Reviews())).verdict(header) is verdict


async def test_an_api_server_that_does_not_answer_lets_nobody_in_and_is_asked_again() -> None:
    reviews = Reviews()
    authorizer = ScrapeAuthorizer(Client(reviews))
    reviews.is_up = False
    assert await authorizer.verdict("Bearer scraper") is Verdict.UNKNOWN
    reviews.is_up = True
    assert await authorizer.verdict("Bearer scraper") is Verdict.ALLOWED


async def test_a_token_is_reviewed_once_a_minute() -> None:
    reviews = Reviews()
    authorizer = ScrapeAuthorizer(Client(reviews))
    for _ in range(5):
        assert await authorizer.verdict("Bearer scraper") is Verdict.ALLOWED
    assert reviews.asked == {"TokenReview": 1, "SubjectAccessReview": 1}


async def test_strangers_do_not_make_the_controller_ask_more_at_the_same_time() -> None:
    reviews = Reviews()
    authorizer = ScrapeAuthorizer(Client(reviews))
    verdicts = await asyncio.gather(*(authorizer.verdict(f"Bearer {number}") for number in range(50)))
    assert set(verdicts) == {Verdict.UNAUTHENTICATED}
    assert reviews.most_running <= MAX_REVIEWS
