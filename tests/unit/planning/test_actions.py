"""What an action is about, how it is said, and which others wait for it."""

import pytest

from modelinfer_controller.planning.actions import (
    Action,
    CreatePod,
    CreatePodGroup,
    CreateRevision,
    CreateService,
    DeletePod,
    DeletePodGroup,
    DeleteRevision,
    DeleteService,
    PatchPodGroup,
    PatchPodMetadata,
    PatchService,
    RenumberRevision,
    depends_on,
    describe,
    group_of,
    name_of,
)
from modelinfer_controller.planning.observed import PodGroupKey
from modelinfer_controller.planning.pod_identity import PodIdentity
from modelinfer_controller.planning.revision import GangScheduler, Revision, RevisionTemplate

ENTRY, WORKER, OTHER = PodIdentity(3, "decode", 0, 0), PodIdentity(3, "decode", 0, 1), PodIdentity(3, "decode", 1, 0)
REVISION = Revision("m-abc", 1, "{}", RevisionTemplate(roles=()))
KEY = PodGroupKey(GangScheduler.VOLCANO, "m-3")
ENTRY_POD = CreatePod(ENTRY, "m-3-decode-0-0", REVISION, 0)
WORKER_POD = CreatePod(WORKER, "m-3-decode-0-1", REVISION, 0)
OTHER_POD = CreatePod(OTHER, "m-3-decode-1-0", REVISION, 0)
SERVICE = CreateService(3, "m-3-decode-0-0", {})
DELETED_POD = DeletePod(ENTRY, "m-3-decode-0-0", "u", "is replaced")

SAID: dict[str, tuple[Action, int | None, str]] = {
    "create ControllerRevision m-abc": (CreateRevision(REVISION), None, "m-abc"),
    "renumber ControllerRevision m-abc": (RenumberRevision("m-abc", "u", 4), None, "m-abc"),
    "delete ControllerRevision m-abc": (DeleteRevision("m-abc", "u"), None, "m-abc"),
    "create PodGroup m-3": (CreatePodGroup(3, KEY, {}), 3, "m-3"),
    "patch PodGroup m-3": (PatchPodGroup(3, KEY, "u", {}), 3, "m-3"),
    "delete PodGroup m-3": (DeletePodGroup(3, KEY, "u"), 3, "m-3"),
    "create Service m-3-decode-0-0": (SERVICE, 3, "m-3-decode-0-0"),
    "patch Service m-3-decode-0-0": (PatchService(3, "m-3-decode-0-0", "u", {}), 3, "m-3-decode-0-0"),
    "delete Service m-3-decode-0-0": (DeleteService(3, "m-3-decode-0-0", "u"), 3, "m-3-decode-0-0"),
    "create pod m-3-decode-0-0": (ENTRY_POD, 3, "m-3-decode-0-0"),
    "patch pod m-3-decode-0-0": (PatchPodMetadata(ENTRY, "m-3-decode-0-0", "u", {}, {}), 3, "m-3-decode-0-0"),
    "delete pod m-3-decode-0-0": (DELETED_POD, 3, "m-3-decode-0-0"),
}


@pytest.mark.parametrize("text", SAID)
def test_an_action_says_what_it_does_to_which_object_of_which_group(text: str) -> None:
    action, group, name = SAID[text]
    assert (describe(action), group_of(action), name_of(action)) == (text, group, name)


@pytest.mark.parametrize(
    ("action", "failed", "waits"),
    [
        (ENTRY_POD, CreateRevision(REVISION), True),
        (ENTRY_POD, CreateRevision(Revision("m-def", 1, "{}", RevisionTemplate(roles=()))), False),
        (ENTRY_POD, CreatePodGroup(3, KEY, {}), True),
        (ENTRY_POD, DeletePodGroup(3, KEY, "u"), True),
        (ENTRY_POD, PatchPodGroup(3, KEY, "u", {}), False),
        (ENTRY_POD, SERVICE, True),
        (WORKER_POD, SERVICE, True),
        (OTHER_POD, SERVICE, False),
        (ENTRY_POD, PatchService(3, "m-3-decode-0-0", "u", {}), False),
        (WORKER_POD, ENTRY_POD, True),  # of a later step: a follower
        (ENTRY_POD, DELETED_POD, False),
        (DeleteService(3, "m-3-decode-0-0", "u"), DELETED_POD, True),
        (DeletePodGroup(3, KEY, "u"), DELETED_POD, True),
        (SERVICE, CreatePodGroup(3, KEY, {}), False),
    ],
    ids=lambda value: describe(value) if not isinstance(value, bool) else "waits" if value else "goes on",
)
def test_an_action_waits_for_what_it_builds_on_and_for_nothing_else(
    action: Action, failed: Action, waits: bool
) -> None:
    assert depends_on(action, failed) is waits
