"""LSTMUnit, and the step that it shares with LSTM."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.layers.base import Layer, Shape, format_shape
from caffe_port.layers.registry import register


class _ForgetGate(torch.autograd.Function):
    """f = cont * sigmoid(x), and 0 where cont is 0, with Caffe's gradient f (1 - f): exact for a cont of 0 or 1."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, cont: Tensor) -> Tensor:
        gate = torch.where(cont == 0, 0, cont * x.sigmoid())
        ctx.save_for_backward(gate)
        return gate

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (gate,) = ctx.saved_tensors
        return grad * gate * (1 - gate), None


def lstm_step(c: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, Tensor]:
    """The next cell and hidden state of :class:`LSTMUnit`; ``cont`` lacks the last axis of ``c`` and ``gates``."""
    i, f, o, g = gates.chunk(4, -1)
    c = _ForgetGate.apply(f, cont.unsqueeze(-1)) * c + i.sigmoid() * g.tanh()
    return c, o.sigmoid() * c.tanh()


@register("LSTMUnit")
class LSTMUnit(Layer):
    """One step of a long short-term memory without its weights (Hochreiter and Schmidhuber 1997).

    With the gate inputs (i', f', o', g') one after another on the last axis of the second bottom::

        c = cont * s(f') * c_prev + s(i') * tanh(g')        s: the logistic sigmoid
        h = s(o') * tanh(c)

    Bottoms: c_prev 1 x N x D, gate inputs 1 x N x 4D, cont 1 x N (0 where a new sequence begins; no gradient).
    Tops: c and h, 1 x N x D. Caffe: lstm_unit_layer.cpp.
    """

    BOTTOMS = (3, 3)
    TOPS = (2, 2)
    NO_GRADIENT = (2,)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        c, gates, cont = bottoms
        for shape, axes in zip(bottoms, (3, 3, 2)):
            fits = len(shape) == axes and shape[0] == 1
            self.check(fits, f"takes one time step in {axes} axes here, not a bottom of shape {format_shape(shape)}.")
        streams = f"The bottoms have {c[1]}, {gates[1]} and {cont[1]} streams; they must match."
        self.check(c[1] == gates[1] == cont[1], streams)
        self.check(
            gates[2] == 4 * c[2], f"There are {gates[2]} gate inputs for {c[2]} cells; there must be 4 for each."
        )
        return [c, c]

    def forward(self, c: Tensor, gates: Tensor, cont: Tensor) -> tuple[Tensor, ...]:
        self.refuse_gradient((c, gates, cont), "sequence indicators")
        return lstm_step(c, gates, cont)
