"""The DCT competitor: its difference image against the definition, and what it says about sharpness."""

from __future__ import annotations

import cv2
import numpy as np

from caffe_port import rng
from caffe_port.study.frames.handcrafted import BINS, GRID, difference_image, features


def dct_matrix(n: int) -> np.ndarray:
    """The orthonormal DCT-II by its definition."""
    k, x = np.mgrid[:n, :n]
    matrix = np.sqrt(2 / n) * np.cos(np.pi * (2 * x + 1) * k / (2 * n))
    matrix[0] /= np.sqrt(2)
    return matrix


def naive_difference(grey: np.ndarray, cell: int, kept: tuple[int, ...]) -> np.ndarray:
    dct = dct_matrix(cell)
    result = np.zeros((grey.shape[0] // cell * cell, grey.shape[1] // cell * cell))
    for top in range(0, result.shape[0], cell):
        for left in range(0, result.shape[1], cell):
            pixels = grey[top : top + cell, left : left + cell].astype(float)
            coefficients = dct @ pixels @ dct.T
            for count in kept:
                limit = np.sort(np.abs(coefficients).ravel())[-count]
                rebuilt = dct.T @ np.where(np.abs(coefficients) >= limit, coefficients, 0) @ dct
                result[top : top + cell, left : left + cell] += np.abs(pixels - rebuilt)
    return result


def test_difference_image_is_the_naive_one():
    grey = rng.numpy_generator("grey").integers(0, 256, (37, 50), np.uint8)
    np.testing.assert_allclose(difference_image(grey, 8, (1, 3)), naive_difference(grey, 8, (1, 3)), atol=1e-3)


def test_all_coefficients_reconstruct_the_image():
    grey = rng.numpy_generator("grey").integers(0, 256, (32, 32), np.uint8)
    assert np.abs(difference_image(grey, 16, (256,))).max() < 1e-3


def test_blur_lowers_the_error_and_an_even_frame_has_none():
    image = rng.numpy_generator("texture").integers(0, 256, (350, 500, 3), np.uint8)
    means = [
        difference_image(cv2.cvtColor(cv2.GaussianBlur(image, (0, 0), sigma), cv2.COLOR_BGR2GRAY)).mean()
        for sigma in (0.5, 2, 8)
    ]
    assert means[0] > 2 * means[1] > 4 * means[2]
    assert np.abs(difference_image(np.full((350, 500), 120, np.uint8))).max() < 1e-3


def test_features_are_global_then_local():
    frame = np.full((384, 512, 3), 120, np.uint8)
    textured = frame[:96, :128]  # the first of 4 x 4 parts
    textured[:] = rng.numpy_generator("texture").integers(0, 256, textured.shape, np.uint8)
    values = features(frame)
    histogram, summary, local = values[: len(BINS) - 1], values[len(BINS) - 1 :][:2], values[len(BINS) + 1 :]
    assert np.isclose(histogram.sum(), 1)
    assert np.isclose(histogram[0], 1 - 1 / 16, atol=0.01)
    assert len(local) == 2 * GRID[0] * GRID[1]
    assert local[0] > 50
    assert np.isclose(summary[0], local[0] / 16, rtol=1e-4)
    assert np.abs(local[2:8]).max() < 1e-3
