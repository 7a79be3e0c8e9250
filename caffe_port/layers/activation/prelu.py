"""PReLU."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.activation.neuron import NeuronLayer
from caffe_port.layers.base import Shape
from caffe_port.layers.registry import register
from caffe_port.proto import pb


@register("PReLU")
class PReLU(NeuronLayer):
    """Parametric rectified linear unit: y = max(x, 0) + slope_c * min(x, 0) with c the index along axis 1.

    Bottom and top (N, C, ...). Blob ``slope``: (C,), or with channel_shared one number, (); filled with 0.25 unless
    told otherwise. The gradient at 0 is the slope; in-place changes nothing. Caffe: prelu_layer.cpp; He et al. 2015.

    Deviates from Caffe: takes more than four axes.

    :raises LayerError: the bottom has fewer than two axes, or another number of channels than the slopes.
    """

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._check_axes(bottoms[0])
        param = self.layer_param.prelu_param
        default = pb.FillerParameter(type="constant", value=0.25)
        shape = () if param.channel_shared else (bottoms[0][1],)
        self.add_blob("slope", shape, param.filler if param.HasField("filler") else default)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self._check_axes(bottoms[0])
        channels, slopes = bottoms[0][1], self.blob_shapes[0]
        self.check(slopes in ((), (channels,)), f"bottom has {channels} channels, but slope has shape {slopes}.")
        return [bottoms[0]]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return (F.prelu(x, self.blob(0)),)

    def _check_axes(self, bottom: Shape) -> None:
        self.check(len(bottom) >= 2, f"the bottom must have at least 2 axes, not {len(bottom)}.")
