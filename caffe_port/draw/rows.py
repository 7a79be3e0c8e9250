"""The rows of a layered drawing: which row a node stands in, and the order within it (Sugiyama, Tagawa, Toda 1981).

Rows by longest path; edges over several rows go through a *bend* in each row between; few crossings by sweeps of
medians and by exchanging neighbours.
"""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Iterable, Sequence
from graphlib import TopologicalSorter
from itertools import pairwise
from statistics import median_low

Edge = tuple[int, int]
#: Sweeps without an improvement after which the order is good enough.
_PATIENCE = 4


class Rows:
    """Nodes 0 to ``count`` - 1 in rows; ``edges`` lead downwards, none twice, and never in a circle.

    ``rows`` holds the nodes of each row in their order, numbers from ``count`` on being bends; ``chains[i]`` the nodes
    and bends on the way of edge i; ``above`` and ``below`` the neighbours of each in the adjacent rows.
    """

    def __init__(self, count: int, edges: Sequence[Edge]) -> None:
        ranks = _ranks(count, edges)
        self.count = count
        self.chains: list[list[int]] = []
        for source, target in edges:
            bends = range(len(ranks), len(ranks) + ranks[target] - ranks[source] - 1)
            ranks += range(ranks[source] + 1, ranks[target])
            self.chains.append([source, *bends, target])
        self.above: list[list[int]] = [[] for _ in ranks]
        self.below: list[list[int]] = [[] for _ in ranks]
        for chain in self.chains:
            for upper, lower in pairwise(chain):
                self.below[upper].append(lower)
                self.above[lower].append(upper)
        self.rows: list[list[int]] = [[] for _ in range(max(ranks, default=-1) + 1)]
        for node in self._depth_first():
            self.rows[ranks[node]].append(node)
        self._reduce_crossings()

    def crossings(self) -> int:
        """How often two edges cross between adjacent rows."""
        return sum(self._crossings_below(upper, lower) for upper, lower in pairwise(self.rows))

    def _depth_first(self) -> list[int]:
        """Every node and bend, branches one after the other: already a good order wherever branches do not mix."""
        order: dict[int, None] = {}
        waiting = [node for node in reversed(range(len(self.above))) if not self.above[node]]
        while waiting:
            node = waiting.pop()
            if node not in order:
                order[node] = None
                waiting += reversed(self.below[node])
        return list(order)

    def _crossings_below(self, upper: Sequence[int], lower: Sequence[int]) -> int:
        place = {node: index for index, node in enumerate(lower)}
        seen: list[int] = []
        count = 0
        for node in upper:
            ends = [place[neighbour] for neighbour in self.below[node]]
            count += sum(len(seen) - bisect_right(seen, end) for end in ends)
            for end in ends:
                insort(seen, end)
        return count

    def _reduce_crossings(self) -> None:
        best, least, idle = [list(row) for row in self.rows], self.crossings(), 0
        downwards = True
        while least and idle < _PATIENCE:
            self._sort_by_medians(downwards)
            self._exchange_neighbours()
            count = self.crossings()
            idle = 0 if count < least else idle + 1
            if count < least:
                best, least = [list(row) for row in self.rows], count
            downwards = not downwards
        self.rows = best

    def _sort_by_medians(self, downwards: bool) -> None:
        """Each row by the median place of its neighbours in the row before; who has none stays where it is."""
        rows, neighbours = (self.rows, self.above) if downwards else (self.rows[::-1], self.below)
        for fixed, row in pairwise(rows):
            place = {node: index for index, node in enumerate(fixed)}
            moving = [node for node in row if neighbours[node]]
            moving.sort(key=lambda node: median_low(place[other] for other in neighbours[node]))
            following = iter(moving)
            row[:] = [next(following) if neighbours[node] else node for node in row]

    def _exchange_neighbours(self) -> None:
        """Exchange nodes that stand side by side where that removes crossings."""
        for index, row in enumerate(self.rows):
            places = [
                {node: at for at, node in enumerate(self.rows[other])} if 0 <= other < len(self.rows) else {}
                for other in (index - 1, index + 1)
            ]
            for at in range(len(row) - 1):
                left, right = row[at], row[at + 1]
                gain = 0
                for neighbours, place in zip((self.above, self.below), places):
                    ends = [[place[other] for other in neighbours[node]] for node in (left, right)]
                    gain += _inversions(*ends) - _inversions(*reversed(ends))
                if gain > 0:
                    row[at : at + 2] = [right, left]


def _inversions(left: Iterable[int], right: Sequence[int]) -> int:
    """How many pairs of the ends of two nodes' edges are in the wrong order."""
    return sum(a > b for a in left for b in right)


def _ranks(count: int, edges: Sequence[Edge]) -> list[int]:
    """The row of every node: one below the lowest of those before it.

    A node that nothing leads to, and the only thing that such a node leads to, moves down to where it is needed.
    """
    before: list[list[int]] = [[] for _ in range(count)]
    after: list[list[int]] = [[] for _ in range(count)]
    for source, target in edges:
        before[target].append(source)
        after[source].append(target)
    order = list(TopologicalSorter(dict(enumerate(before))).static_order())
    ranks = [0] * count
    for node in order:
        ranks[node] = max((ranks[other] + 1 for other in before[node]), default=0)
    for node in reversed(order):
        loose = all(not before[other] and len(after[other]) == 1 for other in before[node])
        if after[node] and loose:
            ranks[node] = min(ranks[other] for other in after[node]) - 1
    return ranks
