"""LRN, BatchNorm, MVN, Softmax."""

from __future__ import annotations

from typing import Any

import torch

from caffe_port.convert.operands import batch_statistics
from caffe_port.convert.python_text import Code, call, number
from caffe_port.convert.torch_layers import runtime
from caffe_port.convert.torch_layers.site import EMITTERS, Site


@EMITTERS.register("LRN")
def lrn(site: Site) -> Code:
    """nn.LocalResponseNorm across channels, a function within them."""
    param = site.param.lrn_param
    size, alpha, beta = str(param.local_size), number(param.alpha), number(param.beta)
    if param.norm_region == param.WITHIN_CHANNEL:
        return call(site.use(runtime.lrn_within_channel), site.x, size, alpha=alpha, beta=beta)
    constructor = call("nn.LocalResponseNorm", size, alpha=alpha, beta=beta, k=number(param.k))
    return call(site.submodule(constructor), site.x)


@EMITTERS.register("BatchNorm")
def batch_norm(site: Site) -> Code:
    """nn.BatchNorm<n>d without scale and shift, its statistics divided by Caffe's scale factor."""
    layer: Any = site.layer
    axes = max(1, len(site.shapes[0]) - 2)
    layer.check(axes <= 3, "can be exported for bottoms of at most 5 axes.")
    constructor = call(f"nn.BatchNorm{axes}d", str(layer.channels), eps=number(layer.eps), affine="False")
    mean, variance = batch_statistics(layer)
    tensors = {"running_mean": mean, "running_var": variance, "num_batches_tracked": torch.tensor(0)}
    return call(site.submodule(constructor, **tensors), site.x)


@EMITTERS.register("MVN")
def mvn(site: Site) -> Code:
    """Mean and deviation over the plane or over all of an item; the top has four axes."""
    layer: Any = site.layer
    eps = [number(layer.eps)] if layer.normalize_variance else []
    return call(site.use(runtime.normalize_planes), site.x, str(layer.axes), *eps)


@EMITTERS.register("Softmax")
def softmax(site: Site) -> Code:
    """F.softmax along ``axis``."""
    axis = site.layer.axis(site.param.softmax_param.axis, site.shapes[0])
    return call("F.softmax", site.x, dim=str(axis))
