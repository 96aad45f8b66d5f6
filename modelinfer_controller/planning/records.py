"""status.groups: a record for each group, written once for neighbours that are alike.

Thousands of groups at rest are one entry, "0-4999", so a status stays far below what etcd takes. The first release
wrote one entry for each ordinal, which is read as well.
"""

from collections.abc import Mapping

from modelinfer_controller.api.status import GroupRecord

MAX_ORDINAL_DIGITS = 9  # a key that somebody has edited names no more groups than that


def unpacked(groups: Mapping[str, GroupRecord], *, most: int = 100_000) -> dict[int, GroupRecord]:
    """By ordinal. Keys that are none are passed over, and so is what would make more than `most` records.

    >>> unpacked({"0-1": GroupRecord("m-1"), "5": GroupRecord("m-2"), "x": GroupRecord()})
    {0: GroupRecord(revision='m-1', instances={}, beyond=(), recreations={}, suspended={}), \
1: GroupRecord(revision='m-1', instances={}, beyond=(), recreations={}, suspended={}), \
5: GroupRecord(revision='m-2', instances={}, beyond=(), recreations={}, suspended={})}
    """
    records: dict[int, GroupRecord] = {}
    for key, record in groups.items():
        first, dash, last = key.partition("-")
        if not _is_ordinal(first) or (dash and not _is_ordinal(last)):
            continue
        for ordinal in range(int(first), min(int(last or first), int(first) + most - len(records)) + 1):
            records[ordinal] = record
    return records


def _is_ordinal(text: str) -> bool:
    return text.isdecimal() and len(text) <= MAX_ORDINAL_DIGITS


def packed(records: Mapping[int, GroupRecord]) -> dict[str, GroupRecord]:
    """One entry for each run of neighbouring ordinals with equal records.

    >>> list(packed({0: GroupRecord("a"), 1: GroupRecord("a"), 3: GroupRecord("a"), 4: GroupRecord("b")}))
    ['0-1', '3', '4']
    """
    entries: dict[str, GroupRecord] = {}
    run: list[int] = []
    for ordinal in sorted(records):
        if run and (ordinal != run[-1] + 1 or not _are_alike(records[ordinal], records[run[-1]])):
            entries[_key(run)] = records[run[0]]
            run = []
        run = [run[0], ordinal] if run else [ordinal]
    if run:
        entries[_key(run)] = records[run[0]]
    return entries


def _are_alike(one: GroupRecord, other: GroupRecord) -> bool:
    return one is other or (not one.recreations and one == other)


def _key(run: list[int]) -> str:
    return str(run[0]) if run[0] == run[-1] else f"{run[0]}-{run[-1]}"
