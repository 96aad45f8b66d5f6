"""Quiet: a history logs thousands of lines that nobody reads."""

import logging
import os
from collections.abc import Iterator

import pytest
import structlog

# Acceptance tests of what is not mended yet: `PENDING=1 pytest tests/sim/pending`.
collect_ignore = [] if os.environ.get("PENDING") else ["pending"]


@pytest.fixture(autouse=True, scope="session")
def no_log() -> Iterator[None]:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    yield
    structlog.reset_defaults()
