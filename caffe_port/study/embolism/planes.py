"""Planes through a candidate as patches with three channels, resampled from the volume.

``vessel``: the vessel-aligned multi-planar representation (section VI-B, Fig. 3; [18] Tajbakhsh and Liang, MICCAI
2015). A plane across the vessel and one along it; the second is repeated, "simply" as the paper says, to make three
channels: B is the cross-section, G and R are the longitudinal plane. ``planes``: the axial, coronal and sagittal plane
as B, G and R, for comparison.

Both in the same variations: widths in mm; shifts along the axis, in parts of the width; rotations about the axis. The
axis of ``planes`` is z. The paper says "translated 3 times, up to 20 %" and "5 additional" rotations: here three places
(-20 %, 0, 20 %) and six angles (0 to 150 degrees: half a turn makes a mirror image). With three widths that are 54
patches of a candidate.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from caffe_port.study.embolism.vessels import cubes
from caffe_port.study.embolism.volumes import window

#: Planes by the rows of a frame (axis, first and second direction across) that their rows and columns run along; and
#: the plane that each channel (B, G, R) shows.
_CROSS, _LONG, _LONG_TOO = (1, 2), (0, 2), (0, 1)
REPRESENTATIONS = {
    "vessel": ((_CROSS, _LONG), (0, 1, 1)),
    "planes": ((_CROSS, _LONG, _LONG_TOO), (0, 1, 2)),
}
#: So many points are resampled at once.
_POINTS = 4_000_000


def variations(app: Mapping[str, Any]) -> list[tuple[float, float, float]]:
    """Width in mm, shift in parts of the width, and angle in degrees of each patch of a candidate.

    :param app: the settings ``widths_mm``, ``shifts``, ``rotations``.
    """
    angles = [180 * i / app["rotations"] for i in range(app["rotations"])]
    return list(product(app["widths_mm"], app["shifts"], angles))


class Resampler:
    """Cuts the patches of candidates out of volumes, all of one candidate's at once.

    Trilinear; beyond the border the nearest voxel is repeated. A patch that is w mm wide consists of ``patch_px``
    x ``patch_px`` pixels with sides of w / ``patch_px`` mm; its centre is the candidate, or shifted from it.

    :param spacing: side of a voxel in mm.
    :param app: the settings ``representation``, ``patch_px``, ``widths_mm``, ``shifts``, ``rotations``, ``window_hu``.
    :param device: where it is computed.
    """

    def __init__(self, spacing: float, app: Mapping[str, Any], device: torch.device | str = "cpu") -> None:
        planes, self._channels = REPRESENTATIONS[app["representation"]]
        self._aligned = app["representation"] == "vessel"
        self._window = app["window_hu"]
        self._shape = (-1, len(planes), app["patch_px"], app["patch_px"])
        points = _points(planes, app)
        self._half = int(points.norm(dim=1).max() / spacing) + 2
        self._points = (points / (spacing * self._half)).to(device)

    def __call__(self, hu: np.ndarray, places: np.ndarray, frames: np.ndarray) -> Iterator[np.ndarray]:
        """The patches of each place in all :func:`variations`: uint8 (variations, size, size, 3).

        :param hu: (Z, Y, X) of isotropic voxels.
        :param places: (N, 3) indices (z, y, x).
        :param frames: (N, 3, 3) of :class:`~.vessels.Orientations`; the representation ``planes`` ignores them.
        """
        if not self._aligned:
            frames = np.broadcast_to(np.eye(3), frames.shape)
        axes = torch.from_numpy(frames[..., ::-1].astype(np.float32)).to(self._points.device)  # grid_sample: x, y, z
        batch = max(1, _POINTS // len(self._points))
        for start in range(0, len(places), batch):
            around = cubes(hu, places[start : start + batch], self._half)
            cube = torch.from_numpy(around[:, None].astype(np.float32)).to(axes.device)
            grid = (self._points @ axes[start : start + batch])[:, None, None]  # (N, 1, 1, points, 3); a cube: -1 to 1
            found = functional.grid_sample(cube, grid, mode="bilinear", padding_mode="border", align_corners=True)
            for values in window(found.cpu().numpy(), *self._window):
                yield values.reshape(self._shape)[:, self._channels].transpose(0, 2, 3, 1)


def _points(planes: Sequence[tuple[int, int]], app: Mapping[str, Any]) -> Tensor:
    """The pixels' places in mm, as multiples of a frame's rows: (variations * planes * size * size, 3)."""
    size = app["patch_px"]
    steps = (np.arange(size) + 0.5) / size - 0.5
    every = []
    for width, shift, angle in variations(app):
        cos, sin = np.cos(np.radians(angle)), np.sin(np.radians(angle))
        frame = np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]])
        for rows, columns in planes:
            plane = shift * frame[0] + steps[:, None, None] * frame[rows] + steps[:, None] * frame[columns]
            every.append(width * plane.reshape(-1, 3))
    return torch.from_numpy(np.concatenate(every).astype(np.float32))
