"""Convolution, Deconvolution, Pooling, Crop."""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_port.convert.onnx_layers.site import EMITTERS, Site


@EMITTERS.register("Convolution", "Deconvolution")
def convolution(site: Site) -> list[str]:
    """Conv and ConvTranspose."""
    layer: Any = site.layer
    kind = "Conv" if layer.TYPE == "Convolution" else "ConvTranspose"
    weights = [site.weight(name, blob) for name, blob in zip(("weight", "bias"), layer.blobs)]
    return [
        site.ops(
            kind,
            bottom,
            *weights,
            names=[top],
            kernel_shape=list(layer.kernel),
            strides=list(layer.stride),
            pads=[*layer.pad, *layer.pad],
            dilations=list(layer.dilation),
            group=layer.group,
        )[0]
        for bottom, top in zip(site.bottoms, site.tops)
    ]


@EMITTERS.register("Pooling")
def pooling(site: Site) -> str:
    """MaxPool and AveragePool that round down, padded up to Caffe's last window.

    Padding to the last window instead of ``ceil_mode`` because runtimes differ in the latter. MaxPool never sees
    padding; the mean is rescaled where Caffe counts only a part of a window.
    """
    layer: Any = site.layer
    is_max = layer.method == "MAX"
    if layer.fixed_window is None:
        return site.op("GlobalMaxPool" if is_max else "GlobalAveragePool", site.x)
    window, spatial = layer.fixed_window, site.shapes[0][2:]
    inside = all((o - 1) * s < n + p for o, s, n, p in zip(window.outputs(spatial), window.stride, spatial, window.pad))
    layer.check(inside, "has a window outside its bottom, which ONNX cannot express.", "Use round_mode: FLOOR.")
    geometry = list(zip(spatial, window.outputs(spatial), window.kernel, window.stride, window.pad))
    far = [max(p, (o - 1) * s + k - n - p) for n, o, k, s, p in geometry]
    settings = {"kernel_shape": list(window.kernel), "strides": list(window.stride)}
    if is_max:
        return site.op("MaxPool", site.x, pads=[*window.pad, *far], **settings)
    y = site.op("AveragePool", site.x, pads=[*window.pad, *far], count_include_pad=1, **settings)
    rows, columns = (_counted(*axis) for axis in geometry)
    factor = np.prod(window.kernel) / np.outer(rows, columns)
    return y if (factor == 1).all() else site.op("Mul", y, site.floats(factor))


def _counted(n: int, o: int, k: int, s: int, p: int) -> np.ndarray:
    """How many elements each window counts along an axis: those within the bottom and its padding."""
    start = np.arange(o) * s - p
    return np.minimum(start + k, n + p) - start


@EMITTERS.register("Crop")
def crop(site: Site) -> str:
    """Slice, up to the offsets plus the second bottom's size."""
    param, axes = site.param.crop_param, len(site.shapes[0])
    start = site.layer.axis(param.axis, site.shapes[0])
    offsets = list(param.offset) or [0]
    starts = site.integers(offsets if len(offsets) > 1 else offsets * (axes - start))
    cut = site.integers(range(start, axes))
    sizes = site.op("Slice", site.op("Shape", site.bottoms[1]), site.integers([start]), site.integers([axes]))
    return site.op("Slice", site.x, starts, site.op("Add", sizes, starts), cut)
