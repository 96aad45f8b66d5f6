"""How many groups are not available, by reason: what a metric counts and a dashboard adds up."""

from collections import Counter
from collections.abc import Mapping

from modelinfer_controller.planning.conditions import Facts


def unavailable_by_reason(facts: Facts) -> Mapping[str, int]:
    """Groups below replicas that are not available, by the reason of their first cause; all of them are counted.

    Complexity: bounded by what exists, for any number of replicas. Groups that never were share the first one's reason.
    """
    decision, replicas = facts.decision, facts.decision.budget.replicas
    known = [ordinal for ordinal in decision.active if ordinal < replicas]
    tally = Counter(facts.cause(ordinal).reason for ordinal in known if ordinal not in facts.available)
    if missing := replicas - len(known) - len(decision.at_rest):
        first = next(ordinal for ordinal in range(replicas) if decision.existing(ordinal) is None)
        tally[facts.cause(first).reason] += missing
    return tally
