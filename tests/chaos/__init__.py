"""Chaos: a real control plane, two controllers behind a proxy that fails on purpose, and a judge outside of them.

Run as `make chaos`. Each round disturbs one kind of work with faults drawn from a seed, heals, waits until all is as
specified, and judges what happened. The seed replays the draws; the instants are the machine's.

    fault_proxy      the way to the API server: what is refused, hung, cut, delayed, sent twice; and who was killed when
    controller_main  the controller with a clock that can be set, and a count of its tasks
    fleet            the two controllers: started, killed, frozen, started again
    webhook          an admission webhook that refuses, hangs or mutates
    faults           the catalogue of faults
    work             what goes on meanwhile: updates, recovery, drains, scaling, a namespace that ends
    judge            the rules, by watch events, by the audit log, by what passed the proxy
    rounds           one round, and a run of them
"""
