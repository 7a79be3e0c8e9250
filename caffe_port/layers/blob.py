"""What a layer reads and writes: data and diff in memory that keeps its place (Caffe: blob.hpp)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from caffe_port.layers.base import Shape


class _Memory:
    """Values that keep their place in the CPU's memory, and newer ones that were not copied there yet.

    Nothing is allocated or copied before somebody looks.
    """

    def __init__(self, device: torch.device, dtype: torch.dtype, fill: float = 0.0) -> None:
        self._device, self._dtype, self._fill = device, dtype, fill
        self._flat: Tensor | None = None  # exists once somebody has looked
        self._new: Tensor | None = None

    def view(self, shape: Shape) -> Tensor:
        """The values as ``shape``, writable; the memory is a new one only if it was too small."""
        count = math.prod(shape)
        if self._flat is None or self._flat.numel() < count:
            size = max(count, 1, 0 if self._new is None else self._new.numel())
            self._flat = torch.full((size,), self._fill, dtype=self._dtype)
        if self._new is not None:
            self._flat[: self._new.numel()].copy_(self._new.flatten())
            self._new = None
        return self._flat[:count].view(shape)

    def put(self, value: Tensor) -> None:
        """Take newer values; they are copied at once only if somebody may hold a view."""
        self._new = value.detach()
        if self._flat is not None:
            self.view(value.shape)

    def value(self, shape: Shape) -> Tensor:
        """The values for computing with, on the device, safe from later edits of the memory."""
        if self._new is not None and self._new.numel() == math.prod(shape):
            return self._new.reshape(shape)
        return self.view(shape).clone().to(self._device)


class Blob:
    """Data and diff of one intermediate result (Caffe: blob.hpp).

    ``data`` and ``diff`` are tensors whose memory stays the same from call to call, so that views of them stay valid;
    a reshape to no more values keeps it too. Nothing is allocated or copied before it is asked for.

    :param device: where it is computed with; its memory is the CPU's, for numpy views.
    :param loss_weight: what a new diff is filled with.
    """

    def __init__(
        self,
        shape: Shape = (),
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        loss_weight: float = 0.0,
    ) -> None:
        self.shape = tuple(shape)
        self._data = _Memory(torch.device(device), dtype)
        self._diff = _Memory(torch.device(device), dtype, loss_weight)

    def reshape(self, *shape: int) -> None:
        """Change the shape; the values are kept as far as the memory reaches."""
        self.shape = tuple(int(n) for n in shape)

    def share(self, other: Blob, which: Sequence[str]) -> None:
        """Use the memory of ``other``, which has as many values, for "data" or "diff" or both."""
        if "data" in which:
            self._data = other._data
        if "diff" in which:
            self._diff = other._diff

    @property
    def data(self) -> Tensor:
        """The values, writable."""
        return self._data.view(self.shape)

    @property
    def diff(self) -> Tensor:
        """The gradient with respect to ``data``, writable."""
        return self._diff.view(self.shape)

    def put_data(self, value: Tensor) -> None:
        """Take ``value`` as new data, its shape included."""
        self.reshape(*value.shape)
        self._data.put(value)

    def put_diff(self, value: Tensor) -> None:
        """Take ``value``, of the data's shape, as new diff."""
        self._diff.put(value)

    def value(self) -> Tensor:
        """The data for computing with, on the device, safe from later edits of the memory."""
        return self._data.value(self.shape)

    def gradient(self) -> Tensor:
        """The diff for computing with, likewise."""
        return self._diff.value(self.shape)
