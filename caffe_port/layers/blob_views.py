"""Blobs as pycaffe shows them, to scripts and to layers written in Python: numpy views (Caffe: _caffe.cpp)."""

from __future__ import annotations

import math
from abc import abstractmethod
from numbers import Integral

import numpy as np
import torch
from torch import Tensor

from caffe_port.errors import NetError
from caffe_port.layers.base import Layer
from caffe_port.layers.blob import Blob


class _Dimensions:
    """What pycaffe shows of the shape of any blob."""

    @property
    @abstractmethod
    def shape(self) -> tuple[int, ...]:
        """The dimensions, outermost first."""

    @property
    def count(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    num = property(lambda self: self._legacy(0), doc="First of four legacy dimensions.")
    channels = property(lambda self: self._legacy(1), doc="Second of four legacy dimensions.")
    height = property(lambda self: self._legacy(2), doc="Third of four legacy dimensions.")
    width = property(lambda self: self._legacy(3), doc="Fourth of four legacy dimensions.")

    def _legacy(self, axis: int) -> int:
        if len(self.shape) > 4:
            raise NetError(f"A blob of {len(self.shape)} axes has no legacy dimensions.")
        return (self.shape + (1,) * 4)[axis]


class BlobView(_Dimensions):
    """A blob of a net: ``data`` and ``diff`` are writable numpy views of its memory."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob

    @property
    def data(self) -> np.ndarray:
        """The values."""
        return self._blob.data.numpy()

    @property
    def diff(self) -> np.ndarray:
        """The gradient."""
        return self._blob.diff.numpy()

    @property
    def shape(self) -> tuple[int, ...]:
        return self._blob.shape

    def reshape(self, *shape: int) -> None:
        """Change the shape; ``net.reshape()`` or the next forward carries it through the net.

        :raises NetError: a dimension is negative or no integer.
        """
        if not all(isinstance(n, Integral) and n >= 0 for n in shape):
            raise NetError(f"A blob cannot have the shape {shape}.", remedy="Give integers: reshape(1, 3, 227, 227).")
        self._blob.reshape(*shape)


class ParamView(_Dimensions):
    """A learnable blob of a layer: views of the parameter and of its gradient.

    On a GPU they are views of copies on the CPU, which :meth:`push` and :meth:`pull` keep equal. On the CPU the memory
    of a diff that was looked at stays the gradient's, although a solver step makes a new gradient.
    """

    def __init__(self, layer: Layer, index: int) -> None:
        self._layer, self._index = layer, index
        self._copies: dict[str, Tensor] = {}
        self._diff: Tensor | None = None  # what Python holds views of, on the CPU

    @property
    def data(self) -> np.ndarray:
        """The weights."""
        return self._view("data")

    @property
    def diff(self) -> np.ndarray:
        """The gradient; after a solver step the update that was subtracted."""
        return self._view("diff")

    @property
    def shape(self) -> tuple[int, ...]:
        return self._layer.blob_shapes[self._index]

    def push(self) -> None:
        """Carry edits of the copies to the device."""
        for which, copy in self._copies.items():
            self._tensor(which).copy_(copy)

    def pull(self) -> None:
        """Carry new values from the device into the copies."""
        for which, copy in self._copies.items():
            copy.copy_(self._tensor(which))
        if self._diff is not None and self._diff.data_ptr() != self._tensor("diff").data_ptr():
            parameter = self._layer.blobs[self._index]
            parameter.grad = self._diff.copy_(self._tensor("diff")).view_as(parameter)

    def _tensor(self, which: str) -> Tensor:
        parameter = self._layer.blobs[self._index]
        if which == "data":
            return parameter.data.view(self.shape)
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        return parameter.grad.view(self.shape)

    def _view(self, which: str) -> np.ndarray:
        tensor = self._tensor(which)
        if tensor.device.type != "cpu":
            tensor = self._copies.setdefault(which, tensor.cpu())
        elif which == "diff":
            self._diff = tensor
        return tensor.numpy()
