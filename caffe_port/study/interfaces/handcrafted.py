"""The handcrafted competitor: edges and brightness, one dynamic programme, two snakes; nothing is learned but offsets.

In the family of the paper's reference [73]: the lumen is dark, so that its border is the first rise of brightness from
above, and the adventitia is the brightest layer, below a rise of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy.ndimage import gaussian_filter, gaussian_filter1d

from caffe_port.study.interfaces.contours import find_contours
from caffe_port.study.interfaces.regions import Region

#: Blur in pixels, along rows downwards and along columns: interfaces are thin and nearly level.
_BLUR = (1.0, 3.0)
#: What is above or below an interface is taken from so many millimetres.
_REACH_MM = 0.5
#: Added to a brightness of 0 to 255 before its logarithm, which brings out the rise from black to dark grey.
_DARK = 4.0
#: Columns over which the strongest edge and the brightest pixel are averaged: their scale changes along the wall.
_ALONG = 15.0
#: Weights of the darkness above LI, and of the difference of brightness across MA, beside an edge of weight 1.
_LUMEN, _ADVENTITIA = 2.0, 1.0
#: How sharply a confidence falls with a weaker score.
_SHARPNESS = 4.0


def interfaces(region: Region, settings: Mapping[str, Any]) -> np.ndarray:
    """(2, columns) rows of LI and MA in the image, before any offset."""
    joint = {**settings, "path": "joint"}
    return find_contours(edge_maps(region), joint, region.mm).smooth + region.top


def offsets_mm(regions: Sequence[Region], settings: Mapping[str, Any]) -> np.ndarray:
    """How far below the expert's traces the edges lie, LI and MA: the median over ``regions`` of each one's mean.

    An expert's trace need not be where brightness rises most steeply.
    """
    found = [(interfaces(region, settings) - region.traces.both()).mean(axis=1) * region.mm for region in regions]
    return np.median(found, axis=0)


def edge_maps(region: Region) -> np.ndarray:
    """(2, rows, columns): for every pixel of the region, how much it looks like LI and MA, above 0 up to 1."""
    reach = max(1, round(_REACH_MM / region.mm))
    margin = reach + 4 * int(_BLUR[0]) + 1
    rows = np.arange(region.top - margin, region.bottom + margin).clip(0, len(region.image) - 1)
    image = region.image[rows].astype(np.float32)
    smooth = gaussian_filter(image, _BLUR)
    rise, dark_rise = (
        gaussian_filter(values, _BLUR, order=(1, 0)).clip(0) for values in (image, np.log(image + _DARK))
    )
    sums = np.cumsum(smooth, axis=0)
    means = (sums[reach:] - sums[:-reach]) / reach  # at i of the rows i + 1 to i + reach
    above, below = means[margin - reach - 1 :], means[margin:]
    height, columns = region.bottom - region.top, slice(region.columns[0], region.columns[-1] + 1)
    rise, dark_rise, smooth = (values[margin : margin + height, columns] for values in (rise, dark_rise, smooth))
    above, below = (values[:height, columns] for values in (above, below))
    brightest = gaussian_filter1d(np.percentile(smooth, 95, axis=0), _ALONG) + 5
    li = _relative(dark_rise) - _LUMEN * np.sqrt(above / brightest)
    ma = _relative(rise) + _ADVENTITIA * (below - above) / brightest
    return np.stack([np.exp(_SHARPNESS * (score - score.max())) for score in (li, ma)])


def _relative(edges: np.ndarray) -> np.ndarray:
    """``edges`` in parts of the strongest of their column and its neighbours."""
    return edges / np.maximum(gaussian_filter1d(edges.max(axis=0), _ALONG), 1e-3)
