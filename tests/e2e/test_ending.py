"""How pods end: hooks, grace periods, and evictions."""

from __future__ import annotations

import time

from models import model
from real_user import RealUser
from workloads import container, role, template


def incarnations(user: RealUser, pod: str) -> int:
    return sum(change.name == pod and change.type == "ADDED" for change in user.watch("pods").changes)


def test_a_pod_serves_until_its_hook_and_its_own_ending_are_done(user: RealUser) -> None:
    main = container(TERM_SECONDS="2")
    main["lifecycle"] = {"preStop": {"sleep": {"seconds": 2}}}
    user.apply(model("mi", role(pod=template(main, grace=20))))
    user.wait_available("mi")
    began = time.monotonic()
    user.patch("mi", {"replicas": 0})
    user.wait(lambda: "deletionTimestamp" in user.pods["mi-0-decode-0-0"]["metadata"], "terminating")
    assert user.ask("mi-0-decode-0-0") == (200, "1")
    user.wait(lambda: not user.pods, "gone")
    assert 4 <= time.monotonic() - began < 20
    user.wait(lambda: user.status("mi").get("replicas", 0) == 0, "no group left")


def test_a_pod_that_ignores_the_signal_is_killed_after_the_grace_period_and_recreated_once(user: RealUser) -> None:
    user.apply(model("mi", role(pod=template(container(TERM_SECONDS="never"), grace=4))))
    user.wait_available("mi")
    before = user.uids_of("mi")
    began = time.monotonic()
    user.delete_pods("mi-0-decode-0-0")
    user.wait_recreated("mi", before, {"mi-0-decode-0-0"})
    assert time.monotonic() - began >= 4
    # Its containers failed while it terminated. That is no failure of its successor.
    assert incarnations(user, "mi-0-decode-0-0") == 2


def test_the_instance_of_an_evicted_pod_is_recreated(user: RealUser) -> None:
    user.apply(model("mi", role("prefill"), role("decode", workers=1), replicas=2))
    user.wait_available("mi")
    before = user.uids_of("mi")
    user.evict("mi-1-decode-0-1")
    user.wait_recreated("mi", before, {"mi-1-decode-0-0", "mi-1-decode-0-1"})
