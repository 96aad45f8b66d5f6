"""Hypothesis profiles: the default one keeps this folder below a minute; HYPOTHESIS_PROFILE=thorough looks longer."""

import os

from hypothesis import HealthCheck, settings

_CHECKS = [HealthCheck.too_slow, HealthCheck.data_too_large]
settings.register_profile("fast", max_examples=60, deadline=None, suppress_health_check=_CHECKS, derandomize=True)
settings.register_profile("thorough", max_examples=5000, deadline=None, suppress_health_check=_CHECKS)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
