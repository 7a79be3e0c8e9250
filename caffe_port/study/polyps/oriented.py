"""What an edge looks like: oriented intensity patches around its pixels, described by a few DCT coefficients.

After Tajbakhsh, Gurudu and Liang (the paper's [42]): a patch is rotated so that the edge's normal has a fixed
direction, is cut into overlapping strips along the normal, each strip is averaged over its width, and the profile that
remains is described by its first DCT coefficients.
"""

from __future__ import annotations

from functools import cache

import cv2
import numpy as np
from scipy import fft

from caffe_port.study.polyps.edges import Edges

#: A patch has this many samples along the normal and along the edge, so far apart (pixels).
ALONG_NORMAL, ALONG_EDGE, SPACING = 24, 16, 1.75
#: Strips are so many samples wide and begin so far from one another.
_WIDTH, _STEP = 4, 3
#: DCT coefficients of each strip's profile.
_COEFFICIENTS = 8
#: Blur of the image before it is sampled, in pixels.
_BLUR = 1.0


def oriented_patches(image: np.ndarray, edges: Edges) -> np.ndarray:
    """Patches (N, ALONG_EDGE, ALONG_NORMAL, C) of ``image`` (H, W, C) float32, centred on the pixels of ``edges``, of
    which OpenCV takes up to 32,766.

    The last but one axis runs from the dark side of the edge to the bright one, the axis before it along the edge, a
    quarter turn from the normal (x to y); outside the image its border is repeated.
    """
    u, v = (SPACING * (np.arange(count, dtype=np.float32) - (count - 1) / 2) for count in (ALONG_NORMAL, ALONG_EDGE))
    nx, ny = edges.normals.T[..., None, None]
    x = edges.points[:, 0, None, None] + u * nx - v[:, None] * ny
    y = edges.points[:, 1, None, None] + u * ny + v[:, None] * nx
    if not len(edges):  # remap refuses to do nothing
        return np.zeros((*x.shape, image.shape[2]), np.float32)
    flat = (len(edges), ALONG_EDGE * ALONG_NORMAL)
    pixels = cv2.remap(image, x.reshape(flat), y.reshape(flat), cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(pixels).reshape(*x.shape, image.shape[2])


def descriptors(image: np.ndarray, edges: Edges) -> np.ndarray:
    """(N, features) float32: for every channel and strip the first DCT coefficients of its profile, less the patch's
    mean in that channel, so that neither the light nor the colour of the whole place counts."""
    smooth = cv2.GaussianBlur(image, (0, 0), _BLUR).astype(np.float32)
    patches = oriented_patches(smooth, edges)
    channels = patches.reshape(len(edges), ALONG_EDGE * ALONG_NORMAL, image.shape[2]).transpose(2, 0, 1)
    return np.concatenate([channel @ _basis() for channel in channels], axis=1)


@cache
def _basis() -> np.ndarray:
    """(samples of a patch, features): all of it is linear, so that one product does the averaging and the DCT."""
    starts = range(0, ALONG_EDGE - _WIDTH + 1, _STEP)
    strips = np.zeros((ALONG_EDGE, len(starts)))
    for number, start in enumerate(starts):
        strips[start : start + _WIDTH, number] = 1 / _WIDTH
    waves = fft.dct(np.eye(ALONG_NORMAL), axis=1, norm="ortho")[:, :_COEFFICIENTS]
    basis = np.einsum("es,nw->ensw", strips, waves).reshape(ALONG_EDGE * ALONG_NORMAL, -1)
    return (basis - basis.mean(axis=0)).astype(np.float32)
