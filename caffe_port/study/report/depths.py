"""How deep to fine-tune: the shallowest depth that is not told apart from the best one.

The paper's practical conclusion (section VIII): which depth suffices differs from one application to another.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from caffe_port.errors import StatisticsError
from caffe_port.study.statistics.intervals import Interval


@dataclass(frozen=True)
class Choice:
    """What the intervals of all depths allow.

    :param best: the depth with the best estimate; the shallowest of those where several are equally good.
    :param shallowest: the shallowest depth whose interval overlaps that of ``best``.
    :param overlapping: all that overlap it, deepest first; ``best`` is among them.
    """

    best: str
    shallowest: str
    overlapping: tuple[str, ...]


def choose(depths: Mapping[str, Interval], *, small: bool = False) -> Choice:
    """Choose among ``depths``, deepest first, by a measure of which a large value is good, or with ``small`` a small.

    Depths between ``shallowest`` and ``best`` need not all overlap it.

    :raises StatisticsError: there are no depths.
    """
    if not depths:
        raise StatisticsError("no depth to choose from.")
    sign = -1 if small else 1
    best = max(reversed(list(depths)), key=lambda depth: sign * depths[depth].estimate)
    overlapping = tuple(depth for depth, interval in depths.items() if interval.overlaps(depths[best]))
    return Choice(best, overlapping[-1], overlapping)
