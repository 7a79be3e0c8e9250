"""Compare with what real Caffe computed."""

from __future__ import annotations

import numpy as np

#: Real Caffe's own rounding differs between machines by about 1e-6 of the largest value.
TOLERANCE = 2e-5


def assert_equal(
    name: str, ours: np.ndarray, real: np.ndarray, tolerance: float = TOLERANCE, scale: float = 0.0
) -> None:
    """Same shape, and no value further off than ``tolerance`` times the largest real one.

    :param scale: size of the terms that a result is the sum of, where they cancel (the gradient of a bias in front of
        BatchNorm is zero but for rounding).
    """
    assert ours.shape == real.shape, f"{name}: shape {ours.shape}, real Caffe has {real.shape}"
    np.testing.assert_array_equal(np.isnan(ours), np.isnan(real), err_msg=name)
    finite = np.isfinite(real)
    np.testing.assert_array_equal(ours[~finite], real[~finite], err_msg=name)
    scale = max(scale, np.abs(real[finite]).max(initial=0))
    error = np.abs(ours[finite].astype(np.float64) - real[finite]).max(initial=0)
    assert error <= tolerance * max(scale, 1e-30), f"{name}: off by {error:g}, largest value {scale:g}"
