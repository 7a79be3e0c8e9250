"""Embed."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from caffe_port.layers.base import Layer, Shape, is_compiling
from caffe_port.layers.registry import register


@register("Embed")
class Embed(Layer):
    """Table look-up, an InnerProduct of one-hot vectors: y = weight[x] + bias for integers 0 <= x < input_dim.

    Bottom of any shape, top that shape with num_output appended. Blobs: ``weight`` (input_dim, num_output), and with
    bias_term ``bias`` (num_output,). The bottom gets no gradient. Caffe: embed_layer.cpp.

    Deviates from Caffe: an index out of range, or not a whole number, is an error (Caffe looks only in debug builds,
    and otherwise reads foreign memory or truncates).

    :raises LayerError: num_output or input_dim is missing; in ``forward``, an index that is not in the table.
    """

    NO_GRADIENT = (0,)

    def setup(self, bottoms: Sequence[Shape]) -> None:
        param = self.layer_param.embed_param
        self.check(param.num_output > 0, "num_output must be positive.", "Set embed_param { num_output: N }.")
        self.check(param.input_dim > 0, "input_dim must be positive.", "Set embed_param { input_dim: K }.")
        self.add_blob("weight", (param.input_dim, param.num_output), param.weight_filler)
        if param.bias_term:
            self.add_blob("bias", (param.num_output,), param.bias_filler)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return [(*bottoms[0], self.layer_param.embed_param.num_output)]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        self.refuse_gradient([x], "its bottom")
        index = x.long()
        if not (x.is_meta or is_compiling()):
            self._check_indices(x, index)
        y = F.embedding(index, self.blob(0))
        return (y + self.blob(1) if self.layer_param.embed_param.bias_term else y,)

    def _check_indices(self, x: Tensor, index: Tensor) -> None:
        rows = self.layer_param.embed_param.input_dim
        bad = (index < 0) | (index >= rows) | (index != x)
        if bad.any():
            raise self.error(
                f"{x[bad][0].item():g} is not an index into the {rows} rows of the table.",
                f"Indices are whole numbers from 0 to {rows - 1}; a larger input_dim takes larger ones.",
            )
