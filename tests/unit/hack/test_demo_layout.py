"""The demo's tree on terminals of any height: what moves is seen, what rests gives way."""

from datetime import UTC, datetime

import msgspec
import pytest
from demo.layout import fitted_lines

from modelinfer_controller.kubectl.model.tree import GroupNode, InstanceNode, PodNode, RoleNode, Tree
from modelinfer_controller.kubectl.render.terminal import Terminal

NOW = datetime(2026, 1, 1, tzinfo=UTC)
TERMINAL = Terminal(width=80)
WHOLE = 2 + 3 * 4  # headline and titles; and of each group itself, its role and two instances of one pod


def pod(name: str, *, is_ready: bool) -> PodNode:
    return PodNode(name, 0, "Running" if is_ready else "NotReady", is_ready, 0, NOW, "node-0", "zone-a", "mi-1")


def group(ordinal: int, *, is_ready: bool = True) -> GroupNode:
    pods = [pod(f"mi-{ordinal}-a-{instance}-0", is_ready=is_ready) for instance in range(2)]
    instances = tuple(InstanceNode(f"a-{at}", is_ready, int(is_ready), 1, (one,)) for at, one in enumerate(pods))
    return GroupNode(
        ordinal=ordinal,
        name=f"mi-{ordinal}",
        state="Available" if is_ready else "PodsNotReady",
        is_available=is_ready,
        is_surge=False,
        revision="mi-1",
        is_updated=True,
        ready_pods=2 if is_ready else 0,
        pod_count=2,
        restarts=0,
        created_at=NOW,
        domain="zone-a",
        gang=None,
        roles=(RoleNode("a", 2 if is_ready else 0, 2, 2, instances),),
    )


def tree(*groups: GroupNode) -> Tree:
    return Tree(
        namespace="default",
        name="mi",
        time=NOW,
        replicas=len(groups),
        available_groups=sum(one.is_available for one in groups),
        updated_groups=len(groups),
        update_revision="mi-1",
        current_revision="mi-1",
        is_rolling=False,
        partition=0,
        topology_key="topology.kubernetes.io/zone",
        groups=groups,
    )


BUSY_IN_THE_MIDDLE = tree(group(0), group(1, is_ready=False), group(2))


def test_with_room_for_all_everything_is_shown() -> None:
    lines = fitted_lines(BUSY_IN_THE_MIDDLE, TERMINAL, WHOLE)

    assert len(lines) == WHOLE
    assert sum("a-1" in line for line in lines) == 3


def test_a_group_at_rest_is_folded_before_one_that_moves() -> None:
    lines = fitted_lines(BUSY_IN_THE_MIDDLE, TERMINAL, WHOLE - 6)

    assert [line.split()[1:3] for line in lines if "group " in line] == [["group", "0"], ["group", "1"], ["group", "2"]]
    shown = [line for line in lines if "a-0" in line or "a-1" in line]
    assert len(shown) == 2
    assert all("NotReady" in line for line in shown)


def test_no_more_is_folded_than_must_be() -> None:
    lines = fitted_lines(BUSY_IN_THE_MIDDLE, TERMINAL, WHOLE - 1)

    assert len(lines) == WHOLE - 3


@pytest.mark.parametrize("room", range(WHOLE + 2))
def test_there_are_never_more_lines_than_there_is_room(room: int) -> None:
    lines = fitted_lines(BUSY_IN_THE_MIDDLE, TERMINAL, room)

    assert len(lines) <= room
    if 0 < room < 5:
        assert lines[-1] == f"… {5 - room + 1} more lines"


def test_lines_of_a_group_that_lost_pods_but_serves_on_stay() -> None:
    limping = msgspec.structs.replace(group(0), ready_pods=1)

    lines = fitted_lines(tree(limping, group(1)), TERMINAL, 2 + 4 + 1)

    shown = [line for line in lines if "a-0" in line]
    assert len(shown) == 1
    assert lines.index(shown[0]) == 4
