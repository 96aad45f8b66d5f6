"""Instances of several pods that find each other by name and serve, also while they are updated."""

from __future__ import annotations

import json
import time

from models import DOMAIN, model, update
from real_user import RealUser
from workloads import PORT, container, front, role, template


def test_members_meet_at_the_entry_address_and_serve(user: RealUser) -> None:
    began = time.monotonic()
    user.apply(model("mi", role("prefill"), role("decode", replicas=2, workers=1), replicas=2))
    user.wait_available("mi")
    print(f"2 groups of 5 pods available after {time.monotonic() - began:.1f} s")
    # An instance serves once all of its members have met, which takes the Service of the entry pod and cluster DNS.
    entries = [name for name, pod in user.pods.items() if f"{DOMAIN}/entry" in pod["metadata"]["labels"]]
    assert len(entries) == 6
    assert {user.ask(entry) for entry in entries} == {(200, "1")}
    assert "all 2 have met" in user.kubectl("logs", "mi-0-decode-1-0")


def test_an_update_loses_no_request(user: RealUser) -> None:
    def version(message: str) -> object:
        # Who is told to end goes on serving while the news travels to the Service's other end.
        pod = template(container(message=message, TERM_SECONDS="4"), grace=10)
        return model("mi", role(workers=1, pod=pod), replicas=2, **update(maxUnavailable=1))

    user.apply(version("1"))
    user.kubectl("apply", "-f-", input=json.dumps(front("mi")))
    user.wait_available("mi")
    user.start_asking("asker", f"http://front.{user.namespace}:{PORT}/")
    before = user.uids_of("mi")
    began = time.monotonic()
    user.apply(version("2"))
    user.wait_available("mi")
    counts = user.counts("asker")
    print(f"2 groups of 2 pods updated in {time.monotonic() - began:.1f} s; requests: {counts}")
    assert before.keys() == user.uids_of("mi").keys()
    assert not before.items() & user.uids_of("mi").items()
    assert user.ask("mi-0-decode-0-0") == user.ask("mi-1-decode-0-0") == (200, "2")
    assert counts["failed"] == 0, counts


def test_an_update_that_drains_loses_no_request_of_pods_that_end_at_once(user: RealUser) -> None:
    """The pods have no grace of their own: the label that they lose first is all that keeps requests away from them."""

    def version(message: str) -> object:
        pod = template(container(message=message), grace=1)
        drained = {"drain": {"timeoutSeconds": 5}}
        return model("mi", role(workers=1, pod=pod), replicas=2, template=drained, **update(maxUnavailable=1))

    user.apply(version("1"))
    user.kubectl("apply", "-f-", input=json.dumps(front("mi", serving="true")))
    user.wait_available("mi")
    user.start_asking("asker", f"http://front.{user.namespace}:{PORT}/")
    before = user.uids_of("mi")
    began = time.monotonic()
    user.apply(version("2"))
    user.wait_available("mi", timeout=90)
    counts = user.counts("asker")
    print(f"2 groups of 2 pods drained and updated in {time.monotonic() - began:.1f} s; requests: {counts}")
    assert not before.items() & user.uids_of("mi").items()
    assert user.ask("mi-0-decode-0-0") == user.ask("mi-1-decode-0-0") == (200, "2")
    assert counts["failed"] == 0, counts
