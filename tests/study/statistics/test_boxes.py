"""Tukey's box beside matplotlib's."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.cbook import boxplot_stats

from caffe_port.errors import StatisticsError
from caffe_port.study.statistics.boxes import tukey_box


@pytest.mark.parametrize(
    "values",
    [
        np.random.default_rng(0).gamma(1, 0.1, 93),
        np.random.default_rng(1).normal(size=8),
        np.round(np.random.default_rng(2).standard_t(2, 40)),
        [1, 1, 1, 1, 9],
        [1, 2, 2, 2, 2, 2, 3],
        [0, 10, 10.1, 10.2, 10.3, 20],
        [4.0],
        [4.0, 1.0],
        [0, 0, 0, 1, 100],
    ],
    ids=str,
)
def test_beside_matplotlib(values):
    box, (expected,) = tukey_box(values), boxplot_stats(values)
    assert (box.q1, box.median, box.q3) == pytest.approx((expected["q1"], expected["med"], expected["q3"]))
    assert (box.whisker_low, box.whisker_high) == pytest.approx((expected["whislo"], expected["whishi"]))
    assert sorted(box.outliers) == pytest.approx(sorted(expected["fliers"]))
    assert box.mean == pytest.approx(expected["mean"])
    assert box.number == len(values)


def test_by_hand():
    box = tukey_box([10, 1, 2, 3, 4])
    assert (box.q1, box.median, box.q3) == (2, 3, 4)
    assert (box.whisker_low, box.whisker_high, box.outliers) == (1, 4, (10,))  # the fence is at 7
    assert box.sd == pytest.approx(np.sqrt((9 + 4 + 1 + 0 + 36) / 4))
    assert box.mean == 4
    assert tukey_box([4.0]).sd == 0


def test_bad_values():
    with pytest.raises(StatisticsError, match="values of shape"):
        tukey_box([])
    with pytest.raises(StatisticsError, match="1 of 2 are NaN"):
        tukey_box([1, np.nan])
