"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from caffe_port.layers.base import Layer, LayerContext, Shape, format_shape
from caffe_port.layers.registry import register
from caffe_port.layers.vision.pooling_window import Pair, PoolingWindow


@register("Pooling", v1="POOLING")
class Pooling(Layer):
    """The maximum (MAX), mean (AVE) or a random element (STOCHASTIC) of each window of each channel.

    Bottom (N, C, H, W), top (N, C, rows, columns) with rows = (H + 2 * pad - kernel) / stride + 1 rounded up
    (round_mode CEIL, the default) or down (FLOOR); see :class:`PoolingWindow` for the last window and for windows
    outside the input. With global_pooling the kernel is the whole plane. MAX may give a second top: the index
    h * W + w of each maximum as a float, -1 for an empty window; it has no gradient. STOCHASTIC samples in TRAIN
    phase in proportion to the elements and passes the gradient to the sample; in TEST it gives sum(x^2) / sum(x).
    engine has no effect. Caffe: pooling_layer.cpp, pooling_layer.cu.

    Deviates from Caffe: STOCHASTIC also runs on the CPU; in TEST phase its gradient is that of its formula, where
    Caffe's would use indices never drawn. A stride of 0 and a window that fits nowhere are refused. In a graph
    compiled by torch a NaN wins its MAX window; Caffe never picks it.
    """

    TOPS = (1, 2)

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param = self.param = layer_param.pooling_param
        self.method: str = param.PoolMethod.Name(param.pool)
        self.want_mask = len(layer_param.top) > 1
        text = f"{self.method} pooling has one top, not {len(layer_param.top)}."
        self.check(self.method == "MAX" or not self.want_mask, text, "Only MAX has a second one, its mask.")
        self._check_fields(param)
        pad, stride = self._pair("pad"), self._pair("stride")
        self.check(min(stride) > 0, "Stride cannot be zero.")
        if param.global_pooling:
            text = "With global_pooling only pad 0 and stride 1 are possible."
            self.check(pad == (0, 0) and stride == (1, 1), text)
            self.fixed_window = None
            return
        kernel = (param.kernel_size,) * 2 if param.HasField("kernel_size") else (param.kernel_h, param.kernel_w)
        self.check(min(kernel) > 0, "Filter dimensions cannot be zero.")
        self.fixed_window = PoolingWindow(kernel, stride, pad, param.round_mode == param.CEIL)
        check_padding(self, self.fixed_window, self.method)

    def _check_fields(self, param: Any) -> None:
        """Each of kernel, pad and stride is given in one of its two forms."""
        size, h, w = (param.HasField(f"kernel_{part}") for part in ("size", "h", "w"))
        if param.global_pooling:
            text = "With global_pooling the kernel is the whole input; no kernel may be given."
            self.check(not (size or h or w), text, "Remove kernel_size, kernel_h and kernel_w.")
        else:
            text = "The kernel is either kernel_size, or kernel_h and kernel_w."
            self.check(size != (h and w), text, "Give exactly one of the two forms.")
        for field in ("pad", "stride"):
            one, h, w = (param.HasField(name) for name in (field, f"{field}_h", f"{field}_w"))
            text = f"The {field} is either {field}, or {field}_h and {field}_w."
            self.check((not one and h and w) or (not h and not w), text, "Give exactly one of the two forms.")

    def _pair(self, field: str) -> Pair:
        """pad or stride as (vertical, horizontal)."""
        if self.param.HasField(f"{field}_h"):
            return (getattr(self.param, f"{field}_h"), getattr(self.param, f"{field}_w"))
        return (getattr(self.param, field),) * 2

    def window(self, shape: Sequence[int]) -> PoolingWindow:
        """The window for a bottom of this shape."""
        if self.fixed_window is not None:
            return self.fixed_window
        return PoolingWindow((shape[-2], shape[-1]), (1, 1))

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        shape = bottoms[0]
        check_planes(self, shape)
        return [pooled_shape(self, self.window(shape), shape)] * (2 if self.want_mask else 1)

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        window = self.window(x.shape)
        if self.method == "MAX":
            y, mask = window.max(x, self.want_mask)
            return (y,) if mask is None else (y, mask)
        if self.method == "AVE":
            return (window.average(x),)
        return (window.sample(x, self.random_generator()) if self.training else window.expect(x),)


def check_padding(layer: Layer, window: PoolingWindow, method: str) -> None:
    """Padding is smaller than the kernel, and absent for STOCHASTIC."""
    if not any(window.pad):
        return
    layer.check(method != "STOCHASTIC", "Padding is for average and max pooling only.", "Remove pad.")
    text = f"The pad {window.pad} must be smaller than the kernel {window.kernel}."
    layer.check(all(p < k for p, k in zip(window.pad, window.kernel)), text)


def check_planes(layer: Layer, shape: Shape) -> None:
    """A bottom to pool has 4 axes, of which neither height nor width is empty."""
    text = f"The bottom must have 4 axes (num, channels, height, width), not shape {format_shape(shape)}."
    layer.check(len(shape) == 4, text)
    layer.check(min(shape[2:]) > 0, f"The bottom of shape {format_shape(shape)} has an empty plane.")


def pooled_shape(layer: Layer, window: PoolingWindow, shape: Shape) -> Shape:
    """The top shape for a bottom of ``shape``."""
    rows, columns = window.outputs(shape[2:])
    layer.check(
        rows > 0 and columns > 0,
        f"The kernel {window.kernel} with pad {window.pad} does not fit a bottom of shape {format_shape(shape)}.",
        "Use a smaller kernel or a larger input.",
    )
    return (*shape[:2], rows, columns)
