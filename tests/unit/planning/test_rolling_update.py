"""Rolling update: by ordinal, within the availability rule and the pace rule."""

import pytest

from modelinfer_controller.planning.actions import CreatePod, CreateRevision, DeletePod, depends_on
from planning.world import Spec, World, a_role, a_spec, pod_name


def rolling(replicas: int = 5, **kwargs: object) -> World:
    """A settled world whose template has just changed."""
    world = World(a_spec(replicas, **kwargs))  # type: ignore[arg-type]
    world.settle()
    world.edit(image="v2")
    return world


def taken_down(world: World) -> list[int]:
    """Reconcile once; which groups were taken down, in the order in which it happened."""
    done = world.reconcile()
    return list(dict.fromkeys(a.identity.group for a in done.actions if isinstance(a, DeletePod)))


def steps(world: World, limit: int = 60) -> list[list[int]]:
    """Until nothing moves: which groups went down in each step that took any down."""
    found = []
    for _ in range(limit):
        before = (world.status, dict(world.pods))
        if groups := taken_down(world):
            found.append(groups)
        world.kubelet()
        if before == (world.status, dict(world.pods)):
            break
    return found


def test_with_defaults_one_group_at_a_time_from_the_highest_ordinal() -> None:
    assert steps(rolling()) == [[4], [3], [2], [1], [0]]


def test_a_group_whose_rebuild_starts_now_is_not_counted_on() -> None:
    world = rolling(replicas=2)
    world.restart(pod_name(0))
    assert taken_down(world) == [0]  # it is replaced instead, and the healthy one stays


@pytest.mark.parametrize(
    ("unavailable", "expected"),
    [
        (2, [[4, 3], [2, 1], [0]]),
        ("40%", [[4, 3], [2, 1], [0]]),
        ("59%", [[4, 3], [2, 1], [0]]),  # rounds down
        ("19%", [[4], [3], [2], [1], [0]]),  # resolves to 0, as maxSurge does: counts as 1
        (7, [[4, 3, 2, 1, 0]]),
        ("100%", [[4, 3, 2, 1, 0]]),
    ],
)
def test_max_unavailable(unavailable: int | str, expected: list[list[int]]) -> None:
    assert steps(rolling(max_unavailable=unavailable)) == expected


@pytest.mark.parametrize(("surge", "extra"), [(1, 1), (2, 2), ("25%", 2), (9, 5)])
def test_max_surge_with_max_unavailable_0_keeps_all_replicas_available_at_every_instant(
    surge: int | str, extra: int
) -> None:
    world = rolling(max_unavailable=0, max_surge=surge)
    most = 0
    for _ in range(40):
        world.reconcile()
        ready = {name.split("-")[1] for name, pod in world.pods.items() if pod.is_ready}
        assert len(ready) >= 5
        most = max(most, len(world.groups()))
        world.kubelet()
    assert most == 5 + extra
    assert world.groups() == {ordinal: {"v2"} for ordinal in range(5)}


def test_surge_groups_get_their_services_and_leave_nothing_behind() -> None:
    world = World(a_spec(3, a_role(workers=1), max_surge=2))
    world.settle()
    world.edit(image="v2")
    seen: set[str] = set()
    for _ in range(20):
        world.reconcile()
        seen |= set(world.services)
        world.kubelet()
    assert {pod_name(3), pod_name(4)} <= seen
    assert set(world.services) == {pod_name(0), pod_name(1), pod_name(2)}
    assert list(world.groups()) == [0, 1, 2]


def test_surge_is_at_most_as_many_as_groups_remain_to_be_updated() -> None:
    world = rolling(5, max_surge=4, partition=4)
    for _ in range(10):
        world.reconcile()
        assert len(world.groups()) <= 6
        world.kubelet()
    assert world.groups() == {0: {"v1"}, 1: {"v1"}, 2: {"v1"}, 3: {"v1"}, 4: {"v2"}}


def test_update_in_progress_ends_when_the_extra_groups_are_gone() -> None:
    world = rolling(2, max_surge=1, max_unavailable=0)
    seen = []
    for _ in range(20):
        world.reconcile()
        seen.append((world.condition("UpdateInProgress").status, tuple(world.groups())))
        world.kubelet()
    began, ended = seen.index(("True", (0, 1, 2))), seen.index(("False", (0, 1)))
    assert began < ended
    assert {status for status, _ in seen[began:ended]} == {"True"}, "as long as an extra group is there, or is going"
    assert set(seen[ended:]) == {("False", (0, 1))}
    assert world.groups() == {0: {"v2"}, 1: {"v2"}}


