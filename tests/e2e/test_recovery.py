"""What becomes of an instance whose containers really end: by signals, exit codes, memory limits, probes."""

from __future__ import annotations

import itertools
import json
from datetime import datetime

import pytest
from models import model
from plugin import Plugin
from real_user import RealUser, restarts
from watched import Object
from workloads import PORT, container, role, template

SIDECAR_PORT = 8081
IGNORE = "modelinfer.volcano.sh/ignore-restarts-of"


def ends(user: RealUser, pod: str) -> list[tuple[int, str]]:
    """How the containers of the pods of this name have ended, as their kubelets said it: exit code and reason."""
    seen = []
    for change in user.watch("pods").changes:
        if change.name == pod:
            status = change.object["status"]
            for each in status.get("initContainerStatuses", []) + status.get("containerStatuses", []):
                for state in (each["state"], each["lastState"]):
                    if ended := state.get("terminated"):
                        seen.append((ended["exitCode"], ended["reason"]))
    return seen


ENDS = {
    "killed": (137, "Error"),
    "exit-code": (3, "Error"),
    "memory-limit": (137, "OOMKilled"),
    "liveness-probe": (137, "Error"),
}


@pytest.mark.parametrize("cause", ENDS)
def test_the_instance_of_a_container_that_ended_is_recreated(user: RealUser, cause: str) -> None:
    main = container(TERM_SECONDS="never")
    main["resources"] = {"limits": {"memory": "64Mi"}}
    main["livenessProbe"] = {"httpGet": {"path": "/alive", "port": PORT}, "periodSeconds": 1, "timeoutSeconds": 3}
    user.apply(model("mi", role(replicas=2, workers=1, pod=template(main))))
    user.wait_available("mi")
    before = user.uids_of("mi")
    victim = "mi-0-decode-1-1"
    match cause:
        case "killed":
            user.kill_containers(victim)
        case "exit-code":
            user.ask(victim, "/exit?code=3")
        case "memory-limit":
            user.ask(victim, "/oom")
        case "liveness-probe":
            user.ask(victim, "/wedge")
    user.wait_recreated("mi", before, {"mi-0-decode-1-0", "mi-0-decode-1-1"})
    assert ENDS[cause] in ends(user, victim)


def test_the_whole_group_is_recreated_where_the_policy_says_so(user: RealUser) -> None:
    roles = (role("prefill"), role("decode", workers=1))
    user.apply(model("mi", *roles, replicas=2, recoveryPolicy="InferGroupRecreate"))
    user.wait_available("mi")
    before = user.uids_of("mi")
    user.kill_containers("mi-1-decode-0-0")
    user.wait_recreated("mi", before, {"mi-1-prefill-0-0", "mi-1-decode-0-0", "mi-1-decode-0-1"})


def test_policy_none_leaves_restarts_to_the_kubelet_and_replaces_what_is_missing(user: RealUser) -> None:
    user.apply(model("mi", role(workers=1), recoveryPolicy="None"))
    user.wait_available("mi")
    before = user.uids_of("mi")
    user.kill_containers("mi-0-decode-0-1")
    # The entry pod's container loses its worker, and ends too.
    user.wait(lambda: all(restarts(pod) > 0 for pod in user.pods.values()), "the kubelets restarted both containers")
    user.wait_available("mi")
    assert user.uids_of("mi") == before
    user.delete_pods("mi-0-decode-0-1")
    user.wait_recreated("mi", before, {"mi-0-decode-0-1"})


def test_a_restart_within_the_grace_period_is_forgiven_and_a_longer_one_is_not(user: RealUser) -> None:
    user.apply(model("mi", role(pod=template()), template={"restartGracePeriodSeconds": 8}))
    user.wait_available("mi")
    before = user.uids_of("mi")
    user.kill_containers("mi-0-decode-0-0")
    user.wait(lambda: restarts(user.pods["mi-0-decode-0-0"]) == 1, "the kubelet restarted the container")
    user.wait_available("mi")
    assert user.uids_of("mi") == before
    # Once more, and the kubelet waits for 10 seconds before it restarts the container: longer than the grace period.
    user.kill_containers("mi-0-decode-0-0")
    user.wait_recreated("mi", before, {"mi-0-decode-0-0"})
    assert "CrashLoopBackOff" in waiting_reasons(user, before["mi-0-decode-0-0"])


def waiting_reasons(user: RealUser, uid: str) -> set[str]:
    """Why the containers of this pod have waited, as its kubelet said it."""
    objects = [change.object for change in user.watch("pods").changes if change.object["metadata"]["uid"] == uid]
    statuses = [each for pod in objects for each in pod["status"].get("containerStatuses", [])]
    return {each["state"]["waiting"]["reason"] for each in statuses if "waiting" in each["state"]}


def test_a_crash_loop_is_recreated_at_once_and_then_after_ten_seconds(user: RealUser) -> None:
    crashing = template(container("end", "3", "1s", ready=False))
    user.apply(model("recreated", role(pod=crashing)))
    user.apply(model("left-alone", role(pod=crashing), recoveryPolicy="None"))
    births = user.wait(lambda: three_births(user, "recreated-0-decode-0-0"), "recreated twice")
    first, second = ((after - before).total_seconds() for before, after in itertools.pairwise(births))
    assert first < 8
    assert second >= 10
    [kept] = user.uids_of("left-alone").items()
    user.wait(lambda: restarts(user.pods["left-alone-0-decode-0-0"]) >= 2, "the kubelet restarted it twice")
    assert user.uids_of("left-alone") == dict([kept])
    assert "CrashLoopBackOff" in waiting_reasons(user, kept[1])
    # Without a probe it is ready for the second that it runs, and the condition says so each time.
    user.wait(lambda: user.condition("recreated", "Available")["status"] == "False", "it is not available")


