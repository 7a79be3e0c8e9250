"""What RNN and LSTM share."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.base import Layer, LayerContext, Shape, format_shape


class RecurrentLayer(Layer):
    """A layer that unrolls a recurrent net over the time steps of its bottom. Caffe: recurrent_layer.cpp.

    Bottoms: x of T x N x ... (T time steps of N independent streams); cont of T x N, 0 where a new sequence begins and
    else 1 (no gradient); an optional static input of N x ..., seen at every step; and with ``expose_hidden`` the
    recurrent states 1 x N x D of before the first step. Tops: T x N x D, D being ``num_output``; and with
    ``expose_hidden`` the states after the last step. T stays what it was at setup.

    Without ``expose_hidden`` the states are 0 at first and then those of the previous forward pass (a cont of 0 at the
    first step forgets them); a change of N makes them 0 again. No gradient flows through states from one pass to
    another, exposed or not. ``debug_info`` has no effect.
    """

    NO_GRADIENT = (1,)
    #: names of the recurrent states
    STATES: ClassVar[tuple[str, ...]] = ()

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        self.param = self.layer_param.recurrent_param
        self.check(self.param.num_output > 0, "num_output must be positive.")
        exposed = len(self.STATES) if self.param.expose_hidden else 0
        self.BOTTOMS = (2 + exposed, 3 + exposed)
        self.TOPS = (1 + exposed, 1 + exposed)
        self._input_sizes: list[int] = []
        self._steps: int | None = None

    # -- to be provided by each recurrent net -------------------------------------------------------------------------

    def add_blobs(self, size: int, static_size: int | None) -> None:
        """Create the learnable blobs for inputs of these sizes per stream and step."""
        raise self.error("has no learnable blobs.")

    def unroll(
        self, x: Tensor, static: Tensor | None, cont: Tensor, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        """The output T x N x D and the last states N x D; x is T x N x size, static N x size, states are N x D."""
        raise self.error("has no recurrent net.")

    # -- the layer ----------------------------------------------------------------------------------------------------

    def setup(self, bottoms: Sequence[Shape]) -> None:
        self._check(bottoms)
        self._steps = bottoms[0][0]
        self._input_sizes = self._sizes(bottoms)
        self.add_blobs(self._input_sizes[0], self._input_sizes[1] if self._is_static(bottoms) else None)
        for name in self.STATES:
            state = torch.zeros(bottoms[0][1], self.param.num_output)
            self.register_buffer(f"last_{name}", state, persistent=False)

    def reset(self) -> None:
        """Forget the states, as before the first forward pass."""
        for name in self.STATES:
            getattr(self, f"last_{name}").zero_()

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        self._check(bottoms)
        x = bottoms[0]
        text = f"The number of time steps changed from {self._steps} to {x[0]}; it must stay what it was at setup."
        self.check(x[0] == self._steps, text)
        sizes = self._sizes(bottoms)
        text = f"Input sizes {sizes} are incompatible with the learnable blobs, made for {self._input_sizes}."
        self.check(sizes == self._input_sizes, text)
        state = (1, x[1], self.param.num_output)
        if self.param.expose_hidden:
            for shape in bottoms[-len(self.STATES) :]:
                text = f"A hidden state must have shape {format_shape(state)}, not {format_shape(shape)}."
                self.check(shape == state, text)
        return [(x[0], *state[1:]), *[state] * (self.TOPS[0] - 1)]

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        self.refuse_gradient(bottoms, "sequence continuation indicators")
        x, cont = bottoms[:2]
        static = bottoms[2].flatten(1) if self._is_static(bottoms) else None
        if self.param.expose_hidden:
            states = [state.detach().squeeze(0) for state in bottoms[-len(self.STATES) :]]
        else:
            states = [getattr(self, f"last_{name}") for name in self.STATES]
            if states[0].shape[0] != x.shape[1]:
                states = [state.new_zeros(x.shape[1], state.shape[1]) for state in states]
        y, states = self.unroll(x.flatten(2), static, cont, states)
        states = [state.detach() for state in states]
        if self.param.expose_hidden:
            return (y, *(state.unsqueeze(0) for state in states))
        for name, state in zip(self.STATES, states):
            setattr(self, f"last_{name}", state)
        return (y,)

    def _is_static(self, bottoms: Sequence[object]) -> bool:
        """Whether there is a static input among ``bottoms``."""
        return len(bottoms) > self.BOTTOMS[0]

    def _sizes(self, bottoms: Sequence[Shape]) -> list[int]:
        """The values per stream (and step) of x and of the static input."""
        static = [math.prod(bottoms[2][1:])] if self._is_static(bottoms) else []
        return [math.prod(bottoms[0][2:]), *static]

    def _check(self, bottoms: Sequence[Shape]) -> None:
        x, cont = bottoms[:2]
        text = f"bottom 0 must have at least 3 axes (time steps x streams x ...), not shape {format_shape(x)}."
        self.check(len(x) >= 3 and x[0] > 0, text)
        text = f"bottom 1 must be time steps x streams, {x[0]} x {x[1]}, not of shape {format_shape(cont)}."
        self.check(cont == x[:2], text)
        if self._is_static(bottoms):
            static = bottoms[2]
            text = f"The static input must be {x[1]} streams x ..., not of shape {format_shape(static)}."
            self.check(len(static) >= 2 and static[0] == x[1], text)

    def transformed(self, x: Tensor, static: Tensor | None) -> Tensor:
        """W x + b at every step, blobs 0 and 1, plus the static term, blob 2."""
        total = F.linear(x, self.blob(0), self.blob(1))
        return total if static is None else total + F.linear(static, self.blob(2))
