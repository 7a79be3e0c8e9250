"""An estimate with its confidence interval, and what the intervals have in common."""

from __future__ import annotations

import math
from dataclasses import dataclass

from scipy.special import ndtri

from caffe_port.errors import StatisticsError


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its confidence interval, in the estimate's own unit."""

    estimate: float
    low: float
    high: float

    def overlaps(self, other: Interval) -> bool:
        """Whether the two intervals have a point in common; one of NaN tells nothing, so that it is not apart."""
        return not (self.low > other.high or other.low > self.high)


def normal_quantile(level: float) -> float:
    """The z with which an interval ``estimate ± z * standard error`` has confidence ``level``: 1.96 for 0.95.

    :raises StatisticsError: ``level`` is not between 0 and 1.
    """
    if not 0 < level < 1:
        raise StatisticsError(f"a confidence level of {level}.", remedy="Give one between 0 and 1, such as 0.95.")
    return float(ndtri((1 + level) / 2))


def wilson(share: float, number: int, level: float = 0.95) -> Interval:
    """The interval of a proportion ``share`` seen in ``number`` independent trials (Wilson, JASA 22, 1927).

    Unlike the normal interval it is never of width 0 and stays between 0 and 1.
    """
    z = normal_quantile(level)
    centre = (share + z * z / (2 * number)) / (1 + z * z / number)
    half = z / (1 + z * z / number) * math.sqrt(share * (1 - share) / number + z * z / (4 * number * number))
    return Interval(share, max(0.0, centre - half), min(1.0, centre + half))
