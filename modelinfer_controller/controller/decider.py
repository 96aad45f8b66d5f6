"""Observe and decide, in one step without an await; and how long the next such step should stay away."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

from modelinfer_controller.controller.observe import Observer
from modelinfer_controller.controller.pacing import PassPacing
from modelinfer_controller.kube.clock import Clock
from modelinfer_controller.planning.decide import Decision, decide
from modelinfer_controller.planning.observed import Owner

# After a pass its key is left alone for as many times as long as it took, less what costs nobody anything: a thousand
# pods that become ready one by one are not to cost a thousand looks at all of them, nor the loop all its time.
COOLDOWN_FACTOR = 2.0
COOLDOWN_THRESHOLD = 0.005  # seconds


class DecisionObserver(Protocol):
    """Hears of each decision."""

    def __call__(self, decision: Decision) -> None:
        """Called with each decision, for metrics. Must not block or raise."""


class Decider:
    """processor_time: the seconds of it that this thread has used, of which only differences count."""

    def __init__(
        self,
        observer: Observer,
        clock: Clock,
        *,
        on_decision: DecisionObserver = lambda decision: None,
        processor_time: Callable[[], float] = lambda: 0.0,
    ) -> None:
        self._observer = observer
        self._clock = clock
        self._on_decision = on_decision
        self._processor_time = processor_time

    def decide(self, owner: Owner, pacing: PassPacing) -> tuple[Decision, timedelta]:
        """The decision, and the cooldown that its processor time asks for."""
        began = self._processor_time()
        observed = replace(
            self._observer.observe(owner),
            deferred_groups=pacing.deferred_groups(),
            waits_for_quota=pacing.waits_for_quota(),
        )
        decision = decide(observed, self._clock.now())
        self._on_decision(decision)
        seconds = COOLDOWN_FACTOR * (self._processor_time() - began) - COOLDOWN_THRESHOLD
        return decision, timedelta(seconds=max(0.0, seconds))
