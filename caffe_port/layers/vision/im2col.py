"""Im2col."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.base import Shape
from caffe_port.layers.registry import register
from caffe_port.layers.vision.base_convolution import WindowedLayer


@register("Im2col", v1="IM2COL")
class Im2col(WindowedLayer):
    """Copy every window of the (zero-padded) input into one column.

    Bottom (N..., C, spatial...), top (N..., C * prod(kernel), positions...): channel c * prod(kernel) + k of the top
    holds, at each window position, the element of channel c under kernel element k (row-major). Takes the window
    fields of convolution_param; needs at least one spatial axis. Caffe: im2col_layer.cpp, util/im2col.cpp.
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.read_window(bottoms[0])
        self.check(len(self.kernel) >= 1, "needs at least one spatial axis after its channel axis.")

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shape = bottoms[0]
        self.check_bottom(shape)
        output = self.positions(shape[self.channel_axis + 1 :])
        self.check_output(shape, output)
        return [(*shape[: self.channel_axis], self.channels * prod(self.kernel), *output)]

    def forward(self, bottom: Tensor) -> tuple[Tensor, ...]:
        x = self.merge_batch(bottom)
        margins = zip(reversed(self.pad), reversed(self.missing(x.shape[2:])))
        padded = F.pad(x, [n for p, m in margins for n in (p, p + m)])
        columns = [padded[where] for _, where in self.taps(self.positions(x.shape[2:]))]
        return (self.split_batch(torch.stack(columns, dim=2).flatten(1, 2), bottom),)
