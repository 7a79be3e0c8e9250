"""DummyData: blobs from fillers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port import rng
from caffe_port.errors import LayerError
from caffe_port.layers.base import LayerContext, Shape
from caffe_port.layers.data.base import DataLayer
from caffe_port.layers.fillers import FILLERS, fill
from caffe_port.layers.registry import register
from caffe_port.proto import pb

OLD_DIMS = ("num", "channels", "height", "width")


@register("DummyData", v1="DUMMY_DATA")
class DummyData(DataLayer):
    """Tops of fixed shapes, filled by data_filler (zeros without).

    Shapes come from ``shape``, or from the old num, channels, height and width, once or once per top; so do fillers. A
    constant top is filled once and the same tensor is served ever after, so that what a program writes into it stays;
    others are filled anew in every forward. Caffe: dummy_data_layer.cpp.
    """

    TOPS = (1, None)

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        param = layer_param.dummy_data_param
        tops = len(layer_param.top)
        count = len(param.data_filler)
        text = f"Number of data fillers must be 0, 1 or equal to the number of tops: {tops}; there are {count}."
        self.check(count in (0, 1, tops), text)
        self.fillers = self._spread(list(param.data_filler) or [pb.FillerParameter()])
        self.shapes = self._read_shapes()
        self._constants: dict[int, Tensor] = {}
        for filler in self.fillers:
            known = f"Known fillers: {', '.join(sorted(FILLERS))}."
            self.check(filler.type in FILLERS, f"Unknown filler name: '{filler.type}'.", known)

    def _read_shapes(self) -> list[Shape]:
        param = self.layer_param.dummy_data_param
        if not any(len(getattr(param, name)) for name in OLD_DIMS):
            shapes = [tuple(shape.dim) for shape in self._spread_field("shape")]
        else:
            self.check(not param.shape, "Both shape and legacy fields were specified.", "Use shape alone.")
            shapes = list(zip(*(self._spread_field(name) for name in OLD_DIMS)))
        for shape in shapes:
            self.check(min(shape, default=0) >= 0, f"the shape {shape} has a negative axis.")
        return shapes

    def _spread_field(self, name: str) -> list[Any]:
        values = list(getattr(self.layer_param.dummy_data_param, name))
        tops = len(self.layer_param.top)
        text = f"Must specify '{name}' once, or once per top blob ({tops}); specified {len(values)}."
        self.check(len(values) in (1, tops), text)
        return self._spread(values)

    def _spread(self, values: list[Any]) -> list[Any]:
        return values if len(values) > 1 else values * len(self.layer_param.top)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        return list(self.shapes)

    def forward(self) -> tuple[Tensor, ...]:
        self.passes += 1
        return tuple(self._top(index) for index in range(len(self.shapes)))

    def _top(self, index: int) -> Tensor:
        if self.fillers[index].type != "constant":
            return self._fill(index, self.shapes[index])
        kept = self._constants.get(index)
        if kept is None or kept.device != self.like.device or kept.dtype != self.like.dtype:
            kept = self._constants[index] = self._fill(index, self.shapes[index])
        return kept

    def _fill(self, index: int, shape: Shape) -> Tensor:
        """Drawn on the CPU, so that the device does not change the numbers."""
        top = torch.empty(shape, dtype=self.like.dtype)
        generator = rng.torch_generator(self.context.own_seed, self.name, "pass", self.passes, index)
        try:
            fill(top, self.fillers[index], generator)
        except LayerError as error:
            raise error.at(layer=self.name, layer_type=self.TYPE) from None
        return top.to(self.like.device)
