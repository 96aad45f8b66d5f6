"""Acceptance tests of faults that are known and not mended yet. Each file moves up to tests/sim once all of it passes.

Not collected by default (tests/sim/conftest.py). To run them: `PENDING=1 pytest tests/sim/pending`.
"""
