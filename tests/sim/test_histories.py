"""The fast profile of the random histories; `make fuzz` runs as many as asked."""

from hypothesis import HealthCheck, settings

from sim.histories import Histories

TestHistories = Histories.TestCase
TestHistories.settings = settings(
    max_examples=100,
    stateful_step_count=20,
    deadline=None,
    derandomize=True,  # the same histories on every machine; `make fuzz` looks for new ones
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much],
)
