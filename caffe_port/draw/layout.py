"""A layered layout of boxes and arrows on a page, whatever they stand for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from caffe_port.draw.places import places
from caffe_port.draw.rows import Edge, Rows

Point = tuple[float, float]

#: The direction from the first row to the last: top to bottom, left to right, and their opposites.
RANKDIRS = ("TB", "LR", "BT", "RL")

# Lengths in inches.
_NODE_GAP = 0.22  # between nodes of a row
_BEND = 0.06  # what an edge takes up in a row that it passes
_BEND_GAP = 0.1
_ROW_GAP = 0.24  # between rows, for the arrow heads
_SLOPE = 0.06  # more of it for edges that go far to the side
_LONGEST_GAP = 0.5


@dataclass(frozen=True)
class Box:
    """A box of ``width`` and ``height``; ``label`` is the size of what is written where its arrows begin."""

    width: float
    height: float
    label: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Layout:
    """Where everything is, in inches from the top left corner of a page of ``width`` and ``height``.

    :param centres: of the boxes; ``labels`` those of their labels.
    :param routes: of the arrows: start, then for each gap between rows that is crossed its beginning, two control
        points and its end (a cubic Bezier curve), then the end; what is left between these is straight.
    :param crossings: how often two arrows cross.
    """

    width: float
    height: float
    centres: list[Point]
    labels: list[Point]
    routes: list[list[Point]]
    crossings: int


@dataclass(frozen=True)
class _Span:
    """What a box takes up in the direction from row to row: itself, and after it its label."""

    start: float
    end: float
    label_end: float


def lay_out(boxes: Sequence[Box], arrows: Sequence[Edge], rankdir: str = "TB") -> Layout:
    """Lay out ``boxes``, and the ``arrows`` from one to another, in rows (in "LR" and "RL": columns).

    No arrow is given twice, and they do not lead in a circle.
    """
    vertical = rankdir in ("TB", "BT")
    rows = Rows(len(boxes), arrows)
    bends = len(rows.above) - len(boxes)
    across = [max(box.width, box.label[0]) if vertical else max(box.height, box.label[1]) for box in boxes]
    at = places(rows, [*across, *[_BEND] * bends], lambda *pair: _NODE_GAP if max(pair) < rows.count else _BEND_GAP)
    along = [(box.height, box.label[1]) if vertical else (box.width, box.label[0]) for box in boxes]
    bands = _bands(rows, at, along)
    length = bands[-1][1] if bands else 0.0
    breadth = max((at[node] + size / 2 for node, size in enumerate(across)), default=0.0)
    breadth = max([breadth, *(place + _BEND / 2 for place in at[len(boxes) :])])

    def on_page(distance: float, place: float) -> Point:
        distance = length - distance if rankdir in ("BT", "RL") else distance
        return (place, distance) if vertical else (distance, place)

    spans = {}
    for row, (start, end) in zip(rows.rows, bands):
        for node in row:
            size, label = along[node] if node < len(boxes) else (end - start, 0.0)
            first = (start + end - size - label) / 2
            spans[node] = _Span(first, first + size, first + size + label)
    row_of = {node: band for row, band in zip(rows.rows, bands) for node in row}
    return Layout(
        *((breadth, length) if vertical else (length, breadth)),
        centres=[on_page((spans[node].start + spans[node].end) / 2, at[node]) for node in range(len(boxes))],
        labels=[on_page((spans[node].end + spans[node].label_end) / 2, at[node]) for node in range(len(boxes))],
        routes=[_route(chain, at, spans, [row_of[node] for node in chain], on_page) for chain in rows.chains],
        crossings=rows.crossings(),
    )


def _bands(rows: Rows, at: Sequence[float], along: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Where each row begins and ends; between two there is more room the farther their edges go aside."""
    bands, start = [], 0.0
    for row in rows.rows:
        end = start + max(sum(along[node]) for node in row if node < rows.count)
        bands.append((start, end))
        farthest = max((abs(at[node] - at[other]) for node in row for other in rows.below[node]), default=0.0)
        start = end + _ROW_GAP + min(_SLOPE * farthest, _LONGEST_GAP)
    return bands


def _route(
    chain: Sequence[int],
    at: Sequence[float],
    spans: dict[int, _Span],
    bands: Sequence[tuple[float, float]],
    on_page: Callable[[float, float], Point],
) -> list[Point]:
    """The way of one arrow: straight through rows, curved between them."""
    points = [on_page(spans[chain[0]].end, at[chain[0]])]
    for upper, lower, (_, leave), (enter, _) in zip(chain, chain[1:], bands, bands[1:]):
        halfway = (leave + enter) / 2
        steps = ((leave, upper), (halfway, upper), (halfway, lower), (enter, lower))
        points += [on_page(distance, at[node]) for distance, node in steps]
    return [*points, on_page(spans[chain[-1]].start, at[chain[-1]])]
