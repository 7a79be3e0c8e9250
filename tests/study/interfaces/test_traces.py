"""From an expert's clicks to a row per column."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from caffe_port.errors import DataError
from caffe_port.study.interfaces.traces import traces_of


def test_straight_lines_are_met_exactly_over_the_common_columns():
    li = np.array([[10.5, 20.0], [30.2, 30.0]])
    ma = np.array([[8.0, 40.0], [20.0, 46.0], [28.0, 50.0]])
    traces = traces_of(li, ma)
    assert traces.columns.tolist() == list(range(11, 29))
    np.testing.assert_allclose(traces.li, 20 + (traces.columns - 10.5) * 10 / 19.7)
    np.testing.assert_allclose(traces.ma, 40 + (traces.columns - 8) * 0.5)


@given(st.permutations(range(8)))
def test_the_order_of_the_clicks_does_not_count(order):
    points = np.stack([np.arange(8) * 12.5, 30 + 3 * np.sin(np.arange(8))], axis=1)
    below = np.add(points, [0, 9])
    traces, shuffled = traces_of(points, below), traces_of(points[list(order)], below)
    np.testing.assert_array_equal(traces.both(), shuffled.both())


def test_between_clicks_the_curve_stays_between_their_rows():
    """A cubic spline would overshoot at the step; PCHIP does not."""
    points = np.array([[0, 10.0], [10, 10], [20, 10], [22, 18], [30, 18], [40, 18]])
    rows = traces_of(points, points).li
    assert rows.min() == 10
    assert rows.max() == 18


def test_clicks_at_one_column_count_by_their_mean():
    points = np.array([[0, 10.0], [5, 12], [5, 14], [10, 10]])
    assert traces_of(points, points).li[5] == 13


@pytest.mark.parametrize(
    ("li", "message"),
    [([[0, 1], [3, 1]], "no column in common"), ([[7, 1], [7, 3]], "two different columns")],
)
def test_refused(li, message):
    with pytest.raises(DataError, match=message):
        traces_of(np.array(li, float), np.array([[5, 1.0], [9, 1.0]]))
