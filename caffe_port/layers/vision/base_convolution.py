"""What Convolution, Deconvolution and Im2col share: the window, the learnable blobs, batch axes, shape checks.

Caffe: base_conv_layer.cpp.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Any

from torch import Tensor

from caffe_port.layers.base import Layer, Shape, format_shape

#: An index of the last axes of a tensor: an ellipsis, then a number or a slice for each.
Index = tuple[Any, ...]


class WindowedLayer(Layer):
    """A layer that slides a window over the axes after the channel axis, as ``convolution_param`` describes it.

    The axes before ``axis`` (default 1) are batch axes, those after it are spatial, any number of them. kernel_size,
    stride (default 1), pad (default 0) and dilation (default 1) are given once or once per spatial axis; with two
    spatial axes kernel_h/kernel_w, stride_h/stride_w and pad_h/pad_w may be given instead. engine and
    force_nd_im2col choose an implementation in Caffe and have no effect here.

    Deviates from Caffe: a stride or dilation of 0 is refused; Caffe divides by a stride_h of 0, and takes dilation 0 as
    a window of one element.
    """

    channel_axis: int
    channels: int
    kernel: Shape
    stride: Shape
    pad: Shape
    dilation: Shape

    def read_window(self, bottom: Shape) -> None:
        """Set the attributes above from ``convolution_param`` for a bottom of this shape."""
        param = self.layer_param.convolution_param
        self.channel_axis = self.axis(param.axis, bottom)
        self.channels = bottom[self.channel_axis]
        self.kernel = self._per_axis("kernel_size", "kernel", len(bottom) - self.channel_axis - 1, None)
        self.stride = self._per_axis("stride", "stride", len(self.kernel), 1)
        self.pad = self._per_axis("pad", "pad", len(self.kernel), 0)
        self.dilation = self._per_axis("dilation", None, len(self.kernel), 1)
        self.check(all(n > 0 for n in self.kernel), "Filter dimensions must be nonzero.")
        self.check(all(n > 0 for n in self.stride), "Stride dimensions must be nonzero.")
        self.check(all(n > 0 for n in self.dilation), "Dilation must be nonzero.", "Use 1 for a dense window.")

    def _per_axis(self, repeated: str, pair: str | None, axes: int, default: int | None) -> Shape:
        """One value for each of the spatial ``axes``: from ``<pair>_h`` and ``<pair>_w``, or from ``repeated``."""
        param = self.layer_param.convolution_param
        values = list(getattr(param, repeated))
        if pair and (param.HasField(f"{pair}_h") or param.HasField(f"{pair}_w")):
            both = f"{pair}_h and {pair}_w"
            self.check(axes == 2, f"{both} are for two spatial axes, this bottom has {axes}.", f"Use '{repeated}'.")
            self.check(not values, f"{both} are given together with {repeated}.", "Give one of the two forms.")
            return (getattr(param, f"{pair}_h"), getattr(param, f"{pair}_w"))
        if not values and default is not None:
            return (default,) * axes
        self.check(
            len(values) in (1, axes),
            f"{repeated} is given {len(values)} times for {axes} spatial axes.",
            "Give it once, or once per spatial axis.",
        )
        return tuple(values * axes if len(values) == 1 else values)

    @property
    def extent(self) -> Shape:
        """How far the window reaches along each axis: dilation * (kernel - 1) + 1."""
        return tuple(d * (k - 1) + 1 for k, d in zip(self.kernel, self.dilation))

    def missing(self, spatial: Sequence[int]) -> list[int]:
        """By how much the window exceeds the padded input along each axis; 0 where it fits."""
        return [max(0, e - n - 2 * p) for n, p, e in zip(spatial, self.pad, self.extent)]

    def positions(self, spatial: Sequence[int]) -> list[int]:
        """How many windows fit: (in + 2 * pad - extent) / stride + 1.

        The division truncates towards zero as C's does: a window that is too long by less than the stride still gets
        its one position, and reads zeros beyond the padding.
        """
        room = [n + 2 * p - e for n, p, e in zip(spatial, self.pad, self.extent)]
        return [1 + (r // s if r >= 0 else -(-r // s)) for r, s in zip(room, self.stride)]

    def check_bottom(self, bottom: Shape) -> None:
        """Axes and channels are those of set-up."""
        axes = self.channel_axis + 1 + len(self.kernel)
        self.check(len(bottom) == axes, f"The bottom had {axes} axes and now has {len(bottom)}; that may not change.")
        have = bottom[self.channel_axis]
        self.check(have == self.channels, f"The bottom has {have} channels, the layer was set up for {self.channels}.")

    def check_output(self, bottom: Shape, output: Sequence[int]) -> None:
        """Every spatial axis of the top has at least one element."""
        self.check(
            all(n > 0 for n in output),
            f"The window of {self.extent} does not fit a bottom of shape {format_shape(bottom)} with pad {self.pad}: "
            f"the top would have spatial axes {tuple(output)}.",
            "Use a smaller kernel or dilation, or a larger input.",
        )

    def merge_batch(self, x: Tensor) -> Tensor:
        """``x`` with exactly one axis before its channels."""
        if self.channel_axis == 1:
            return x
        return x.unsqueeze(0) if self.channel_axis == 0 else x.flatten(0, self.channel_axis - 1)

    def split_batch(self, y: Tensor, like: Tensor) -> Tensor:
        """Undo :meth:`merge_batch`: the batch axes are those of ``like``."""
        return y if self.channel_axis == 1 else y.reshape(*like.shape[: self.channel_axis], *y.shape[1:])

    def taps(self, positions: Sequence[int]) -> Iterator[tuple[Index, Index]]:
        """Every kernel index with the slice of the padded input that it touches, one element per window.

        Both index the last axes of a tensor, whatever comes before them.
        """
        for index in product(*map(range, self.kernel)):
            starts = [i * d for i, d in zip(index, self.dilation)]
            where = [slice(b, b + (n - 1) * s + 1, s) for b, n, s in zip(starts, positions, self.stride)]
            yield (..., *index), (..., *where)


class BaseConvolution(WindowedLayer):
    """A windowed layer with a weight blob and, if ``bias_term``, a bias blob of shape (num_output,).

    Several bottoms, all of one shape, share the blobs; each gives one top.
    """

    BOTTOMS = (1, None)
    TOPS = (1, None)
    EQUAL_BOTTOMS_TOPS = True

    def weight_shape(self) -> Shape:
        """The shape of the weight blob."""
        raise self.error("has no weight shape.")

    def output_spatial(self, spatial: Sequence[int]) -> list[int]:
        """The spatial axes of the top for a bottom with these."""
        raise self.error("has no shape rule.")

    def convolve(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The top for ``x`` with one batch axis."""
        raise self.error("has no forward.")

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.layer_param.convolution_param
        self.read_window(bottoms[0])
        self.num_output, self.group = param.num_output, param.group
        self.check(self.num_output > 0, "num_output must be at least 1.")
        self.check(self.group > 0, "group must be at least 1.")
        text = "is not a multiple of group"
        self.check(self.channels % self.group == 0, f"The bottom's channels {self.channels} {text} {self.group}.")
        self.check(self.num_output % self.group == 0, f"num_output {self.num_output} {text} {self.group}.")
        self.add_blob("weight", self.weight_shape(), param.weight_filler)
        if param.bias_term:
            self.add_blob("bias", (self.num_output,), param.bias_filler)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        first = bottoms[0]
        self.check_bottom(first)
        for shape in bottoms[1:]:
            text = f"All bottoms must have one shape: {format_shape(first)} and {format_shape(shape)}."
            self.check(shape == first, text)
        output = self.output_spatial(first[self.channel_axis + 1 :])
        self.check_output(first, output)
        return [(*first[: self.channel_axis], self.num_output, *output)] * len(bottoms)

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        weight = self.blob(0)
        bias = self.blob(1) if len(self.blob_names) > 1 else None
        return tuple(self.split_batch(self.convolve(self.merge_batch(x), weight, bias), x) for x in bottoms)
