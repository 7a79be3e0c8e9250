"""BatchNorm."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, LayerContext, Shape
from caffe_port.layers.normalization.standardize import Standardize
from caffe_port.layers.registry import register


@register("BatchNorm")
class BatchNorm(Layer):
    """Give each channel mean 0 and variance 1; scaling and shifting are left to a Scale layer.

    Bottom and top (N, C, ...), of any number of axes: y = (x - mean) / sqrt(variance + eps), per channel. With
    use_global_stats (by default in TEST phase) the statistics are blobs 0 and 1 divided by blob 2, or 0 where that is
    0. Otherwise they are those of the batch, over its m = count / C elements per channel, and every forward pass
    updates the blobs, with f = moving_average_fraction:

    - ``mean`` (C,) = f * mean + batch mean,
    - ``variance`` (C,) = f * variance + m / (m - 1) * batch variance (factor 1 for m = 1),
    - ``scale_factor`` (1,) = f * scale_factor + 1.

    No solver may touch the blobs: a ``param`` of this layer must say lr_mult: 0. Ioffe and Szegedy, "Batch
    normalization" (2015). Caffe: batch_norm_layer.cpp.

    Deviates from Caffe: a bottom of one axis is taken as one channel, as Caffe's set-up has it; its Reshape then fails.
    """

    IN_PLACE = True

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param = layer_param.batch_norm_param
        self._use_global_stats: bool | None = param.use_global_stats if param.HasField("use_global_stats") else None
        self.fraction: float = param.moving_average_fraction
        self.eps: float = param.eps
        for spec in list(layer_param.param)[:3]:
            text = f"Its statistics cannot be learned: a param has lr_mult {spec.lr_mult:g}."
            self.check(spec.lr_mult == 0, text, "Write lr_mult: 0, or leave param out.")

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.channels = self._channels(bottoms[0])
        for name, count in (("mean", self.channels), ("variance", self.channels), ("scale_factor", 1)):
            self.add_blob(name, (count,), learnable=False)
        for _ in range(len(self.layer_param.param), 3):
            self.layer_param.param.add(lr_mult=0)

    @property
    def use_global_stats(self) -> bool:
        """Whether the stored statistics are used: as the prototxt says, else outside training."""
        return not self.training if self._use_global_stats is None else self._use_global_stats

    def _channels(self, shape: Shape) -> int:
        self.check(len(shape) > 0, "The bottom must have at least one axis.")
        return shape[1] if len(shape) > 1 else 1

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        have = self._channels(bottoms[0])
        self.check(have == self.channels, f"The bottom has {have} channels, the layer was set up for {self.channels}.")
        return [bottoms[0]]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        if x.ndim == 1:
            return (self.forward(x.unsqueeze(1))[0].squeeze(1),)
        shape = (-1, *[1] * (x.ndim - 2))
        if self.use_global_stats:
            total, squares, factor = (self.blob(i) for i in range(3))
            scale = torch.where(factor == 0, factor, 1 / factor)
            return ((x - (total * scale).view(shape)) / (squares * scale + self.eps).sqrt().view(shape),)
        axes = (0, *range(2, x.ndim))
        y, mean, variance = Standardize.apply(x, axes, self.eps, True)
        self._accumulate(mean.flatten(), variance.flatten(), x.numel() // self.channels)
        return (y,)

    @torch.no_grad()
    def _accumulate(self, mean: Tensor, variance: Tensor, elements: int) -> None:
        """Update the blobs with the statistics of a batch of ``elements`` per channel."""
        correction = elements / (elements - 1) if elements > 1 else 1.0
        self.blob(0).mul_(self.fraction).add_(mean)
        self.blob(1).mul_(self.fraction).add_(variance, alpha=correction)
        self.blob(2).mul_(self.fraction).add_(1)
