"""Confidence maps of a region: for every pixel the probability of lying on each interface (Fig. 8b)."""

from __future__ import annotations

import cv2
import numpy as np
import torch
from torch import Tensor

from caffe_port.net import Net
from caffe_port.study.interfaces.dense import DenseNet
from caffe_port.study.interfaces.patches import LUMEN_INTIMA, MEDIA_ADVENTITIA, enlarged, scale_of, to_scale
from caffe_port.study.interfaces.regions import Region
from caffe_port.study.settings import Settings

#: Pixels that are classified at once: what bounds the memory of nets with wide layers.
_AT_ONCE = 1 << 14


def confidence_maps(net: Net, region: Region, settings: Settings) -> np.ndarray:
    """(2, rows, columns) of a region: the probabilities of the lumen-intima and the media-adventitia interface.

    Where patches are made larger than they are in the image, so is the region; the net is applied at least once for
    every pixel of the image, and its output is interpolated linearly at the pixels.
    """
    scale = scale_of(region, settings.app, settings.base.size[0])
    dense = DenseNet(net, every=max(1, int(scale)))
    image = enlarged(region.image, scale)
    rows, columns = (_places(pixels, scale, dense.every) for pixels in (region.rows, region.columns))
    strip = max(1, _AT_ONCE // len(rows))
    parts = [_classify(dense, image, rows, columns[i : i + strip], settings) for i in range(0, len(columns), strip)]
    maps = torch.cat(parts, dim=2)[[LUMEN_INTIMA, MEDIA_ADVENTITIA]].numpy()
    if scale == 1:
        return maps
    at_rows, at_columns = (
        ((to_scale(pixels, scale) - places[0]) / dense.every).astype(np.float32)
        for pixels, places in ((region.rows, rows), (region.columns, columns))
    )
    x, y = np.meshgrid(at_columns, at_rows)
    return np.stack([cv2.remap(plane, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE) for plane in maps])


def _places(pixels: np.ndarray, scale: float, every: int) -> np.ndarray:
    """Rows (or columns) of the larger image, ``every`` pixels apart, between which all of ``pixels`` lie."""
    first, last = to_scale(pixels[[0, -1]], scale)
    return np.arange(int(np.floor(first)), int(np.ceil(last)) + every, every)


def _classify(dense: DenseNet, image: np.ndarray, rows: np.ndarray, columns: np.ndarray, settings: Settings) -> Tensor:
    """(classes, rows, columns): the net's output for the patches whose middles are at these places."""
    before = -(-dense.before // dense.every) * dense.every
    seen = []
    for places, patch, length in zip((rows, columns), dense.patch, image.shape):
        first = places[0] - patch // 2 - before
        last = places[-1] - patch // 2 + patch + dense.after
        seen.append(np.arange(first, last).clip(0, length - 1))
    pixels = settings.base.preprocess([image[np.ix_(*seen)]], resize=False).to(dense.net.device)
    skipped = before // dense.every
    return dense(pixels)[0, :, skipped:, skipped:][:, : len(rows), : len(columns)].cpu()
