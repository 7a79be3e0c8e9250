"""Run a net layer by layer, keeping every blob's data and diff, as Caffe itself does.

This is the slow, inspectable way to execute the same layers as :class:`~caffe_port.net.net.Net`: forward and backward
may start and stop at any layer, blobs may be edited in between, and diffs are written where Caffe writes them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from caffe_port.layers.base import Shape
from caffe_port.net.graph import Node
from caffe_port.net.net import Net

#: What the tops of these layers share with their bottom, as in Caffe: their data, and of some the diff.
_SHARED = {"Split": ("data",), "Flatten": ("data", "diff"), "Reshape": ("data", "diff")}


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


class BlobwiseExecutor:
    """The blobs of ``net`` and forward and backward over any range of its layers.

    Deviates from Caffe: backward differentiates each layer as its last forward ran it. Data that was edited after that
    does not count, where in Caffe some layers read it again.
    """

    def __init__(self, net: Net) -> None:
        self.net = net
        weights = {name: w for node in net.nodes for name, w in zip(node.tops, node.loss_weights) if w}
        self.blobs: dict[str, Blob] = {
            name: Blob(shape, net.device, net.dtype, weights.get(name, 0.0)) for name, shape in net.blob_shapes.items()
        }
        self._graphs: dict[int, tuple[list[Tensor], tuple[Tensor, ...]]] = {}
        for node in net.nodes:
            for name in node.tops:
                shared = _SHARED.get(node.layer.TYPE, ())
                if shared and name not in node.bottoms:
                    flows = node.bottom_need_backward[0] or node.layer.TYPE != "Flatten"
                    self.blobs[name].share(self.blobs[node.bottoms[0]], shared if flows else ("data",))

    def forward(self, start: int = 0, end: int | None = None) -> float:
        """Run layers ``start`` to ``end`` (inclusive; None: the last) and return the weighted sum of their losses."""
        if any(self.blobs[name].shape != self.net.blob_shapes[name] for name in self.net.inputs):
            self.reshape()
        loss = 0.0
        for index, node in enumerate(self.net.nodes[start : self._stop(end)], start):
            if node.layer.TYPE == "Input":
                continue
            for name, top, weight in zip(node.tops, self._compute(index, node), node.loss_weights):
                self.blobs[name].put_data(top)
                if weight:
                    loss += weight * float(top.detach().sum())
        return loss

    def backward(self, start: int | None = None, end: int = 0) -> None:
        """Run backward from layer ``start`` (None: the last) down to ``end``, inclusive.

        Diffs of bottoms are overwritten, diffs of parameters are added to ``parameter.grad``, as Caffe does. A layer
        that never ran forward is run on what its bottoms hold.
        """
        for index in range(self._stop(start) - 1, end - 1, -1):
            node = self.net.nodes[index]
            if node.need_backward and (node.bottoms or node.layer.blob_names):
                self._backward_layer(index, node)

    def show(self, data: Mapping[str, Tensor], diffs: Mapping[str, Tensor]) -> None:
        """Take over the results of a pass that was done elsewhere: data and gradients by blob name."""
        self._graphs.clear()
        for name, value in data.items():
            self.blobs[name].put_data(value)
        for name, value in diffs.items():
            self.blobs[name].put_diff(value)

    def reshape(self) -> None:
        """Propagate the shapes of the input blobs through the net (Caffe: Net::Reshape)."""
        net = self.net
        net.reshape({name: self.blobs[name].shape for name in net.inputs})
        for name, shape in net.blob_shapes.items():
            self.blobs[name].reshape(*shape)

    def _stop(self, last: int | None) -> int:
        return len(self.net.nodes) if last is None else last + 1

    def _compute(self, index: int, node: Node) -> tuple[Tensor, ...]:
        """The tops of a layer; what backward will need is kept."""
        bottoms = [self.blobs[name].value() for name in node.bottoms]
        if not node.need_backward:
            with torch.no_grad():
                return self.net.run_layer(node, bottoms)
        with torch.enable_grad():
            leaves = [value.detach().requires_grad_(flows) for value, flows in zip(bottoms, node.bottom_need_backward)]
            tops = self.net.run_layer(node, leaves)
        self._graphs[index] = (leaves, tops)
        return tops

    def _backward_layer(self, index: int, node: Node) -> None:
        _, tops = self._graphs.get(index, ([], ()))
        if [top.shape for top in tops] != [self.blobs[name].shape for name in node.tops]:
            self._compute(index, node)
        leaves, tops = self._graphs[index]
        pairs = [(top, self.blobs[name].gradient()) for name, top in zip(node.tops, tops) if top.requires_grad]
        blobs = [blob for blob in node.layer.blobs if blob.requires_grad]
        wanted = [leaf for leaf in leaves if leaf.requires_grad] + blobs
        grads = _gradients(pairs, wanted)
        for leaf, name in zip(leaves, node.bottoms):
            if leaf.requires_grad:
                grad = grads.pop(0)
                self.blobs[name].put_diff(torch.zeros_like(leaf) if grad is None else grad)
        for blob, grad in zip(blobs, grads):
            if grad is not None:
                blob.grad = grad.clone() if blob.grad is None else blob.grad.add_(grad)


def _gradients(pairs: Sequence[tuple[Tensor, Tensor]], wanted: Sequence[Tensor]) -> list[Tensor | None]:
    if not pairs or not wanted:
        return [None] * len(wanted)
    tops = [top for top, _ in pairs]
    diffs = [diff.to(top) for top, diff in pairs]
    return list(torch.autograd.grad(tops, list(wanted), diffs, retain_graph=True, allow_unused=True))
