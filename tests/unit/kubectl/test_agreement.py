"""In every situation, text, JSON and exit codes of all verbs agree with each other and with the conditions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import pytest
from serving import Done, Verbs, served
from situations import SITUATIONS

from modelinfer_controller.api.status import ModelInfer

COMMANDS: Mapping[str, tuple[str, ...]] = {
    "tree": ("tree", "qwen"),
    "explain": ("explain", "qwen"),
    "plan": ("plan", "qwen"),
    "rollout": ("rollout", "status", "qwen", "--watch=false"),
    "status": ("status",),
    "history": ("rollout", "history", "qwen"),
}
WELL = ("Complete", "Progressing")


class Told(NamedTuple):
    """What one cluster's verbs say. as_text and as_json: by verb."""

    stored: ModelInfer
    as_text: Mapping[str, Done]
    as_json: Mapping[str, Done]

    def document(self, verb: str) -> Any:
        return self.as_json[verb].document

    def condition(self, kind: str) -> str:
        return next(one.status for one in self.stored.status.conditions if one.type == kind)

    @property
    def is_seen(self) -> bool:
        return self.stored.status.observed_generation >= self.stored.metadata.generation


@pytest.fixture(scope="module", params=SITUATIONS)
def told(request: pytest.FixtureRequest) -> Iterator[Told]:
    cluster = SITUATIONS[request.param]()
    with served(cluster) as url:
        verbs = Verbs(url)
        as_text = {verb: verbs(*command) for verb, command in COMMANDS.items()}
        as_json = {verb: verbs(*command, "--output=json") for verb, command in COMMANDS.items()}
    return Told(cluster.stored, as_text, as_json)


def squeezed(text: str) -> str:
    """Without what a line's end may come between."""
    return "".join(text.split())


def test_exit_codes_do_not_depend_on_the_output_format(told: Told) -> None:
    assert {verb: done.code for verb, done in told.as_text.items()} == {
        verb: done.code for verb, done in told.as_json.items()
    }
    assert {verb: done.err for verb, done in told.as_text.items()} == {
        verb: done.err for verb, done in told.as_json.items()
    }
    for verb in ("tree", "explain", "status", "history"):
        assert told.as_text[verb].code == 0, verb


def test_a_verb_that_fails_says_so_in_one_line(told: Told) -> None:
    for verb, done in told.as_text.items():
        is_refused = done.code == 1 and (verb == "rollout" or not done.out)
        assert done.err.count("\n") == is_refused, verb


def test_all_verbs_count_the_same_groups(told: Told) -> None:
    explained, tree, rollout = told.document("explain"), told.document("tree"), told.document("rollout")
    (entry,) = told.document("status")["items"]
    counts = {
        "explain": (explained["availableGroups"], explained["replicas"]),
        "tree": (tree["availableGroups"], tree["replicas"]),
        "rollout": (rollout["available"], rollout["replicas"]),
        "status": (entry["availableGroups"], entry["replicas"]),
    }
    assert len(set(counts.values())) == 1, counts
    available, replicas = counts["explain"]
    if told.is_seen:
        assert available == told.stored.status.available_replicas
        assert (available == replicas) == (told.condition("Available") == "True") or not replicas
    assert f"{available} of {replicas} groups available" in told.as_text["tree"].out
    assert f"{available}/{replicas}" in told.as_text["status"].out
    assert len(explained["groups"]) == replicas - available


def test_all_verbs_give_a_group_the_same_reason(told: Told) -> None:
    states = {group["ordinal"]: group["state"] for group in told.document("tree")["groups"]}
    explained = told.document("explain")["groups"]
    for group in explained:
        assert states[group["ordinal"]] in (group["reason"], "Replacing"), group["ordinal"]
        assert squeezed(group["message"]) in squeezed(told.as_text["explain"].out)
        assert group["reason"] in told.as_text["tree"].out
        assert group["next"] or told.document("explain")["remarks"], f"group {group['ordinal']}: and then?"
    if explained and told.is_seen:
        first = next(one for one in told.stored.status.conditions if one.type == "Available")
        assert first.reason == explained[0]["reason"]


def test_the_fleet_and_the_rollout_say_what_explain_says(told: Told) -> None:
    (entry,) = told.document("status")["items"]
    explained, rollout = told.document("explain"), told.document("rollout")
    assert entry["isWell"] == explained["isWell"]
    assert entry["state"] == rollout["state"]
    assert entry["reason"] or entry["isWell"]
    assert not entry["isWell"] or entry["reason"] in ("", "Paused", "Suspended")
    assert entry["reason"] in told.as_text["status"].out
    for told_of in (entry, rollout):
        assert not told_of["message"] or told_of["reason"]
    if rollout["reason"]:
        assert (entry["reason"], entry["message"]) == (rollout["reason"], rollout["message"])
        assert squeezed(rollout["message"]) in squeezed(told.as_text["rollout"].out)


def test_a_rollout_that_needs_somebody_fails(told: Told) -> None:
    rollout, done = told.document("rollout"), told.as_text["rollout"]
    assert done.code == (rollout["state"] not in WELL)
    assert rollout["isDone"] == (rollout["state"] == "Complete")
    assert rollout["isPaused"] == (rollout["state"] == "Paused")
    if done.code:
        assert rollout["reason"]
        assert rollout["seconds"] is None or rollout["state"] == "Stuck"
    if rollout["isDone"]:
        assert not rollout["reason"]
        assert told.is_seen
    stalled = [one for one in told.stored.status.conditions if one.type == "Stalled" and one.status == "True"]
    assert not stalled or done.code == 1


def test_what_concerns_the_whole_is_said_by_every_verb_that_shows_it(told: Told) -> None:
    remarks = told.document("explain")["remarks"]
    assert told.document("tree")["remarks"] == remarks
    for remark in remarks:
        for verb in ("tree", "explain"):
            assert squeezed(remark) in squeezed(told.as_text[verb].out), verb


def test_a_plan_has_nothing_to_do_only_where_nothing_is_the_matter(told: Told) -> None:
    done = told.as_text["plan"]
    if not told.as_json["plan"].out:  # an invalid spec: there is no plan
        assert done.code == 1
        assert "invalid" in done.err or "refused" in done.err
        return
    plan, explained = told.document("plan"), told.document("explain")
    assert done.code == (2 if plan["restarts"] else 1 if plan["obstacle"] else 0)
    assert plan["availableNow"] == explained["availableGroups"]
    assert plan["restarts"] == bool(plan["restarted"])
    assert squeezed(plan["obstacle"]) in squeezed(done.out)
    if done.code == 0 and not plan["steps"]:
        is_complete = plan["availableNow"] >= plan["replicas"]
        assert ("nothing to do\n" if is_complete else "nothing to do but wait") in done.out
    if plan["steps"] or plan["obstacle"]:
        assert "nothing to do\n" not in done.out


def test_well_is_said_where_it_is_well_alone(told: Told) -> None:
    explained = told.document("explain")
    claims = any(words in told.as_text["explain"].out for words in ("groups are available at", "are requested"))
    if explained["isWell"]:
        assert claims or "not yet at" in told.as_text["explain"].out
    if claims:
        assert explained["isWell"] or explained["remarks"] or explained["waiting"] or explained["otherNext"]
