"""Whatever the API server answers, a verb ends with one line that says what is wrong, and what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator

import pytest
from serving import Answer, Verbs, answering, served
from situations import SITUATIONS

from modelinfer_controller.kubectl.render.screen import silence_lines
from modelinfer_controller.kubectl.render.terminal import Terminal

ONCE = (
    ("status",), ("tree", "qwen"), ("explain", "qwen"), ("plan", "qwen"), ("events", "qwen"), ("logs", "qwen"),
    ("rollout", "status", "qwen", "--watch=false"), ("rollout", "history", "qwen"), ("rollout", "pause", "qwen"),
    ("recreate", "qwen", "--group=0"), ("bundle", "qwen"),
)  # fmt: skip
FOLLOWING = (
    ("status", "-w"), ("top",), ("tree", "qwen", "-w"), ("explain", "qwen", "-w"), ("rollout", "status", "qwen"),
    ("dashboard",),
)  # fmt: skip
VERB = pytest.mark.parametrize("verb", [*ONCE, *FOLLOWING], ids=" ".join)


def refusal(code: int, reason: str, message: str) -> Answer:
    return code, json.dumps({"kind": "Status", "reason": reason, "code": code, "message": message}).encode()


def no_rights(path: str) -> Answer:
    return refusal(403, "Forbidden", "the user may not")


def no_kind(path: str) -> Answer:
    return (404, b"404 page not found\n") if "workload.volcano.sh" in path else (200, b'{"metadata":{},"items":[]}')


def no_storage(path: str) -> Answer:
    return refusal(500, "InternalError", "etcdserver: request timed out")


def no_credentials(path: str) -> Answer:
    return refusal(401, "Unauthorized", "Unauthorized")


def no_api_server(path: str) -> Answer:
    return 200, b"<html>log in</html>"


FAILURES: dict[Callable[[str], Answer], str] = {
    no_rights: "forbidden: you need the verb ",
    no_kind: "the CRD modelinfers.workload.volcano.sh is not installed: `kubectl apply -f manifests/crd` installs it",
    no_storage: "etcdserver: request timed out",
    no_credentials: "unauthorized: the cluster does not accept the credentials",
    no_api_server: "no cluster: what answers is no Kubernetes API server",
}


@pytest.fixture(scope="module", params=FAILURES, ids=lambda failure: failure.__name__)
def failing(request: pytest.FixtureRequest) -> Iterator[tuple[str, str]]:
    with answering(request.param) as url:
        yield url, FAILURES[request.param]


@VERB
def test_every_verb_ends_with_one_line(failing: tuple[str, str], verb: tuple[str, ...]) -> None:
    url, message = failing
    done = Verbs(url)(*verb)
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert message in done.err


def test_a_plan_of_a_new_manifest_needs_the_kind() -> None:
    with answering(no_kind) as url:
        done = Verbs(url)("plan", "--filename=hack/demo/modelinfer.yaml")
    assert (done.code, done.out) == (1, "")
    assert FAILURES[no_kind] in done.err


@pytest.mark.parametrize("verb", FOLLOWING[:-1], ids=" ".join)
def test_a_verb_that_follows_ends_where_pods_may_not_be_read(verb: tuple[str, ...]) -> None:
    """It would wait for ever for its first list."""
    with served(SITUATIONS["well"](), refused={"/api/v1/namespaces/models/pods": no_rights("")[1].decode()}) as url:
        done = Verbs(url)(*verb)
    assert done.code == 1
    assert done.err == "error: forbidden: you need the verb 'list' on 'pods' in namespace models\n"


def test_old_news_are_not_taken_for_new_ones() -> None:
    assert silence_lines(1.0, Terminal(80)) == []
    lines = silence_lines(75.0, Terminal(40))
    assert " ".join(lines) == "the API server has not answered for 75s: this is the last that it said"
    assert max(map(len, lines)) <= 40
