"""Filter."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from caffe_port.layers.base import Layer, Shape, format_shape
from caffe_port.layers.registry import register


@register("Filter")
class Filter(Layer):
    """Keep the items of a batch whose selector is not 0: one top for each bottom but the last, the selector.

    The selector is N (x 1 ...) and has no gradient; items left out get the gradient 0. ``reshape`` gives the tops the
    full N items, as Caffe does before it has seen data; ``forward`` returns as many as are selected, maybe none.
    Caffe: filter_layer.cpp.
    """

    BOTTOMS = (2, None)
    TOPS = (1, None)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self.NO_GRADIENT = (len(bottoms) - 1,)
        tops = len(self.layer_param.top)
        text = f"has {tops} tops for {len(bottoms)} bottoms; it needs one top for each bottom but the selector."
        self.check(tops == len(bottoms) - 1, text)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        *data, selector = bottoms
        self.check(len(selector) > 0, "needs a selector with at least one axis.")
        text = f"The selector's axes after the first must be 1, not {format_shape(selector)}."
        self.check(all(n == 1 for n in selector[1:]), text)
        for shape in data:
            text = f"A bottom of shape {format_shape(shape)} does not have the selector's {selector[0]} items."
            self.check(shape[:1] == selector[:1], text)
        return data

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        self.refuse_gradient(bottoms, "the selector")
        *data, selector = bottoms
        index = selector.detach().flatten().nonzero().flatten()
        return tuple(bottom.index_select(0, index) for bottom in data)
