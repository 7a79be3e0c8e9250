"""The graph that is being written, and the place in it where an emitter writes one layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from caffe_port.convert.emitters import Emitters
from caffe_port.convert.plan import OpenShape, Step
from caffe_port.layers import Layer
from caffe_port.layers.base import Shape

#: Caffe type -> function of a :class:`Site`, which returns the value of the only top, or a list of the values of all.
EMITTERS = Emitters()


@dataclass(frozen=True)
class Operator:
    """One ONNX node: ``kind`` is its op_type."""

    kind: str
    name: str
    inputs: list[str]
    outputs: list[str]
    attributes: dict[str, Any]


class Graph:
    """A growing ONNX graph: ``operators`` in order, ``initializers`` by name, ``values`` by blob name.

    :param reserved: names of inputs and outputs, which no intermediate value gets.
    """

    def __init__(self, reserved: Sequence[str]) -> None:
        self.operators: list[Operator] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.values: dict[str, str] = {}
        self._reserved = frozenset(reserved)
        self._taken = set(reserved)
        self._operator_names: set[str] = set()
        self._shared: dict[int, str] = {}

    def add(self, step: Step) -> None:
        """Write the layer of ``step``."""
        bottoms = [self.values[name] for name in step.bottoms]
        tops = EMITTERS[step.layer.TYPE](Site(self, step.layer, bottoms, step.shapes, step.open_shapes, step.tops))
        self.values.update(zip(step.tops, tops if isinstance(tops, list) else [tops]))

    def op(self, layer: str, kind: str, inputs: Sequence[str], outputs: Sequence[str], **attributes: Any) -> list[str]:
        """Append an operator of ``layer``; its values are named after ``outputs``."""
        values = [fresh(name, self._taken) for name in outputs]
        name = fresh(layer or kind, self._operator_names)
        self.operators.append(Operator(kind, name, list(inputs), values, attributes))
        return values

    def constant(self, name: str, array: np.ndarray) -> str:
        """The name of a new initializer that holds ``array``."""
        name = fresh(name, self._taken)
        self.initializers[name] = array
        return name

    def weight(self, name: str, tensor: Tensor) -> str:
        """The name of the initializer that holds ``tensor``; blobs that layers share are stored once."""
        array = tensor.detach().cpu().float().contiguous().numpy()
        if not isinstance(tensor, nn.Parameter):
            return self.constant(name, array)
        if id(tensor) not in self._shared:
            self._shared[id(tensor)] = self.constant(name, array)
        return self._shared[id(tensor)]

    def publish(self, blobs: Sequence[str]) -> None:
        """Give the values of ``blobs`` the names of these blobs."""
        for blob in blobs:
            value = self.values[blob]
            if value in self._reserved:  # an input that passes through, or a value with several names
                name = fresh(blob, self._operator_names)
                self.operators.append(Operator("Identity", name, [value], [blob], {}))
                continue
            for operator in self.operators:
                for names in (operator.inputs, operator.outputs):
                    names[:] = [blob if name == value else name for name in names]
            self.values.update({key: blob for key, name in self.values.items() if name == value})


@dataclass(frozen=True)
class Site:
    """One layer in its place: its bottoms as values, their shapes (``open_shapes``: None follows the batch size)."""

    graph: Graph
    layer: Layer
    bottoms: list[str]
    shapes: list[Shape]
    open_shapes: list[OpenShape]
    tops: list[str]

    @property
    def x(self) -> str:
        """The first bottom."""
        return self.bottoms[0]

    @property
    def param(self) -> Any:
        """The LayerParameter."""
        return self.layer.layer_param

    def op(self, kind: str, *inputs: str, **attributes: Any) -> str:
        """Append an operator with one output and return that."""
        return self.ops(kind, *inputs, names=self.tops[:1], **attributes)[0]

    def ops(self, kind: str, *inputs: str, names: Sequence[str], **attributes: Any) -> list[str]:
        """Append an operator and return its outputs, which get these names or similar ones."""
        return self.graph.op(self.layer.name, kind, inputs, names, **attributes)

    def weight(self, name: str, tensor: Tensor) -> str:
        """An initializer ``<layer>.<name>``."""
        return self.graph.weight(f"{self.layer.name}.{name}", tensor)

    def floats(self, values: Any) -> str:
        """A constant of type float."""
        return self.graph.constant(f"{self.layer.name}.constant", np.array(values, dtype=np.float32))

    def integers(self, values: Sequence[int]) -> str:
        """A constant of type int64, one axis."""
        return self.graph.constant(f"{self.layer.name}.constant", np.array(values, dtype=np.int64))

    def reshape(self, x: str, dims: Sequence[int]) -> str:
        """Reshape ``x``; a 0 copies the axis at its place, -1 is what remains."""
        return self.op("Reshape", x, self.integers(dims))

    def fixed(self, axes: Sequence[int]) -> list[int]:
        """The sizes of these axes of the first bottom as dims for :meth:`reshape`.

        :raises LayerError: one of them follows the batch size.
        """
        sizes = [self.open_shapes[0][axis] for axis in axes]
        if None in sizes:
            raise self.layer.error("moves the batch axis, which an ONNX file of any batch size cannot express.")
        return [size for size in sizes if size is not None]


def fresh(name: str, taken: set[str]) -> str:
    """``name``, or with a number behind it, so that it differs from all of ``taken``; it is one of them then."""
    unique, count = name, 1
    while unique in taken:
        count += 1
        unique = f"{name}_{count}"
    taken.add(unique)
    return unique
