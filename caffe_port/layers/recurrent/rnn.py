"""RNN."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.recurrent.base import RecurrentLayer
from caffe_port.layers.registry import register


@register("RNN")
class RNN(RecurrentLayer):
    """A recurrent net with tanh units (Elman 1990)::

        h[t] = tanh(W_hh (cont[t] * h[t-1]) + W_xh x[t] + b_h (+ W_xh_static x_static))
        o[t] = tanh(W_ho h[t] + b_o)

    Bottoms and tops: see :class:`RecurrentLayer`; the output is o, the state h. Blobs: W_xh, b_h, W_xh_static if there
    is a static input, W_hh, W_ho, b_o, filled by ``weight_filler`` and ``bias_filler``. Caffe: rnn_layer.cpp.
    """

    STATES = ("h",)
    BOTTOMS, TOPS = (2, 4), (1, 2)  # with and without static input and exposed states; an instance knows its own

    def add_blobs(self, size: int, static_size: int | None) -> None:
        units, weight, bias = self.param.num_output, self.param.weight_filler, self.param.bias_filler
        self.add_blob("W_xh", (units, size), weight)
        self.add_blob("b_h", (units,), bias)
        if static_size is not None:
            self.add_blob("W_xh_static", (units, static_size), weight)
        self.add_blob("W_hh", (units, units), weight)
        self.add_blob("W_ho", (units, units), weight)
        self.add_blob("b_o", (units,), bias)

    def unroll(
        self, x: Tensor, static: Tensor | None, cont: Tensor, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        (h,) = states
        hidden = []
        for term, go_on in zip(self.transformed(x, static), cont):
            h = (F.linear(go_on[:, None] * h, self.blob(-3)) + term).tanh()
            hidden.append(h)
        return F.linear(torch.stack(hidden), self.blob(-2), self.blob(-1)).tanh(), [h]
