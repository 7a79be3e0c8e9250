"""Deconvolution (transposed convolution)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.base import Shape
from caffe_port.layers.registry import register
from caffe_port.layers.vision.base_convolution import BaseConvolution, Index

_NATIVE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


@register("Deconvolution", v1="DECONVOLUTION")
class Deconvolution(BaseConvolution):
    """The transpose of Convolution: every input element adds its multiple of the filter to the output.

    Bottom (N..., C, spatial...), top (N..., num_output, out...) with
    out = stride * (in - 1) + dilation * (kernel - 1) + 1 - 2 * pad.
    Blobs: weight (C, num_output / group, kernel...), bias (num_output,). Caffe: deconv_layer.cpp.
    """

    def weight_shape(self) -> Shape:
        return (self.channels, self.num_output // self.group, *self.kernel)

    def output_spatial(self, spatial: Sequence[int]) -> list[int]:
        return [s * (n - 1) + e - 2 * p for n, s, e, p in zip(spatial, self.stride, self.extent, self.pad)]

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        axes = len(self.kernel)
        if axes == 0:
            return F.conv_transpose1d(x.unsqueeze(-1), weight.unsqueeze(-1), bias, groups=self.group).squeeze(-1)
        if axes in _NATIVE:
            return _NATIVE[axes](x, weight, bias, self.stride, self.pad, 0, self.group, self.dilation)
        return self._by_taps(x, weight, bias)

    def _by_taps(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Any number of spatial axes: every kernel index adds its product to a strided slice of the padded output."""
        spatial = x.shape[2:]
        grouped, filters = x.unflatten(1, (self.group, -1)), weight.unflatten(0, (self.group, -1))
        output = self.output_spatial(spatial)
        shape = (x.shape[0], self.group, self.num_output // self.group, *[n + 2 * p for n, p in zip(output, self.pad)])
        y = torch.zeros(shape, dtype=x.dtype, device=x.device)
        for index, where in self.taps(spatial):
            y[where] += torch.einsum("ngc...,gco->ngo...", grouped, filters[index])
        unpadded: Index = (..., *[slice(p, p + n) for n, p in zip(output, self.pad)])
        y = y[unpadded].flatten(1, 2)
        return y if bias is None else y + bias.view(-1, *[1] * len(output))
