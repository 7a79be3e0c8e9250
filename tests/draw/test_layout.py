"""The layered layout: rows, crossings, and that nothing lies upon anything else."""

from __future__ import annotations

import itertools
import random

import pytest

from caffe_port.draw.layout import RANKDIRS, Box, lay_out
from caffe_port.draw.places import _nearest_ascending
from caffe_port.draw.rows import Rows

SMALL = Box(1, 0.5)


def crossings(upper, lower, edges):
    """How many pairs of edges cross, by looking at every pair."""
    return sum(
        (upper.index(a) - upper.index(c)) * (lower.index(b) - lower.index(d)) < 0
        for (a, b), (c, d) in itertools.combinations(edges, 2)
    )


def overlaps(layout, boxes):
    """The pairs of boxes that lie upon one another."""
    found = []
    for (i, (x, y)), (j, (u, v)) in itertools.combinations(enumerate(layout.centres), 2):
        wide, high = (boxes[i].width + boxes[j].width) / 2, (boxes[i].height + boxes[j].height) / 2
        if abs(x - u) < wide - 1e-9 and abs(y - v) < high - 1e-9:
            found.append((i, j))
    return found


def random_graph(seed, count=30):
    """A connected graph without circles, its boxes of various sizes."""
    generator = random.Random(seed)
    edges = [(generator.randrange(max(0, node - 6), node), node) for node in range(1, count)]
    edges += [tuple(sorted(generator.sample(range(count), 2))) for _ in range(10)]
    boxes = [Box(generator.uniform(0.5, 2), generator.uniform(0.2, 1)) for _ in range(count)]
    return boxes, sorted(set(edges))


def test_rows_by_longest_path():
    rows = Rows(4, [(0, 1), (1, 2), (2, 3), (0, 3)])
    assert [row[0] for row in rows.rows] == [0, 1, 2, 3]
    assert [len(row) for row in rows.rows] == [1, 2, 2, 1]  # the long edge bends in two rows
    assert rows.chains[3] == [0, 4, 5, 3]


def test_a_source_stands_right_before_its_reader():
    """As labels do: an Input layer, its blob, and a loss far below."""
    rows = Rows(7, [(0, 1), (1, 2), (2, 3), (3, 4), (5, 6), (6, 4)])
    assert [sorted(row) for row in rows.rows] == [[0], [1], [2, 5], [3, 6], [4]]


def test_numbers_need_no_order():
    """A later node may lead to an earlier one."""
    assert [sorted(row) for row in Rows(3, [(2, 1), (1, 0)]).rows] == [[2], [1], [0]]


def test_crossings_are_counted_as_by_looking_at_every_pair():
    for seed in range(5):
        boxes, edges = random_graph(seed)
        rows = Rows(len(boxes), edges)
        expected = 0
        for upper, lower in itertools.pairwise(rows.rows):
            links = [(a, b) for chain in rows.chains for a, b in itertools.pairwise(chain) if a in upper]
            expected += crossings(upper, lower, links)
        assert rows.crossings() == expected


def test_crossings_that_need_not_be_are_removed():
    """Pairs connected crosswise in order of their numbers; and two trees whose branches are given in turns."""
    assert Rows(6, [(0, 5), (1, 4), (2, 3)]).crossings() == 0
    assert Rows(6, [(0, 2), (1, 3), (0, 4), (1, 5)]).crossings() == 0
    assert Rows(4, [(0, 2), (0, 3), (1, 2), (1, 3)]).crossings() == 1  # unavoidable


def test_nearest_ascending_is_the_optimum():
    """Checked against every ascending sequence on a grid."""
    values, weights = [3.0, 1.0, 2.0, 0.0], [1.0, 2.0, 1.0, 1.0]

    def cost(sequence):
        return sum(w * (a - b) ** 2 for w, a, b in zip(weights, sequence, values))

    grid = [n / 10 for n in range(31)]
    best = min(cost(sequence) for sequence in itertools.combinations_with_replacement(grid, 4))
    found = _nearest_ascending(values, weights)
    assert found == sorted(found)
    assert cost(found) <= best


