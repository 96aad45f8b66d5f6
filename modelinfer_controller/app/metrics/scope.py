"""Whether histograms have series for each ModelInfer, for all together, or none.

A module of its own: whoever reads settings needs no metrics.
"""

from enum import StrEnum


class HistogramScope(StrEnum):
    """What histograms tell apart. Each one of a ModelInfer's own is a dozen series."""

    AGGREGATED = "aggregated"  # all ModelInfers together
    PER_OBJECT = "per-object"
    OFF = "off"