@pytest.mark.parametrize("role", [a_role("renamed", 0), a_role("decode", 0, image="v2")], ids=lambda role: role["name"])
def test_a_revision_whose_groups_have_no_pods_is_rolled_out_by_surge_alone(role: Spec) -> None:
    world = World(a_spec(3, max_unavailable=0, max_surge=2))
    world.settle()
    world.edit(lambda spec: spec["template"].update(roles=[role]))
    world.settle()
    assert not world.pods
    assert world.status.current_revision == world.status.update_revision
    assert world.status.available_replicas == 3


def test_the_partition_holds_lower_ordinals_through_a_rollout_a_deleted_group_scaling_and_restarts() -> None:
    world = rolling(5, partition=2)
    world.settle()
    held = {0: {"v1"}, 1: {"v1"}, 2: {"v2"}, 3: {"v2"}, 4: {"v2"}}
    assert world.groups() == held
    for name in [name for name in world.pod_names() if name.startswith("m-0-")]:
        world.vanish(name)  # the whole group
    world.vanish(pod_name(1))
    world.settle()
    assert world.groups() == held
    world.edit(roles=[a_role("decode", 2, image="v2")])
    world.settle()
    assert world.groups() == held
    assert len(world.pods) == 10
    world.edit(replicas=1)
    world.settle()
    world.edit(replicas=5)
    world.settle()
    assert world.groups() == held, "an ordinal below the partition is made at the revision that is held"


def test_a_partition_at_or_above_replicas_holds_everything() -> None:
    for partition in (5, 9):
        world = rolling(5, partition=partition)
        world.settle()
        assert world.groups() == {ordinal: {"v1"} for ordinal in range(5)}
        assert world.condition("UpdateInProgress").reason == "HeldByPartition"


def test_lowering_the_partition_continues_and_raising_it_stops() -> None:
    world = rolling(5, partition=4)
    world.settle()
    world.edit(partition=0)
    assert taken_down(world) == [3]
    world.kubelet()
    world.edit(partition=2)
    world.settle()
    assert world.groups() == {0: {"v1"}, 1: {"v1"}, 2: {"v2"}, 3: {"v2"}, 4: {"v2"}}
    world.edit(partition=0)
    world.settle()
    assert world.groups() == {ordinal: {"v2"} for ordinal in range(5)}


def test_partition_with_surge_ends_with_exactly_the_ordinals() -> None:
    world = rolling(4, partition=2, max_surge=2, max_unavailable=0)
    world.settle()
    assert world.groups() == {0: {"v1"}, 1: {"v1"}, 2: {"v2"}, 3: {"v2"}}


def test_unavailable_groups_come_first() -> None:
    world = rolling(5)
    world.unready(pod_name(2))
    assert taken_down(world) == [2]


def test_all_old_groups_broken_the_fix_rolls_out() -> None:
    world = World(a_spec(4))
    world.bad_images.add("v1")
    world.settle()
    world.edit(image="v2")
    assert steps(world) == [[3], [2], [1], [0]]
    assert world.groups() == {ordinal: {"v2"} for ordinal in range(4)}


def test_a_bad_new_image_hurts_no_more_than_the_pace_rule_allows_and_the_next_good_one_goes_on_from_there() -> None:
    world = rolling(5, max_unavailable=2)
    world.bad_images.add("v2")
    for _ in range(20):
        world.reconcile()
        world.kubelet()
    assert world.groups() == {0: {"v1"}, 1: {"v1"}, 2: {"v1"}, 3: {"v2"}, 4: {"v2"}}
    assert world.status.available_replicas == 3
    assert "no such image" in world.condition("Available").message
    world.edit(image="v3")
    assert taken_down(world) == [4, 3], "what is broken goes first"
    world.kubelet()
    world.settle()
    assert world.groups() == {ordinal: {"v3"} for ordinal in range(5)}


def test_a_then_b_then_c_midway_b_is_drained_first() -> None:
    world = rolling(4)
    assert taken_down(world) == [3]
    world.kubelet()
    world.reconcile()
    world.edit(image="v3")
    assert taken_down(world) == [3]
    world.kubelet()
    assert steps(world) == [[2], [1], [0]]
    assert world.groups() == {ordinal: {"v3"} for ordinal in range(4)}


def test_back_to_a_midway_only_what_had_changed_changes_again() -> None:
    world = rolling(5)
    untouched = world.uids()
    for _ in range(4):
        world.reconcile()
        world.kubelet()
    assert world.groups()[4] == {"v2"}
    changed = {name for name, image in world.images.items() if image == "v2"}
    world.edit(image="v1")
    world.settle()
    assert world.groups() == {ordinal: {"v1"} for ordinal in range(5)}
    kept = {name: uid for name, uid in world.uids().items() if name not in changed}
    assert kept == {name: uid for name, uid in untouched.items() if name not in changed}
    assert len(world.revisions) == 2


