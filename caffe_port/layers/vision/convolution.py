"""Convolution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.base import Shape
from caffe_port.layers.registry import register
from caffe_port.layers.vision.base_convolution import BaseConvolution
from caffe_port.layers.vision.layout import fast_layout

_NATIVE = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}


@register("Convolution", v1="CONVOLUTION")
class Convolution(BaseConvolution):
    """Cross-correlation with learnable filters, plus a bias per output channel.

    Bottom (N..., C, spatial...), top (N..., num_output, (in + 2 * pad - (dilation * (kernel - 1) + 1)) / stride + 1,
    ...). Blobs: weight (num_output, C / group, kernel...), bias (num_output,). With ``group`` g, the i-th g-th of the
    outputs sees the i-th g-th of the channels only. Without spatial axes it is a product with the weight matrix.
    Caffe: conv_layer.cpp, base_conv_layer.cpp.

    Deviates from Caffe: a kernel that fits nowhere is an error; Caffe makes an empty top when it exceeds the input by
    one to two strides.
    """

    def weight_shape(self) -> Shape:
        return (self.num_output, self.channels // self.group, *self.kernel)

    def output_spatial(self, spatial: Sequence[int]) -> list[int]:
        return self.positions(spatial)

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        missing = self.missing(x.shape[2:])
        if any(missing):
            x = F.pad(x, [n for m in reversed(missing) for n in (0, m)])
        axes = len(self.kernel)
        if axes == 0:
            return F.conv1d(x.unsqueeze(-1), weight.unsqueeze(-1), bias, groups=self.group).squeeze(-1)
        if axes in _NATIVE:
            return _NATIVE[axes](fast_layout(x, weight), weight, bias, self.stride, self.pad, self.dilation, self.group)
        return self._by_taps(x, weight, bias)

    def _by_taps(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Any number of spatial axes: the sum over kernel indices of (weight at the index) x (shifted input)."""
        positions = self.positions(x.shape[2:])
        padded = F.pad(x, [n for p in reversed(self.pad) for n in (p, p)]).unflatten(1, (self.group, -1))
        filters = weight.unflatten(0, (self.group, -1))
        shape = (x.shape[0], self.group, self.num_output // self.group, *positions)
        y = torch.zeros(shape, dtype=x.dtype, device=x.device)
        for index, where in self.taps(positions):
            y = y + torch.einsum("ngc...,goc->ngo...", padded[where], filters[index])
        y = y.flatten(1, 2)
        return y if bias is None else y + bias.view(-1, *[1] * len(positions))