@pytest.mark.parametrize("rankdir", RANKDIRS)
@pytest.mark.parametrize("seed", range(4))
def test_nothing_overlaps_and_all_is_on_the_page(rankdir, seed):
    boxes, edges = random_graph(seed)
    layout = lay_out(boxes, edges, rankdir)
    assert overlaps(layout, boxes) == []
    for (x, y), box in zip(layout.centres, boxes):
        assert box.width / 2 - 1e-9 <= x <= layout.width - box.width / 2 + 1e-9
        assert box.height / 2 - 1e-9 <= y <= layout.height - box.height / 2 + 1e-9
    for x, y in itertools.chain(*layout.routes):
        assert 0 <= x <= layout.width
        assert 0 <= y <= layout.height


@pytest.mark.parametrize("rankdir", RANKDIRS)
def test_direction(rankdir):
    """The arrow leaves one box and ends at the other, and goes where rankdir says."""
    layout = lay_out([SMALL, SMALL], [(0, 1)], rankdir)
    (x0, y0), (x1, y1) = layout.centres
    axis, sign = {"TB": (1, 1), "BT": (1, -1), "LR": (0, 1), "RL": (0, -1)}[rankdir]
    assert sign * (layout.centres[1][axis] - layout.centres[0][axis]) > 0
    assert (x0, y0)[1 - axis] == (x1, y1)[1 - axis]
    half = (SMALL.width, SMALL.height)[axis] / 2
    route = layout.routes[0]
    assert route[0][axis] == pytest.approx(layout.centres[0][axis] + sign * half)
    assert route[-1][axis] == pytest.approx(layout.centres[1][axis] - sign * half)


def test_long_edges_are_straight_and_pass_no_box():
    """A chain of four beside an edge from its first to its last box."""
    layout = lay_out([SMALL] * 5, [(0, 1), (1, 2), (2, 3), (3, 4), (0, 4)])
    inner = layout.routes[4][4:-4]  # between its first and its last curve
    assert len({round(x, 9) for x, _ in inner}) == 1
    assert all(abs(inner[0][0] - x) > SMALL.width / 2 for x, _ in layout.centres[1:4])
    chain = [x for x, _ in layout.centres[1:4]]
    assert max(chain) - min(chain) < 1e-9


def test_branches_of_various_widths_are_straight():
    """Two chains of three between a fork and a join: the first box of one and the last of the other are wide."""
    boxes = [SMALL, Box(3, 0.5), SMALL, SMALL, SMALL, SMALL, Box(3, 0.5), SMALL]
    layout = lay_out(boxes, [(0, 1), (1, 2), (2, 3), (0, 4), (4, 5), (5, 6), (3, 7), (6, 7)])
    x = [round(place, 9) for place, _ in layout.centres]
    assert x[1] == x[2] == x[3]
    assert x[4] == x[5] == x[6]
    assert x[0] == x[7] == round((x[1] + x[4]) / 2, 9)


def test_shortcuts_do_not_make_a_net_slant():
    """As in residual nets: block upon block, each with a way around two boxes."""
    arrows = [edge for n in range(0, 30, 3) for edge in ((n, n + 1), (n + 1, n + 2), (n + 2, n + 3), (n, n + 3))]
    layout = lay_out([SMALL] * 31, arrows)
    assert len({round(layout.centres[n][0], 6) for n in range(0, 31, 3)}) == 1
    assert layout.width < 2 * SMALL.width


def test_labels_lie_behind_their_boxes():
    labelled = Box(1, 0.5, (0.4, 0.2))
    layout = lay_out([labelled, SMALL], [(0, 1)])
    (_, first), (_, second) = layout.centres
    label = layout.labels[0][1]
    assert first + 0.25 <= label - 0.1
    assert label + 0.1 <= second - 0.25


def test_no_boxes():
    assert (lay_out([], []).width, lay_out([], []).height) == (0, 0)
