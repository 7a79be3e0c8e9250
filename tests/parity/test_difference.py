"""The largest difference, where it is, and what counts as none."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffe_port.parity.difference import difference, like

REAL = np.array([[1, -4, 2], [0, 3, 1]], np.float32)


def test_the_worst_value_is_named():
    ours = REAL.copy()
    ours[1, 1] = 3.5
    ours[0, 0] = 1.1
    found = difference(ours, REAL)
    assert (found.at, found.ours, found.reference) == ((1, 1), 3.5, 3.0)
    assert found.error == pytest.approx(0.5)
    assert found.scale == 4
    assert found.relative == pytest.approx(0.125)
    assert found.within(0.126)
    assert not found.within(0.124)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_must_be_the_same(value):
    both = REAL.copy()
    both[0, 2] = value
    assert difference(both, both.copy()).within(0)
    for pair in ((both, REAL), (REAL, both)):
        found = difference(*pair)
        assert found.error == math.inf
        assert found.at == (0, 2)
        assert not found.within(1e9)
    assert not difference(both, np.where(np.isnan(both), np.inf, -both)).within(1e9)


def test_other_shapes_differ():
    found = difference(REAL, REAL.T)
    assert found.at is None
    assert (found.shape, found.reference_shape) == ((2, 3), (3, 2))
    assert not found.within(1e9)


def test_nothing_and_zeros():
    assert difference(np.zeros((0, 3)), np.zeros((0, 3))).within(0)
    assert difference(np.zeros(3), np.zeros(3)).within(0)
    assert not difference(np.full(3, 1e-6), np.zeros(3)).within(2e-5)
    assert difference(np.full(3, 1e-6), np.zeros(3), scale=1.0).within(2e-5)


def test_the_four_axes_of_old_caffe():
    assert like(np.zeros((2, 3, 1, 1)), (2, 3)).shape == (2, 3)
    assert like(np.zeros((1, 1, 2, 3)), (2, 3)).shape == (2, 3)
    assert like(np.zeros((1, 1, 1, 1)), ()).shape == ()
    assert like(np.zeros((2, 3, 4, 1)), (2, 12)).shape == (2, 3, 4, 1)
    assert like(np.zeros((2, 3, 1)), (2, 3)).shape == (2, 3, 1)
