"""Which depth is enough, on intervals that are written down."""

from __future__ import annotations

import pytest

from caffe_port.errors import StatisticsError
from caffe_port.study.report.depths import Choice, choose
from caffe_port.study.statistics.intervals import Interval


def intervals(**ends):
    """Intervals whose estimates are in their middles."""
    return {name.replace("_", "-"): Interval((low + high) / 2, low, high) for name, (low, high) in ends.items()}


def test_the_shallowest_that_overlaps_the_best():
    depths = intervals(conv1_fc8=(0.80, 0.90), conv5_fc8=(0.75, 0.85), fc7_fc8=(0.70, 0.80), fc8=(0.50, 0.60))
    # fc7-fc8 ends where conv1-fc8 begins: they have that point in common.
    assert choose(depths) == Choice("conv1-fc8", "fc7-fc8", ("conv1-fc8", "conv5-fc8", "fc7-fc8"))


def test_small_values_are_good_for_errors():
    depths = intervals(conv1_fc8=(0.10, 0.20), fc7_fc8=(0.18, 0.30), fc8=(0.40, 0.50))
    assert choose(depths, small=True) == Choice("conv1-fc8", "fc7-fc8", ("conv1-fc8", "fc7-fc8"))
    assert choose(depths) == Choice("fc8", "fc8", ("fc8",))


def test_a_depth_between_need_not_overlap():
    depths = intervals(conv1_fc8=(0.80, 0.90), conv5_fc8=(0.10, 0.20), fc8=(0.70, 0.82))
    assert choose(depths) == Choice("conv1-fc8", "fc8", ("conv1-fc8", "fc8"))


def test_of_equally_good_depths_the_shallowest_is_the_best():
    depths = intervals(conv1_fc8=(0.5, 0.7), conv5_fc8=(0.5, 0.7), fc8=(0.1, 0.2))
    assert choose(depths).best == choose(depths).shallowest == "conv5-fc8"
    assert choose(depths, small=True) == Choice("fc8", "fc8", ("fc8",))


def test_nothing_to_choose_from():
    with pytest.raises(StatisticsError, match="no depth"):
        choose({})
