"""Groups that are not available, counted by reason."""

from modelinfer_controller.api.status import ApiFailure
from modelinfer_controller.planning.conditions import Facts
from modelinfer_controller.planning.unavailable import unavailable_by_reason
from planning.world import World, a_role, a_spec, pod_name


def counted(world: World, failures: dict[int | None, ApiFailure] | None = None) -> dict[str, int]:
    return dict(unavailable_by_reason(Facts(world.decide(), failures or {})))


def test_each_group_counts_for_its_first_cause() -> None:
    world = World(a_spec(4, recoveryPolicy="None"))
    world.settle()
    for group in (0, 1):
        world.unready(pod_name(group))
    world.vanish(pod_name(2))
    assert counted(world) == {"PodsNotReady": 2, "CreatingPods": 1}


def test_a_hundred_thousand_groups_that_never_were_share_a_reason() -> None:
    world = World(a_spec(100_000))
    found = counted(world)
    assert sum(found.values()) == 100_000
    assert found.keys() == {"CreatingPods"}


def test_what_the_server_refuses_is_the_reason() -> None:
    world = World(a_spec(2, a_role()))
    refused = ApiFailure("QuotaExceeded", "exceeded quota: pods")
    assert counted(world, {None: refused}) == {"QuotaExceeded": 2}


def test_none_is_missing_where_all_are_available() -> None:
    world = World(a_spec(2))
    world.settle()
    assert counted(world) == {}
