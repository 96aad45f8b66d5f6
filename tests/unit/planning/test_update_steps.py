"""The algorithm of an update, as a table of exact steps.

A case is a script. A line with `>` is what somebody does to a ModelInfer whose groups all run A. Any other line is one
decision, after which everything that it asked for has happened:

    groups  a letter per ordinal: its revision; lower case: not available; `.`: nothing is there
    available, of all groups
    done    what the decision does: to replace or remove a group takes its pods away, to create one makes them
    waits   ordinals, and the field of the API that they wait for

A case ends where nothing is done any more. A failure prints the table as it is now, to be read, or put here.
"""

import difflib

import pytest

from planning.step_table import play

CASES = {
    "by default one group at a time, from the highest ordinal, and each is available before the next goes": """
        > spec replicas=3
        AAA      3  -
        > image B
        AAA      3  replace 2              1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        AAB      3  replace 1              0: maxUnavailable of updated groups
        A.B      2  create 1               0: maxUnavailable of updated groups
        ABB      3  replace 0
        .BB      2  create 0
        BBB      3  -
    """,
    "maxUnavailable: so many groups at a time": """
        > spec replicas=5 maxUnavailable=2
        > image B
        AAAAA    5  replace 4 3            2 1 0: maxUnavailable of updated groups
        AAA      3  create 3 4             2 1 0: maxUnavailable of updated groups
        AAABB    5  replace 2 1            0: maxUnavailable of updated groups
        A..BB    3  create 1 2             0: maxUnavailable of updated groups
        ABBBB    5  replace 0
        .BBBB    4  create 0
        BBBBB    5  -
    """,
    "maxUnavailable in percent rounds down": """
        > spec replicas=5 maxUnavailable=59%
        > image B
        AAAAA    5  replace 4 3            2 1 0: maxUnavailable of updated groups
        AAA      3  create 3 4             2 1 0: maxUnavailable of updated groups
        AAABB    5  replace 2 1            0: maxUnavailable of updated groups
        A..BB    3  create 1 2             0: maxUnavailable of updated groups
        ABBBB    5  replace 0
        .BBBB    4  create 0
        BBBBB    5  -
    """,
    "maxUnavailable that rounds down to 0 counts as 1, where maxSurge is 0 too": """
        > spec replicas=3 maxUnavailable=10% maxSurge=0
        > image B
        AAA      3  replace 2              1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        AAB      3  replace 1              0: maxUnavailable of updated groups
        A.B      2  create 1               0: maxUnavailable of updated groups
        ABB      3  replace 0
        .BB      2  create 0
        BBB      3  -
    """,
    "maxUnavailable of all groups: all at once": """
        > spec replicas=3 maxUnavailable=100%
        > image B
        AAA      3  replace 2 1 0
        .        0  create 0 1 2
        BBB      3  -
    """,
    "maxUnavailable: a group that waits to be available holds up one place, and no more": """
        > spec replicas=4 maxUnavailable=2
        > image B
        AAAA     4  replace 3 2            1 0: maxUnavailable of updated groups
        AA       2  create 2 3             1 0: maxUnavailable of updated groups
        > group 3 becomes unready
        AABb     3  replace 1              0: maxUnavailable of updated groups
        A.Bb     2  create 1               0: maxUnavailable of updated groups
        ABBb     3  replace 0
        .BBb     2  create 0
        > group 3 becomes ready
        BBBB     4  -
    """,
    "maxUnavailable: a group that is unavailable already goes first, and counts": """
        > spec replicas=4
        > group 1 becomes unready
        AaAA     3  -
        > image B
        AaAA     3  replace 1              3 2 0: maxUnavailable of updated groups
        A.AA     3  create 1               3 2 0: maxUnavailable of updated groups
        AbAA     3  -                      3 2 0: maxUnavailable of updated groups
        > group 1 becomes ready
        ABAA     4  replace 3              2 0: maxUnavailable of updated groups
        ABA      3  create 3               2 0: maxUnavailable of updated groups
        ABAB     4  replace 2              0: maxUnavailable of updated groups
        AB.B     3  create 2               0: maxUnavailable of updated groups
        ABBB     4  replace 0
        .BBB     3  create 0
        BBBB     4  -
    """,
    "maxUnavailable: an available group stays while a group that the partition holds is not available": """
        > spec replicas=4 partition=1
        > group 0 becomes unready
        > image B
        aAAA     3  -                      3 2 1: maxUnavailable; 0: partition
        aAAA     3  -                      3 2 1: maxUnavailable; 0: partition
        > group 0 becomes ready
        AAAA     4  replace 3              2 1: maxUnavailable of updated groups; 0: partition
        AAA      3  create 3               2 1: maxUnavailable of updated groups; 0: partition
        AAAB     4  replace 2              1: maxUnavailable of updated groups; 0: partition
        AA.B     3  create 2               1: maxUnavailable of updated groups; 0: partition
        AABB     4  replace 1              0: partition
        A.BB     3  create 1               0: partition
        ABBB     4  -                      0: partition
    """,
    "maxUnavailable raised in mid-update": """
        > spec replicas=5
        > image B
        AAAAA    5  replace 4              3 2 1 0: maxUnavailable of updated groups
        AAAA     4  create 4               3 2 1 0: maxUnavailable of updated groups
        > set maxUnavailable=3
        AAAAB    5  replace 3 2 1          0: maxUnavailable of updated groups
        A...B    2  create 1 2 3           0: maxUnavailable of updated groups
        ABBBB    5  replace 0
        .BBBB    4  create 0
        BBBBB    5  -
    """,
    "all groups unavailable: the fix rolls out one by one, since each is to prove itself": """
        > spec replicas=3
        > A never starts
        > group 0 vanishes
        > group 1 vanishes
        > group 2 vanishes
        .        0  create 0 1 2
        aaa      0  -
        > image B
        aaa      0  replace 2              1 0: maxUnavailable of updated groups
        aa       0  create 2               1 0: maxUnavailable of updated groups
        aaB      1  replace 1              0: maxUnavailable of updated groups
        a.B      1  create 1               0: maxUnavailable of updated groups
        aBB      2  replace 0
        .BB      2  create 0
        BBB      3  -
    """,
    "maxSurge 1 and maxUnavailable 0: one more is made first, and no replica is ever missing": """
        > spec replicas=3 maxSurge=1 maxUnavailable=0
        > image B
        AAA      3  -                      2 1 0: maxUnavailable of updated groups
        AAA      3  create 3               2 1 0: maxUnavailable of updated groups
        AAAB     4  replace 2              1 0: maxUnavailable of updated groups
        AA.B     3  create 2               1 0: maxUnavailable of updated groups
        AABB     4  replace 1              0: maxUnavailable of updated groups
        A.BB     3  create 1               0: maxUnavailable of updated groups
        ABBB     4  replace 0
        .BBB     3  create 0
        BBBB     4  remove 3
        BBB      3  -
    """,
    "maxSurge 2: two more are made first": """
        > spec replicas=4 maxSurge=2 maxUnavailable=0
        > image B
        AAAA     4  -                      3 2 1 0: maxUnavailable of updated groups
        AAAA     4  create 4 5             3 2 1 0: maxUnavailable of updated groups
        AAAABB   6  replace 3 2            1 0: maxUnavailable of updated groups
        AA..BB   4  create 2 3             1 0: maxUnavailable of updated groups
        AABBBB   6  replace 1 0
        ..BBBB   4  create 0 1
        BBBBBB   6  remove 5 4
        BBBB     4  -
    """,
    "maxSurge with maxUnavailable: both at once": """
        > spec replicas=4 maxSurge=1 maxUnavailable=1
        > image B
        AAAA     4  replace 3              2 1 0: maxUnavailable of updated groups
        AAA      3  create 3 4             2 1 0: maxUnavailable of updated groups
        AAABB    5  replace 2 1            0: maxUnavailable of updated groups
        A..BB    3  create 1 2             0: maxUnavailable of updated groups
        ABBBB    5  replace 0
        .BBBB    4  create 0
        BBBBB    5  remove 4
        BBBB     4  -
    """,
    "maxSurge in percent rounds up": """
        > spec replicas=3 maxSurge=10% maxUnavailable=0
        > image B
        AAA      3  -                      2 1 0: maxUnavailable of updated groups
        AAA      3  create 3               2 1 0: maxUnavailable of updated groups
        AAAB     4  replace 2              1 0: maxUnavailable of updated groups
        AA.B     3  create 2               1 0: maxUnavailable of updated groups
        AABB     4  replace 1              0: maxUnavailable of updated groups
        A.BB     3  create 1               0: maxUnavailable of updated groups
        ABBB     4  replace 0
        .BBB     3  create 0
        BBBB     4  remove 3
        BBB      3  -
    """,
    "maxSurge: no more than there are groups to update": """
        > spec replicas=2 maxSurge=4 maxUnavailable=0
        > image B
        AA       2  -                      1 0: maxUnavailable of updated groups
        AA       2  create 2 3             1 0: maxUnavailable of updated groups
        AABB     4  replace 1 0
        ..BB     2  create 0 1
        BBBB     4  remove 3 2
        BB       2  -
    """,
    "maxSurge: no more than the partition lets be updated": """
        > spec replicas=4 maxSurge=3 maxUnavailable=0 partition=3
        > image B
        AAAA     4  -                      3: maxUnavailable of updated groups; 2 1 0: partition
        AAAA     4  create 4               3: maxUnavailable of updated groups; 2 1 0: partition
        AAAAB    5  replace 3              2 1 0: partition
        AAA.B    4  create 3               2 1 0: partition
        AAABB    5  remove 4               2 1 0: partition
        AAAB     4  -                      2 1 0: partition
    """,
    "maxSurge: a surge group that never becomes available replaces nothing": """
        > spec replicas=3 maxSurge=1 maxUnavailable=0
        > B never starts
        > image B
        AAA      3  -                      2 1 0: maxUnavailable of updated groups
        AAA      3  create 3               2 1 0: maxUnavailable of updated groups
        AAAb     3  -                      2 1 0: maxUnavailable of updated groups
        > image C
        AAAb     3  replace 3              2 1 0: maxUnavailable of updated groups
        AAA      3  create 3               2 1 0: maxUnavailable of updated groups
        AAAC     4  replace 2              1 0: maxUnavailable of updated groups
        AA.C     3  create 2               1 0: maxUnavailable of updated groups
        AACC     4  replace 1              0: maxUnavailable of updated groups
        A.CC     3  create 1               0: maxUnavailable of updated groups
        ACCC     4  replace 0
        .CCC     3  create 0
        CCCC     4  remove 3
        CCC      3  -
    """,
    "maxSurge: a surge group that no other can stand in for stays": """
        > spec replicas=2 maxSurge=1 maxUnavailable=0
        > image B
        AA       2  -                      1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        AAB      3  replace 1              0: maxUnavailable of updated groups
        A.B      2  create 1               0: maxUnavailable of updated groups
        ABB      3  replace 0
        .BB      2  create 0
        > group 1 becomes unready
        BbB      2  -
        BbB      2  -
        > group 1 becomes ready
        BBB      3  remove 2
        BB       2  -
    """,
    "maxSurge: an unavailable group goes first, and waits for a surge group too, since maxUnavailable is 0": """
        > spec replicas=3 maxSurge=1 maxUnavailable=0
        > group 0 becomes unready
        aAA      2  -
        > image B
        aAA      2  -                      2 1 0: maxUnavailable of updated groups
        aAA      2  create 3               2 1 0: maxUnavailable of updated groups
        aAAB     3  replace 0              2 1: maxUnavailable of updated groups
        > group 0 becomes ready
        .AAB     3  create 0               2 1: maxUnavailable of updated groups
        BAAB     4  replace 2              1: maxUnavailable of updated groups
        BA.B     3  create 2               1: maxUnavailable of updated groups
        BABB     4  replace 1
        B.BB     3  create 1
        BBBB     4  remove 3
        BBB      3  -
    """,
    "maxSurge set to 0 in mid-update": """
        > spec replicas=3 maxSurge=2 maxUnavailable=0
        > image B
        AAA      3  -                      2 1 0: maxUnavailable of updated groups
        AAA      3  create 3 4             2 1 0: maxUnavailable of updated groups
        > set maxSurge=0 maxUnavailable=1
        AAABB    5  replace 2, remove 4 3  1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        AAB      3  replace 1              0: maxUnavailable of updated groups
        A.B      2  create 1               0: maxUnavailable of updated groups
        ABB      3  replace 0
        .BB      2  create 0
        BBB      3  -
    """,
    "partition: groups with a lower ordinal keep their revision": """
        > spec replicas=4 partition=2
        > image B
        AAAA     4  replace 3              2: maxUnavailable of updated groups; 1 0: partition
        AAA      3  create 3               2: maxUnavailable of updated groups; 1 0: partition
        AAAB     4  replace 2              1 0: partition
        AA.B     3  create 2               1 0: partition
        AABB     4  -                      1 0: partition
    """,
    "partition at replicas: nothing is replaced": """
        > spec replicas=3 partition=3
        > image B
        AAA      3  -                      2 1 0: partition
        AAA      3  -                      2 1 0: partition
    """,
    "partition lowered step by step: a canary, and then the others": """
        > spec replicas=4 partition=3
        > image B
        AAAA     4  replace 3              2 1 0: partition
        AAA      3  create 3               2 1 0: partition
        AAAB     4  -                      2 1 0: partition
        > set partition=2
        AAAB     4  replace 2              1 0: partition
        AA.B     3  create 2               1 0: partition
        AABB     4  -                      1 0: partition
        > set partition=0
        AABB     4  replace 1              0: maxUnavailable of updated groups
        A.BB     3  create 1               0: maxUnavailable of updated groups
        ABBB     4  replace 0
        .BBB     3  create 0
        BBBB     4  -
    """,
    "partition raised in mid-update: what is updated stays so": """
        > spec replicas=4
        > image B
        AAAA     4  replace 3              2 1 0: maxUnavailable of updated groups
        AAA      3  create 3               2 1 0: maxUnavailable of updated groups
        > set partition=3
        AAAB     4  -                      2 1 0: partition
    """,
    "partition: a group that it holds, and that is lost, is made again at its own revision": """
        > spec replicas=3 partition=2
        > image B
        AAA      3  replace 2              1 0: partition
        AA       2  create 2               1 0: partition
        AAB      3  -                      1 0: partition
        > group 0 vanishes
        .AB      2  create 0               1 0: partition
        AAB      3  -                      1 0: partition
    """,
    "partition: a scale up makes new groups at the new revision, and those below it at the old one": """
        > spec replicas=1 partition=2
        > image B
        A        1  -                      0: partition
        > set replicas=4
        A        1  create 1 2 3           0: partition
        AABB     4  -                      1 0: partition
    """,
    "partition with maxSurge": """
        > spec replicas=3 partition=1 maxSurge=1 maxUnavailable=0
        > image B
        AAA      3  -                      2 1: maxUnavailable of updated groups; 0: partition
        AAA      3  create 3               2 1: maxUnavailable of updated groups; 0: partition
        AAAB     4  replace 2              1: maxUnavailable of updated groups; 0: partition
        AA.B     3  create 2               1: maxUnavailable of updated groups; 0: partition
        AABB     4  replace 1              0: partition
        A.BB     3  create 1               0: partition
        ABBB     4  remove 3               0: partition
        ABB      3  -                      0: partition
    """,
    "a bad revision stops at maxUnavailable": """
        > spec replicas=4
        > B never starts
        > image B
        AAAA     4  replace 3              2 1 0: maxUnavailable of updated groups
        AAA      3  create 3               2 1 0: maxUnavailable of updated groups
        AAAb     3  -                      2 1 0: maxUnavailable of updated groups
        AAAb     3  -                      2 1 0: maxUnavailable of updated groups
        AAAb     3  -                      2 1 0: maxUnavailable of updated groups
    """,
    "a bad revision with maxUnavailable 2 takes two, and not one more": """
        > spec replicas=4 maxUnavailable=2
        > B never starts
        > image B
        AAAA     4  replace 3 2            1 0: maxUnavailable of updated groups
        AA       2  create 2 3             1 0: maxUnavailable of updated groups
        AAbb     2  -                      1 0: maxUnavailable of updated groups
        AAbb     2  -                      1 0: maxUnavailable of updated groups
    """,
    "a bad revision whose fault goes away goes on": """
        > spec replicas=3
        > B never starts
        > image B
        AAA      3  replace 2              1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        AAb      2  -                      1 0: maxUnavailable of updated groups
        > B starts
        AAB      3  replace 1              0: maxUnavailable of updated groups
        A.B      2  create 1               0: maxUnavailable of updated groups
        ABB      3  replace 0
        .BB      2  create 0
        BBB      3  -
    """,
    "a bad revision and then a good one: what is broken goes first": """
        > spec replicas=4 maxUnavailable=2
        > B never starts
        > image B
        AAAA     4  replace 3 2            1 0: maxUnavailable of updated groups
        AA       2  create 2 3             1 0: maxUnavailable of updated groups
        AAbb     2  -                      1 0: maxUnavailable of updated groups
        > image C
        AAbb     2  replace 3 2            1 0: maxUnavailable of updated groups
        AA       2  create 2 3             1 0: maxUnavailable of updated groups
        AACC     4  replace 1 0
        ..CC     2  create 0 1
        CCCC     4  -
    """,
    "a bad revision after a bad one: still no more than maxUnavailable": """
        > spec replicas=3
        > B never starts
        > C never starts
        > image B
        AAA      3  replace 2              1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        AAb      2  -                      1 0: maxUnavailable of updated groups
        > image C
        AAb      2  replace 2              1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        AAc      2  -                      1 0: maxUnavailable of updated groups
        AAc      2  -                      1 0: maxUnavailable of updated groups
    """,
    "a bad revision with a deadline is halted when it is over, and a new one goes on": """
        > spec replicas=3 progressDeadlineSeconds=60
        > B never starts
        > image B
        AAA      3  replace 2              1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        AAb      2  -                      1 0: maxUnavailable of updated groups
        > 61 s pass
        AAb      2  -                      1 0: maxUnavailable of updated groups
        AAb      2  -                      1 0: progressDeadlineSeconds
        > image C
        AAb      2  replace 2              1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        AAC      3  replace 1              0: maxUnavailable of updated groups
        A.C      2  create 1               0: maxUnavailable of updated groups
        ACC      3  replace 0
        .CC      2  create 0
        CCC      3  -
    """,
    "a revert: only what had changed changes again": """
        > spec replicas=4
        > image B
        AAAA     4  replace 3              2 1 0: maxUnavailable of updated groups
        AAA      3  create 3               2 1 0: maxUnavailable of updated groups
        AAAB     4  replace 2              1 0: maxUnavailable of updated groups
        AA.B     3  create 2               1 0: maxUnavailable of updated groups
        > image A
        AABB     4  replace 3              2: maxUnavailable of updated groups
        AAB      3  create 3               2: maxUnavailable of updated groups
        AABA     4  replace 2
        AA.A     3  create 2
        AAAA     4  -
    """,
    "a revert of a bad revision": """
        > spec replicas=3
        > B never starts
        > image B
        AAA      3  replace 2              1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        AAb      2  -                      1 0: maxUnavailable of updated groups
        > image A
        AAb      2  replace 2
        AA       2  create 2
        AAA      3  -
    """,
    "a revert before anything was done does nothing": """
        > spec replicas=3
        > image B
        > image A
        AAA      3  -
    """,
    "a revert while a surge group is there: it is of the wrong revision now": """
        > spec replicas=3 maxSurge=1 maxUnavailable=0
        > image B
        AAA      3  -                      2 1 0: maxUnavailable of updated groups
        AAA      3  create 3               2 1 0: maxUnavailable of updated groups
        > image A
        AAAB     4  remove 3
        AAA      3  -
    """,
    "a third revision in mid-update: groups go to it from wherever they are": """
        > spec replicas=4
        > image B
        AAAA     4  replace 3              2 1 0: maxUnavailable of updated groups
        AAA      3  create 3               2 1 0: maxUnavailable of updated groups
        AAAB     4  replace 2              1 0: maxUnavailable of updated groups
        AA.B     3  create 2               1 0: maxUnavailable of updated groups
        > image C
        AABB     4  replace 3              2 1 0: maxUnavailable of updated groups
        AAB      3  create 3               2 1 0: maxUnavailable of updated groups
        AABC     4  replace 2              1 0: maxUnavailable of updated groups
        AA.C     3  create 2               1 0: maxUnavailable of updated groups
        AACC     4  replace 1              0: maxUnavailable of updated groups
        A.CC     3  create 1               0: maxUnavailable of updated groups
        ACCC     4  replace 0
        .CCC     3  create 0
        CCCC     4  -
    """,
    "scaled up in mid-update: new groups are made at once at the new revision, and count as not available": """
        > spec replicas=3
        > image B
        AAA      3  replace 2              1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        > set replicas=5
        AAB      3  create 3 4             1 0: maxUnavailable of updated groups
        AABBB    5  replace 1              0: maxUnavailable of updated groups
        A.BBB    4  create 1               0: maxUnavailable of updated groups
        ABBBB    5  replace 0
        .BBBB    4  create 0
        BBBBB    5  -
    """,
    "scaled up in mid-update, where the new groups never start": """
        > spec replicas=2
        > image B
        > B never starts
        > set replicas=3
        AA       2  create 2               1 0: maxUnavailable of updated groups
        AAb      2  -                      1 0: maxUnavailable of updated groups
        AAb      2  -                      1 0: maxUnavailable of updated groups
    """,
    "scaled down in mid-update: the highest ordinals go, updated or not": """
        > spec replicas=4
        > image B
        AAAA     4  replace 3              2 1 0: maxUnavailable of updated groups
        AAA      3  create 3               2 1 0: maxUnavailable of updated groups
        > set replicas=2
        AAAB     4  replace 1, remove 3 2  0: maxUnavailable of updated groups
        A        1  create 1               0: maxUnavailable of updated groups
        AB       2  replace 0
        .B       1  create 0
        BB       2  -
    """,
    "scaled down to 0 in mid-update, and up again": """
        > spec replicas=3
        > image B
        AAA      3  replace 2              1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        > set replicas=0
        AAB      3  remove 2 1 0
        .        0  -
        > set replicas=2
        .        0  create 0 1
        BB       2  -
    """,
    "scaled down with surge groups: they go too": """
        > spec replicas=4 maxSurge=1 maxUnavailable=0
        > image B
        AAAA     4  -                      3 2 1 0: maxUnavailable of updated groups
        AAAA     4  create 4               3 2 1 0: maxUnavailable of updated groups
        > set replicas=2
        AAAAB    5  replace 2, remove 4 3  1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        AAB      3  replace 1              0: maxUnavailable of updated groups
        A.B      2  create 1               0: maxUnavailable of updated groups
        ABB      3  replace 0
        .BB      2  create 0
        BBB      3  remove 2
        BB       2  -
    """,
    "scaled and updated by one edit": """
        > spec replicas=2
        > set replicas=4
        > image B
        AA       2  create 2 3             1 0: maxUnavailable of updated groups
        AABB     4  replace 1              0: maxUnavailable of updated groups
        A.BB     3  create 1               0: maxUnavailable of updated groups
        ABBB     4  replace 0
        .BBB     3  create 0
        BBBB     4  -
    """,
    "an outdated group that is lost is replaced at once, where maxUnavailable lets it": """
        > spec replicas=4
        > image B
        AAAA     4  replace 3              2 1 0: maxUnavailable of updated groups
        AAA      3  create 3               2 1 0: maxUnavailable of updated groups
        AAAB     4  replace 2              1 0: maxUnavailable of updated groups
        > group 0 vanishes
        .A.B     2  create 0 2             1 0: maxUnavailable of updated groups
        AABB     4  replace 1              0: maxUnavailable of updated groups
        A.BB     3  create 1               0: maxUnavailable of updated groups
        ABBB     4  replace 0
        .BBB     3  create 0
        BBBB     4  -
    """,
    "an outdated group that is lost while another is on its way keeps its revision, and its turn": """
        > spec replicas=4
        > B never starts
        > image B
        AAAA     4  replace 3              2 1 0: maxUnavailable of updated groups
        AAA      3  create 3               2 1 0: maxUnavailable of updated groups
        AAAb     3  -                      2 1 0: maxUnavailable of updated groups
        > group 1 vanishes
        A.Ab     2  create 1               2 1 0: maxUnavailable of updated groups
        AAAb     3  -                      2 1 0: maxUnavailable of updated groups
        AAAb     3  -                      2 1 0: maxUnavailable of updated groups
    """,
    "an outdated group that fails while it waits is recreated at its own revision": """
        > spec replicas=4
        > B never starts
        > image B
        AAAA     4  replace 3              2 1 0: maxUnavailable of updated groups
        AAA      3  create 3               2 1 0: maxUnavailable of updated groups
        AAAb     3  -                      2 1 0: maxUnavailable of updated groups
        > group 1 fails
        AaAb     2  recreate 1             2 1 0: maxUnavailable of updated groups
        A.Ab     2  create 1               2 1 0: maxUnavailable of updated groups
        AAAb     3  -                      2 1 0: maxUnavailable of updated groups
    """,
    "an updated group that fails is recreated, and the update waits for it": """
        > spec replicas=3
        > image B
        AAA      3  replace 2              1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        AAB      3  replace 1              0: maxUnavailable of updated groups
        > group 2 fails
        A.b      1  recreate 2, create 1   0: maxUnavailable of updated groups
        AB       2  create 2               0: maxUnavailable of updated groups
        ABB      3  replace 0
        .BB      2  create 0
        BBB      3  -
    """,
    "paused: nothing is replaced, but what is lost comes back at its own revision": """
        > spec replicas=3
        > image B
        AAA      3  replace 2              1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        > set paused=true
        AAB      3  -                      1 0: paused
        AAB      3  -                      1 0: paused
        > group 0 vanishes
        .AB      2  create 0               1 0: paused
        AAB      3  -                      1 0: paused
        > set paused=false
        AAB      3  replace 1              0: maxUnavailable of updated groups
        A.B      2  create 1               0: maxUnavailable of updated groups
        ABB      3  replace 0
        .BB      2  create 0
        BBB      3  -
    """,
    "minReadySeconds: a group that is ready is not yet available": """
        > spec replicas=2 minReadySeconds=30
        > 60 s pass
        > image B
        AA       2  replace 1              0: maxUnavailable of updated groups
        A        1  create 1               0: maxUnavailable of updated groups
        Ab       1  -                      0: maxUnavailable of updated groups
        Ab       1  -                      0: maxUnavailable of updated groups
        > 30 s pass
        AB       2  replace 0
        .B       1  create 0
        bB       1  -
        > 30 s pass
        BB       2  -
    """,
    "suspended in mid-update, and resumed: each comes back at its own revision": """
        > spec replicas=3
        > image B
        AAA      3  replace 2              1 0: maxUnavailable of updated groups
        AA       2  create 2               1 0: maxUnavailable of updated groups
        AAB      3  replace 1              0: maxUnavailable of updated groups
        > set suspend=true
        A.B      2  remove 2 0
        .        0  -
        > set suspend=false
        .        0  create 0 1 2           0: maxUnavailable of updated groups
        ABB      3  replace 0
        .BB      2  create 0
        BBB      3  -
    """,
}


@pytest.mark.parametrize("case", CASES)
def test_an_update_takes_exactly_these_steps(case: str) -> None:
    expected = [line.strip() for line in CASES[case].strip().splitlines()]
    found = list(play(expected))
    if found != expected:
        changes = "\n".join(difflib.ndiff(expected, found))
        pytest.fail(f"{case}\n\n- expected, + found:\n{changes}\n\nThe table as it is now:\n" + "\n".join(found))
