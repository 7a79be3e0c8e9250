"""The direction of the vessel at a place of a CT volume.

The structure tensor is the mean of the gradient's outer product in a Gaussian window [1]. Along a vessel the grey
values change little, so that its eigenvector of the smallest eigenvalue is the vessel's axis. A clot needs no filling:
grey values are cut off at the HU above which blood has contrast, so that in the lungs a clot's surface counts little
beside the vessel's; that of a long clot is parallel to the axis anyway, and that of a round one favours no direction.

[1] Bigun and Granlund, "Optimal orientation detection of linear symmetry", ICCV 1987.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

#: Deviation in voxels of the Gaussian whose derivatives are the gradient, and how far it reaches into a cube.
_SMOOTHING, _MARGIN = 1.0, 4
_CORE = np.s_[:, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]
#: Where windows are cut off, in deviations.
_REACH = 2.0
#: So many voxels are worked on at once.
_VOXELS = 4_000_000


@dataclass(frozen=True)
class Orientations:
    """The vessels' directions at N places.

    :param frames: (N, 3, 3) orthonormal rows in (z, y, x): the axis, and two directions across the vessel. The largest
        component of each of the first two is positive; the third is their cross product.
    :param eigenvalues: (N, 3) of the structure tensors, in the order of the rows, ascending: (HU / mm)².
    """

    frames: np.ndarray
    eigenvalues: np.ndarray

    @property
    def axes(self) -> np.ndarray:
        """(N, 3) unit vectors (z, y, x) along the vessels."""
        return self.frames[:, 0]


def cubes(hu: np.ndarray, places: np.ndarray, half: int) -> np.ndarray:
    """The voxels around places; beyond the border its nearest voxel is repeated.

    :param hu: (Z, Y, X).
    :param places: (N, 3) indices (z, y, x).
    :param half: voxels to each side of the centre.
    :returns: (N, side, side, side) of the type of ``hu``; side = 2 half + 1.
    """
    steps = np.arange(-half, half + 1)
    z, y, x = (np.clip(places[:, i, None] + steps, 0, hu.shape[i] - 1) for i in range(3))
    return hu[z[:, :, None, None], y[:, None, :, None], x[:, None, None, :]]


def orientations(
    hu: np.ndarray, places: np.ndarray, spacing: float, sigmas_mm: Sequence[float], window: tuple[float, float]
) -> Orientations:
    """The vessel's direction at every place, in the Gaussian window of those given in which it is clearest: where
    (second - first eigenvalue) / third is largest. A narrow window leaves neighbours out, a wide one sees both walls of
    a wide vessel.

    :param hu: (Z, Y, X) of isotropic voxels.
    :param places: (N, 3) indices (z, y, x).
    :param spacing: side of a voxel in mm.
    :param sigmas_mm: deviations of the Gaussian windows; about the radii of vessels.
    :param window: lower and upper HU, at which grey values are cut off.
    """
    half = int(np.ceil(_REACH * max(sigmas_mm) / spacing))
    batch = max(1, _VOXELS // (2 * (half + _MARGIN) + 1) ** 3)
    tensors = [np.zeros((0, len(sigmas_mm), 3, 3))]
    for start in range(0, len(places), batch):
        around = cubes(hu, places[start : start + batch], half + _MARGIN).astype(np.float32).clip(*window)
        gradient = _gradient(around) / spacing
        tensors.append(np.stack([_tensors(gradient, sigma / spacing) for sigma in sigmas_mm], axis=1))
    values, vectors = np.linalg.eigh(np.concatenate(tensors))
    clearness = (values[..., 1] - values[..., 0]) / np.maximum(values[..., 2], np.finfo(float).tiny)
    every, best = np.arange(len(values)), clearness.argmax(axis=1)
    return Orientations(_signed(vectors[every, best].swapaxes(1, 2)), values[every, best])


def _gradient(grey: np.ndarray) -> np.ndarray:
    """Derivatives of Gaussians per voxel, without the cubes' margin: (N, side, side, side) to (N, 3, ...)."""
    sigma, orders = (0, _SMOOTHING, _SMOOTHING, _SMOOTHING), ((0, 1, 0, 0), (0, 0, 1, 0), (0, 0, 0, 1))
    return np.stack([ndimage.gaussian_filter(grey, sigma, order)[_CORE] for order in orders], axis=1)


def _tensors(gradient: np.ndarray, sigma: float) -> np.ndarray:
    """(N, 3, 3): the structure tensors in a Gaussian window with a deviation of ``sigma`` voxels."""
    centre, half = gradient.shape[-1] // 2, int(np.ceil(_REACH * sigma))
    inner = slice(centre - half, centre + half + 1)
    roots = np.exp(-0.25 * (np.arange(-half, half + 1) / sigma) ** 2)  # of the window's weights
    roots = (roots / np.linalg.norm(roots)).astype(np.float32)
    weighted = gradient[..., inner, inner, inner] * (roots[:, None, None] * roots[:, None] * roots)
    weighted = weighted.reshape(len(gradient), 3, -1)
    products: np.ndarray = (weighted @ weighted.swapaxes(1, 2)).astype(np.float64)
    return products


def _signed(vectors: np.ndarray) -> np.ndarray:
    """Rows (N, 3, 3) with signs as :class:`Orientations` has them."""
    first = vectors[:, :2]
    largest = np.take_along_axis(first, np.abs(first).argmax(axis=2)[..., None], axis=2)
    first = first * np.where(largest < 0, -1, 1)
    return np.concatenate([first, np.cross(first[:, 0], first[:, 1])[:, None]], axis=1)
