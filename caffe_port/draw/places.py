"""Where the nodes of each row stand: near their neighbours, apart from one another, long edges straight."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from caffe_port.draw.rows import Rows

#: Pairs of sweeps, upwards and downwards; more change nothing that one could see.
_ROUNDS = 8
#: How much a bend insists on standing straight below (or above) another one, compared with a node.
_BEND_WEIGHT = 8.0


def places(rows: Rows, sizes: Sequence[float], gap: Callable[[int, int], float]) -> list[float]:
    """The centre of every node and bend along its row, the smallest edge of all at 0.

    Every sweep gives each row the places nearest to the mean of its neighbours in the row before, in the sense of
    weighted least squares, under which the order and the distances hold. As the last sweep goes down, what has one
    predecessor stands straight below it wherever there is room.

    :param sizes: of every node and bend along its row.
    :param gap: the distance that two neighbours need between them.
    """
    at = [0.0] * len(sizes)
    widths = _column_widths(rows, sizes)
    offsets = []
    for row in rows.rows:
        found = [0.0]
        for left, right in pairwise(row):
            found.append(found[-1] + (widths[left] + widths[right]) / 2 + gap(left, right))
        offsets.append(found)
        for node, offset in zip(row, found):
            at[node] = offset - found[-1] / 2
    for _ in range(_ROUNDS):
        for neighbours, order in ((rows.below, reversed(range(len(offsets)))), (rows.above, range(len(offsets)))):
            for index in order:
                _settle(rows, rows.rows[index], neighbours, offsets[index], at)
    left_edge = min((at[node] - sizes[node] / 2 for row in rows.rows for node in row), default=0.0)
    return [place - left_edge for place in at]


def _column_widths(rows: Rows, sizes: Sequence[float]) -> list[float]:
    """For every node and bend the largest size in its column: what follows one upon the other without branching.

    With room for its largest everywhere, a column beside others is straight.
    """
    column: dict[int, int] = {}  # by its first
    widths: dict[int, float] = {}
    for row in rows.rows:
        for node in row:
            above = rows.above[node]
            follows = len(above) == 1 and len(rows.below[above[0]]) == 1
            first = column[node] = column[above[0]] if follows else node
            widths[first] = max(widths.get(first, 0.0), sizes[node])
    return [widths[column[node]] for node in range(len(sizes))]


def _settle(
    rows: Rows, row: Sequence[int], neighbours: Sequence[Sequence[int]], offsets: Sequence[float], at: list[float]
) -> None:
    """Move the nodes of ``row`` to where their neighbours pull them."""
    wanted, weights = [], []
    for node, offset in zip(row, offsets):
        near = neighbours[node]
        wanted.append((sum(at[other] for other in near) / len(near) if near else at[node]) - offset)
        straight = node >= rows.count and near[0] >= rows.count
        weights.append(_BEND_WEIGHT if straight else 1.0 if near else 0.01)  # what nothing pulls gives way
    for node, offset, place in zip(row, offsets, _nearest_ascending(wanted, weights)):
        at[node] = place + offset


def _nearest_ascending(values: Sequence[float], weights: Sequence[float]) -> list[float]:
    """The sequence that never descends with the least sum of weights * (it - values)^2.

    Pool adjacent violators (Ayer et al. 1955): whatever descends is replaced by its weighted mean.
    """
    pools: list[tuple[float, float, int]] = []  # mean, weight, how many
    for value, weight in zip(values, weights):
        count = 1
        while pools and pools[-1][0] > value:
            mean, other, size = pools.pop()
            value = (mean * other + value * weight) / (other + weight)
            weight, count = weight + other, count + size
        pools.append((value, weight, count))
    return [mean for mean, _, count in pools for _ in range(count)]
