"""Interfaces from confidence maps: exhaustive search, closed forms and scikit-image as independent answers."""

from __future__ import annotations

from itertools import pairwise, product

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d
from skimage.segmentation import active_contour

from caffe_port.study.interfaces.contours import find_contours, joint_path, row_of_maximum, snake

ROWS, COLUMNS = 40, 120


def ridge(rows, noise=0.0, seed=0):
    """A confidence map with its maxima at ``rows``."""
    random = np.random.default_rng(seed)
    y = np.arange(ROWS)[:, None]
    return np.exp(-0.5 * ((y - rows) / 2.0) ** 2) * 0.8 + noise * random.random((ROWS, len(rows)))


def score(li, ma, path):
    columns = np.arange(li.shape[1])
    return np.log(li[path[0], columns]).sum() + np.log(ma[path[1], columns]).sum()


@pytest.mark.parametrize("slope", [1, 2])
def test_the_joint_path_is_the_best_of_all(slope):
    random = np.random.default_rng(slope)
    for _ in range(5):
        li, ma = random.uniform(0.01, 1, (2, 5, 4))
        pairs = [(a, b) for a, b in product(range(5), repeat=2) if 1 <= b - a <= 3]
        paths = (
            np.array(path).T
            for path in product(pairs, repeat=4)
            if all(abs(p[k] - q[k]) <= slope for p, q in pairwise(path) for k in (0, 1))
        )
        best = max(score(li, ma, path) for path in paths)
        assert score(li, ma, joint_path(li, ma, (1, 3), slope)) == pytest.approx(best, rel=1e-5)


def test_the_joint_path_keeps_order_and_limits_where_single_maxima_do_not():
    rows = np.full(COLUMNS, 15.0)
    li, ma = ridge(rows), ridge(rows + 10)
    li[25, 40:60] = 0.95  # a brighter line on the wrong interface
    assert (row_of_maximum(li)[40:60] == 25).all()
    path = joint_path(li, ma, (5, 15))
    np.testing.assert_array_equal(path, [rows, rows + 10])


def test_a_snake_without_attraction_is_the_line_through_its_start():
    """The thin plate of an open curve is at rest in straight lines, the membrane in level ones."""
    start = 20 + np.random.default_rng(1).normal(0, 3, COLUMNS)
    flat = np.zeros((ROWS, COLUMNS))
    settings = {"attraction": 0.0, "iterations": 4000, "tolerance": 1e-9}
    line = np.polyval(np.polyfit(np.arange(COLUMNS), start, 1), np.arange(COLUMNS))
    np.testing.assert_allclose(snake(start, flat, membrane=0, plate=1e7, **settings), line, atol=0.05)
    np.testing.assert_allclose(snake(start, flat, membrane=1e5, plate=0, **settings), start.mean(), atol=0.05)


def test_a_soft_snake_finds_the_ridge_between_the_pixels():
    rows = 20 + 3 * np.sin(np.arange(COLUMNS) / 20)
    found = snake(row_of_maximum(ridge(rows)), ridge(rows), membrane=0, plate=1, attraction=5, tolerance=1e-4)
    assert np.abs(row_of_maximum(ridge(rows)) - rows).max() > 0.4
    assert np.abs(found - rows).max() < 0.12


@pytest.mark.parametrize("plate", [50.0, 200.0])
@pytest.mark.parametrize("seed", [0, 1])
def test_it_agrees_with_active_contours_of_scikit_image(plate, seed):
    """The same energy, minimised by points that may also move along x, and resampled to the columns.

    Those points slide along the contour with nothing to hold them, by several columns here.
    """
    rows = 20 + 3 * np.sin(np.arange(COLUMNS) / 15)
    confidence = ridge(rows, 0.2, seed)
    start = rows + np.random.default_rng(seed).integers(-1, 2, COLUMNS)
    ours = snake(start, confidence, membrane=0.01, plate=plate, attraction=2, blur=1, tolerance=1e-4, iterations=4000)
    points = active_contour(
        gaussian_filter1d(confidence, 1, axis=0, mode="nearest"),
        np.stack([start, np.arange(COLUMNS)], axis=1),
        alpha=0.01, beta=plate, w_line=2, w_edge=0, gamma=0.5, boundary_condition="free",
        max_num_iter=4000, convergence=1e-4,
    )  # fmt: skip
    order = np.argsort(points[:, 1])
    theirs = np.interp(np.arange(COLUMNS), points[order, 1], points[order, 0])
    inner = slice(5, -5)
    assert np.abs(ours - theirs)[inner].mean() < 0.1
    assert np.abs(ours - theirs)[inner].max() < 0.2
    assert np.abs(start - theirs)[inner].mean() > 0.5


@pytest.mark.parametrize("path", ["joint", "maximum"])
def test_both_ways_find_clear_interfaces(path):
    rows = 12 + 2 * np.sin(np.arange(COLUMNS) / 25)
    maps = np.stack([ridge(rows, 0.1, 1), ridge(rows + 10, 0.1, 2)])
    settings = {"path": path, "least_mm": 0.25, "most_mm": 2.0, "membrane": 0.1, "plate": 20.0, "attraction": 2.0}
    found = find_contours(maps, settings, 0.06)
    assert np.abs(found.smooth - [rows, rows + 10]).mean() < 0.2
    assert np.abs(found.thin - [rows, rows + 10]).max() < 3
