"""LRN, BatchNorm, MVN, Softmax."""

from __future__ import annotations

from typing import Any

import torch

from caffe_port.convert.onnx_layers.site import EMITTERS, Site
from caffe_port.convert.operands import batch_statistics


@EMITTERS.register("LRN")
def lrn(site: Site) -> str:
    """LRN across channels, whose alpha / size is Caffe's; within them the mean of squares by AveragePool."""
    param = site.param.lrn_param
    size, half = param.local_size, param.local_size // 2
    if param.norm_region == param.ACROSS_CHANNELS:
        return site.op("LRN", site.x, size=size, alpha=param.alpha, beta=param.beta, bias=param.k)
    squares = site.op("Mul", site.x, site.x)
    mean = site.op("AveragePool", squares, kernel_shape=[size] * 2, pads=[half] * 4, count_include_pad=1)
    scale = site.op("Add", site.op("Mul", mean, site.floats(param.alpha)), site.floats(1))
    return site.op("Mul", site.x, site.op("Pow", scale, site.floats(-param.beta)))


@EMITTERS.register("BatchNorm")
def batch_norm(site: Site) -> str:
    """BatchNormalization, its statistics divided by Caffe's scale factor."""
    layer: Any = site.layer
    mean, variance = batch_statistics(layer)
    named = {"scale": torch.ones_like(mean), "shift": torch.zeros_like(mean), "mean": mean, "variance": variance}
    operands = [site.weight(name, tensor) for name, tensor in named.items()]
    return site.op("BatchNormalization", site.x, *operands, epsilon=layer.eps)


@EMITTERS.register("MVN")
def mvn(site: Site) -> str:
    """Mean and deviation by ReduceMean; the top has four axes."""
    layer: Any = site.layer
    axes = len(site.shapes[0])
    x = site.x if axes == 4 else site.reshape(site.x, [0] * axes + [1] * (4 - axes))
    x = site.op("Sub", x, site.op("ReduceMean", x, axes=list(layer.axes)))
    if not layer.normalize_variance:
        return x
    deviation = site.op("Sqrt", site.op("ReduceMean", site.op("Mul", x, x), axes=list(layer.axes)))
    return site.op("Div", x, site.op("Add", deviation, site.floats(layer.eps)))


@EMITTERS.register("Softmax")
def softmax(site: Site) -> str:
    """Softmax along ``axis``."""
    return site.op("Softmax", site.x, axis=site.layer.axis(site.param.softmax_param.axis, site.shapes[0]))