@pytest.mark.parametrize("replicas", [0, 2, 7])
def test_scaled_midway_it_converges_to_the_newest_spec(replicas: int) -> None:
    world = rolling(5)
    world.reconcile()
    world.kubelet()
    world.reconcile()
    world.edit(replicas=replicas)
    world.settle()
    assert world.groups() == {ordinal: {"v2"} for ordinal in range(replicas)}


def test_groups_of_a_scale_up_are_made_at_once_and_count_for_the_pace_rule() -> None:
    world = rolling(3)
    world.edit(replicas=5)
    done = world.reconcile()
    assert {a.identity.group for a in done.actions if isinstance(a, CreatePod)} == {3, 4}
    assert not [a for a in done.actions if isinstance(a, DeletePod)]
    world.kubelet()
    assert taken_down(world) == [2]


@pytest.mark.parametrize(
    "roles",
    [
        [a_role("decode"), a_role("router")],  # added
        [a_role("prefill")],  # renamed
        [a_role("decode", workers=2)],  # workerReplicas
    ],
)
def test_a_role_added_renamed_or_resized_rolls(roles: list[dict[str, object]]) -> None:
    world = World(a_spec(3))
    world.settle()
    world.edit(roles=roles)
    assert len(steps(world)) == 3
    wanted = World(a_spec(3, *roles))
    wanted.settle()
    assert world.pod_names() == wanted.pod_names()
    assert set(world.services) == set(wanted.services)


def test_a_group_is_built_wholly_from_one_revision_however_often_a_write_fails() -> None:
    world = World(a_spec(3, a_role("decode", 2, workers=1)))
    world.settle()
    world.edit(image="v2")
    for attempt in range(40):
        world.reconcile(crash_after=attempt % 4)
        for images in world.groups().values():
            assert len(images) == 1
        if attempt % 3 == 0:
            world.kubelet()
    world.settle()
    assert world.groups() == {ordinal: {"v2"} for ordinal in range(3)}


def test_an_old_group_that_must_be_rebuilt_while_it_waits_is_rebuilt_at_its_own_revision() -> None:
    world = rolling(4)
    world.bad_images.add("v2")
    for _ in range(4):
        world.reconcile()
        world.kubelet()
    assert world.groups()[3] == {"v2"}, "it uses up the pace"
    world.vanish(pod_name(1))
    world.reconcile()
    world.kubelet()
    assert world.groups() == {0: {"v1"}, 1: {"v1"}, 2: {"v1"}, 3: {"v2"}}


def test_unless_the_two_rules_let_it_be_replaced_now() -> None:
    world = rolling(4)
    world.vanish(pod_name(1))
    world.reconcile()
    assert world.groups()[1] == {"v2"}


def test_the_revision_is_stored_before_the_first_pod_that_uses_it() -> None:
    world = World(a_spec(1))
    plan = world.plan()
    (create,) = plan.groups[0].actions
    assert isinstance(create, CreatePod)
    assert [action.revision for action in plan.revisions if isinstance(action, CreateRevision)] == [create.revision]
    assert depends_on(create, plan.revisions[0])


def test_status_counts_tell_about_the_rollout() -> None:
    world = rolling(4)
    first = world.status.current_revision
    world.reconcile()
    world.kubelet()
    world.reconcile()
    world.reconcile()
    status = world.status
    assert (status.current_revision, status.update_revision != first) == (first, True)
    assert (status.replicas, status.current_replicas, status.updated_replicas) == (4, 3, 1)
    assert status.available_replicas == 3
    assert world.condition("UpdateInProgress").status == "True"
    world.settle()
    assert world.status.current_revision == world.status.update_revision
    assert (world.status.current_replicas, world.status.updated_replicas) == (4, 4)


def test_an_available_group_is_taken_down_only_if_enough_stay_available() -> None:
    world = rolling(4, partition=1)
    world.unready(pod_name(0))  # held back, and not available
    assert taken_down(world) == []
    assert "3 groups are available and 3 must stay so (maxUnavailable)" in world.condition("UpdateInProgress").message
    world.start(pod_name(0))
    assert taken_down(world) == [3]


def test_an_extra_group_that_no_other_can_stand_in_for_stays_a_while() -> None:
    world = rolling(2, max_unavailable=0, max_surge=2)
    while set(world.groups()) != {0, 1, 2, 3} or not all(pod.is_ready for pod in world.pods.values()):
        world.reconcile()
        world.kubelet()
    world.unready(pod_name(2))
    assert taken_down(world) == [1], "0 and 3 stay available"
    world.kubelet()
    world.reconcile()
    world.start(pod_name(1))
    world.unready(pod_name(0))
    world.unready(pod_name(2))
    assert 3 not in taken_down(world), "1 and 3 are all that is available"
    world.settle()
    assert world.groups() == {0: {"v2"}, 1: {"v2"}}
