"""Training patches on the lumen-intima interface, on the media-adventitia interface, and away from both (Fig. 7)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import cv2
import numpy as np

from caffe_port import rng
from caffe_port.study.interfaces.callipers import far_from
from caffe_port.study.interfaces.regions import Region

#: Labels.
BACKGROUND, LUMEN_INTIMA, MEDIA_ADVENTITIA = 0, 1, 2


def scale_of(region: Region, settings: Mapping[str, Any], size: int) -> float:
    """How much larger an image is made, so that a patch of ``patch_px`` pixels has ``size`` of them.

    With ``mm_per_px`` above 0 the patch has the same extent in tissue everywhere: ``patch_px`` pixels of that size.
    """
    scale = size / settings["patch_px"]
    return scale * region.mm / settings["mm_per_px"] if settings["mm_per_px"] > 0 else scale


def enlarged(image: np.ndarray, scale: float) -> np.ndarray:
    """``image`` (H, W) at ``scale``; see :func:`to_scale` for where its pixels go."""
    if scale == 1:
        return image
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)


def to_scale(coordinates: np.ndarray, scale: float) -> np.ndarray:
    """Rows or columns of an image in the image at ``scale``; pixels are counted from the middle of the first."""
    return (coordinates + 0.5) * scale - 0.5


def patches_of(
    region: Region, settings: Mapping[str, Any], size: int, seed: int
) -> Iterator[tuple[np.ndarray, int, str]]:
    """Patches of one region with labels and places, a function of ``seed`` and the region alone.

    On each interface ``patches_per_interface`` columns, drawn without repetition while there are enough, give a patch
    centred on the trace. Three places for each of these, drawn from the region, at least ``background_px`` pixels above
    or below both traces, give the background. Nothing is centred within ``calliper_px`` pixels of a calliper cross.
    ``stretch`` (least, greatest) draws a vertical scale for each patch: 1, 1 is the paper's plain recipe.

    :param size: height and width of a patch in pixels of the net's input.
    :return: (size, size) uint8, label, "x=312,y=201.4" (in pixels of the image).
    """
    random = rng.numpy_generator(seed, "patches", region.id)
    scale = scale_of(region, settings, size)
    image = enlarged(region.image, scale)
    low, high = settings["stretch"]
    for label, points in _centres(region, settings, random):
        for centre in points:
            stretch = np.exp(random.uniform(np.log(low), np.log(high)))
            x, y = to_scale(centre, scale)
            patch = cut_patch(image, x, y, size, stretch)
            yield patch, label, f"x={centre[0]:.0f},y={centre[1]:.1f}"


def cut_patch(image: np.ndarray, x: float, y: float, size: int, stretch: float = 1.0) -> np.ndarray:
    """The (size, size) patch around (x, y), which gets the pixel (size // 2, size // 2); borders are repeated.

    :param stretch: > 1 enlarges what is seen vertically.
    """
    middle = size // 2
    to_image = np.array([[1, 0, x - middle], [0, 1 / stretch, y - middle / stretch]])
    how = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(image, to_image, (size, size), flags=how, borderMode=cv2.BORDER_REPLICATE)


def _centres(
    region: Region, settings: Mapping[str, Any], random: np.random.Generator
) -> Iterator[tuple[int, np.ndarray]]:
    """Labels and centres (N, 2) as x, y."""
    crosses, distance = region.crosses, settings["calliper_px"]
    wanted = settings["patches_per_interface"]
    for label, rows in ((LUMEN_INTIMA, region.traces.li), (MEDIA_ADVENTITIA, region.traces.ma)):
        points = np.stack([region.columns, rows], axis=1)
        points = points[far_from(crosses, points, distance)]
        yield label, _draw(points, wanted, random)
    x, y = (axis.ravel() for axis in np.meshgrid(region.columns, region.rows))
    traces = region.traces.both()[:, x - region.columns[0]]
    points = np.stack([x, y], axis=1)[(np.abs(traces - y) >= settings["background_px"]).all(axis=0)]
    points = points[far_from(crosses, points, distance)]
    yield BACKGROUND, _draw(points, 3 * wanted, random)


def _draw(points: np.ndarray, count: int, random: np.random.Generator) -> np.ndarray:
    """``count`` of ``points``, or none where there are none; each before any a second time."""
    if not len(points):
        return points
    order = np.concatenate([random.permutation(len(points)) for _ in range(-(-count // len(points)))])
    return points[order[:count]]
