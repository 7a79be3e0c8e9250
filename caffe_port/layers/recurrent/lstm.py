"""LSTM."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.recurrent.base import RecurrentLayer
from caffe_port.layers.recurrent.lstm_unit import lstm_step
from caffe_port.layers.registry import register


@register("LSTM")
class LSTM(RecurrentLayer):
    """Long short-term memory (Hochreiter and Schmidhuber 1997)::

        (i', f', o', g') = W_hc (cont[t] * h[t-1]) + W_xc x[t] + b_c (+ W_xc_static x_static)
        c[t] = cont[t] * s(f') * c[t-1] + s(i') * tanh(g')        s: the logistic sigmoid
        h[t] = s(o') * tanh(c[t])

    Bottoms and tops: see :class:`RecurrentLayer`; the output is h, the states are h and c. Blobs, with D = num_output:
    W_xc (4D x size), b_c (4D), W_xc_static (4D x size) if there is a static input, W_hc (4D x D), filled by
    ``weight_filler`` and ``bias_filler``. Caffe: lstm_layer.cpp.
    """

    STATES = ("h", "c")
    BOTTOMS, TOPS = (2, 5), (1, 3)  # with and without static input and exposed states; an instance knows its own

    def add_blobs(self, size: int, static_size: int | None) -> None:
        units, weight, bias = self.param.num_output, self.param.weight_filler, self.param.bias_filler
        self.add_blob("W_xc", (4 * units, size), weight)
        self.add_blob("b_c", (4 * units,), bias)
        if static_size is not None:
            self.add_blob("W_xc_static", (4 * units, static_size), weight)
        self.add_blob("W_hc", (4 * units, units), weight)

    def unroll(
        self, x: Tensor, static: Tensor | None, cont: Tensor, states: list[Tensor]
    ) -> tuple[Tensor, list[Tensor]]:
        h, c = states
        hidden = []
        for term, go_on in zip(self.transformed(x, static), cont):
            c, h = lstm_step(c, F.linear(go_on[:, None] * h, self.blob(-1)) + term, go_on)
            hidden.append(h)
        return torch.stack(hidden), [h, c]