def three_births(user: RealUser, pod: str) -> list[datetime]:
    """When the pods of this name were created, once there were three."""
    added = [each.object for each in user.watch("pods").changes if each.name == pod and each.type == "ADDED"]
    born = [datetime.fromisoformat(each["metadata"]["creationTimestamp"]) for each in added]
    return born if len(born) >= 3 else []


@pytest.mark.parametrize(("code", "phase"), [(0, "Succeeded"), (5, "Failed")])
def test_a_pod_that_has_ended_is_recreated(user: RealUser, code: int, phase: str) -> None:
    user.apply(model("mi", role(pod=template(restartPolicy="Never"))))
    user.wait_available("mi")
    before = user.uids_of("mi")
    user.ask("mi-0-decode-0-0", f"/exit?code={code}")
    user.wait_recreated("mi", before, {"mi-0-decode-0-0"})
    phases = {change.object["status"].get("phase") for change in user.watch("pods").changes}
    assert phase in phases


def test_a_sidecar_that_died_counts_unless_the_template_says_that_it_does_not(user: RealUser) -> None:
    pod = template(sidecars=[container("idle", name="proxy", port=SIDECAR_PORT)])
    ignoring = {"metadata": {"annotations": {IGNORE: "proxy"}}, **pod}
    user.apply(model("strict", role(replicas=2, pod=pod)))
    user.apply(model("easy", role(pod=ignoring)))
    user.wait_available("strict")
    user.wait_available("easy")
    before, easy_before = user.uids_of("strict"), user.uids_of("easy")
    for victim in ("strict-0-decode-1-0", "easy-0-decode-0-0"):
        user.ask(victim, "/exit?code=1", port=SIDECAR_PORT)
    user.wait_recreated("strict", before, {"strict-0-decode-1-0"})
    assert (1, "Error") in ends(user, "strict-0-decode-1-0")
    user.wait(lambda: restarts(user.pods["easy-0-decode-0-0"]) == 1, "the kubelet restarted the side-car")
    user.wait_available("easy")
    assert user.uids_of("easy") == easy_before


def test_a_restart_that_a_resize_asked_for_recreates_nothing(user: RealUser) -> None:
    main = container()
    main["resources"] = {"requests": {"memory": "32Mi"}, "limits": {"memory": "64Mi"}}
    main["resizePolicy"] = [{"resourceName": "memory", "restartPolicy": "RestartContainer"}]
    user.apply(model("mi", role(replicas=2, pod=template(main))))
    user.wait_available("mi")
    before, resized = user.uids_of("mi"), "mi-0-decode-1-0"
    more = [{"op": "replace", "path": "/spec/containers/0/resources/limits/memory", "value": "96Mi"}]
    user.kubectl("patch", "pod", resized, "--subresource=resize", "--type=json", f"--patch={json.dumps(more)}")
    user.wait(lambda: restarts(user.pods[resized]) == 1, "the kubelet restarted the container")
    user.wait(lambda: memory_limit(user.pods[resized]) == "96Mi", "the container has what it was resized to")
    user.wait_available("mi")
    assert user.uids_of("mi") == before
    # A restart that nobody asked for still counts.
    user.kill_containers(resized)
    user.wait_recreated("mi", before, {resized})


def memory_limit(pod: Object) -> str | None:
    """What its container runs with, as the kubelet says."""
    [status] = pod["status"]["containerStatuses"]
    return dict(status.get("resources", {}).get("limits", {})).get("memory")


def test_a_readiness_lost_makes_the_group_unavailable_and_nothing_more(user: RealUser) -> None:
    user.apply(model("mi", role(workers=1)))
    user.wait_available("mi")
    before = user.uids_of("mi")
    user.ask("mi-0-decode-0-1", "/unready")
    user.wait(lambda: user.condition("mi", "Available").get("status") == "False", "unavailable")
    assert user.status("mi").get("availableReplicas", 0) == 0
    user.ask("mi-0-decode-0-1", "/recover")
    user.wait_available("mi")
    assert user.uids_of("mi") == before
    assert [restarts(pod) for pod in user.pods.values()] == [0, 0]


def test_logs_of_containers_that_run_and_of_those_that_have_ended(user: RealUser) -> None:
    """Here, since the logs of ended containers need some that restart."""
    plugin = Plugin(user.control_plane.kubeconfig, user.namespace)
    user.apply(model("mi", role(workers=1), recoveryPolicy="None"))
    user.wait_available("mi")
    now = plugin.run("logs", "mi")
    assert (now.code, now.out) == (0, "[0/decode-0/0] all 2 have met\n"), now.err
    with plugin.following("logs", "mi", "--group=0", "--role=decode", "--follow") as logs:
        assert logs.stdout is not None
        assert logs.stdout.readline() == "[0/decode-0/0] all 2 have met\n"
        user.kill_containers("mi-0-decode-0-1")
        assert logs.communicate(timeout=60)[0].startswith("[0/decode-0/0] lost ")
        assert logs.returncode == 0
    user.wait(lambda: all(restarts(pod) > 0 for pod in user.pods.values()), "the kubelets restarted both containers")
    user.wait_available("mi")
    before = plugin.run("logs", "mi", "--previous", "--tail=1", "--prefix=false")
    assert before.code == 0, before.err
    assert before.out.startswith("lost ")
    nobody = plugin.run("logs", "mi", "--group=1")
    assert (nobody.code, nobody.out) == (1, "")
    assert nobody.err == "error: mi has no such pods: `kubectl modelinfer tree mi` shows them\n"
