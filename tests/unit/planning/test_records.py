"""status.groups on the wire: neighbours that are alike share an entry."""

from hypothesis import given
from hypothesis import strategies as st

from modelinfer_controller.api.status import GroupRecord, RecreationRecord
from modelinfer_controller.planning.records import packed, unpacked

A, B = GroupRecord(revision="a"), GroupRecord(revision="b")
RECREATED = GroupRecord(revision="a", recreations={"*": RecreationRecord(incarnation=1)})


def test_neighbours_that_are_alike_share_an_entry_and_those_that_were_recreated_do_not() -> None:
    records = {0: A, 1: A, 2: A, 4: A, 5: B, 6: RECREATED, 7: RECREATED}
    assert list(packed(records)) == ["0-2", "4", "5", "6-7"], "the very same record is shared"
    equal = {0: RECREATED, 1: GroupRecord(revision="a", recreations={"*": RecreationRecord(incarnation=1)})}
    assert list(packed(equal)) == ["0", "1"]
    assert packed({}) == {}


def test_keys_that_are_no_ordinals_are_passed_over() -> None:
    keys = ("x", "1-x", "x-1", "-1", "", "1234567890", "3-2", "1-2-3", "-")
    assert unpacked(dict.fromkeys(keys, A)) == {}
    assert unpacked({"7": A, "x": B}) == {7: A}


def test_no_more_is_unpacked_than_is_asked_for() -> None:
    assert len(unpacked({"0-999999999": A}, most=10)) == 11


@given(st.dictionaries(st.integers(0, 60), st.sampled_from([A, B, RECREATED])))
def test_what_is_packed_unpacks_to_the_same(records: dict[int, GroupRecord]) -> None:
    assert unpacked(packed(records)) == records
