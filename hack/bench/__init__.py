"""Benchmarks of the controller on a real control plane, each beside a bare loop: what the API server itself allows.

Run as `make bench ARGS=...`, see `--help`. Every row is a ratio within one run; absolute times are this machine's.

    plane       a fresh control plane with simulated nodes for each measurement
    workload    the ModelInfers, and from the planner itself the very bodies that the bare loop posts
    progress    what a watch of pods shows: created, ready, replaced, and when
    bare        the bare loops: post the bodies; replace group by group
    process     the controller as a process: its CPU seconds and peak memory
    measure     one function for each row
    simulator   the speed of the embedded control plane, on its own
"""
