"""Run a net layer by layer, keeping every blob's data and diff, as Caffe itself does.

This is the slow, inspectable way to execute the same layers as :class:`~caffe_port.net.net.Net`: forward and backward
may start and stop at any layer, blobs may be edited in between, and diffs are written where Caffe writes them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from caffe_port.layers.base import Shape
from caffe_port.net.graph import Node
from caffe_port.net.net import Net


class Blob:
    """Data and diff of one intermediate result (Caffe: blob.hpp).

    ``data`` and ``diff`` are tensors whose memory stays the same from call to call, so that views of them stay valid;
    a reshape to no more values keeps it too. Nothing is allocated or copied before it is asked for.
    """

    def __init__(self, shape: Shape = (), device: torch.device | str = "cpu") -> None:
        self.shape = tuple(shape)
        self.device = torch.device(device)  # where it is computed with; its memory is the CPU's, for numpy views
        self._data: Tensor | None = None  # flat memory; exists once somebody has looked
        self._diff: Tensor | None = None
        self._new_data: Tensor | None = None  # newest results, not yet copied into the memory
        self._new_diff: Tensor | None = None

    def reshape(self, *shape: int) -> None:
        """Change the shape; the values are kept as far as the memory reaches."""
        self.shape = tuple(int(n) for n in shape)

    @property
    def data(self) -> Tensor:
        """The values, writable."""
        self._data = self._memory(self._data)
        if self._new_data is not None:
            self._view(self._data).copy_(self._new_data)
            self._new_data = None
        return self._view(self._data)

    @property
    def diff(self) -> Tensor:
        """The gradient with respect to ``data``, writable."""
        self._diff = self._memory(self._diff)
        if self._new_diff is not None:
            self._view(self._diff).copy_(self._new_diff)
            self._new_diff = None
        return self._view(self._diff)

    def put_data(self, value: Tensor) -> None:
        """Take ``value`` as new data (its shape included); copied at once only if somebody may hold a view."""
        self.reshape(*value.shape)
        self._new_data = value.detach()
        if self._data is not None:
            self.data  # noqa: B018  the copy

    def put_diff(self, value: Tensor) -> None:
        """Take ``value``, of the data's shape, as new diff; copied as in :meth:`put_data`."""
        self._new_diff = value.detach()
        if self._diff is not None:
            self.diff  # noqa: B018  the copy

    def value(self) -> Tensor:
        """The data for computing with, on the device, safe from later edits of the memory."""
        if self._new_data is not None:
            return self._new_data
        return self.data.clone().to(self.device)

    def _memory(self, flat: Tensor | None) -> Tensor:
        count = math.prod(self.shape)
        if flat is None or flat.numel() < count:
            return torch.zeros(max(count, 1))
        return flat

    def _view(self, flat: Tensor) -> Tensor:
        return flat[: math.prod(self.shape)].view(self.shape)


class BlobwiseExecutor:
    """The blobs of ``net`` and forward and backward over any range of its layers."""

    def __init__(self, net: Net) -> None:
        self.net = net
        self.blobs: dict[str, Blob] = {name: Blob(shape, net.device) for name, shape in net.blob_shapes.items()}
        self._graphs: dict[int, tuple[list[Tensor], tuple[Tensor, ...]]] = {}
        for node in net.nodes:
            for name, weight in zip(node.tops, node.loss_weights):
                if weight:
                    self.blobs[name].diff.fill_(weight)

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

        Diffs of bottoms are overwritten, diffs of parameters are added to ``parameter.grad``, as Caffe does.
        """
        for index in range(self._stop(start) - 1, end - 1, -1):
            node = self.net.nodes[index]
            if node.need_backward and (node.bottoms or node.layer.blob_names):
                self._backward_layer(index, node)

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
        if index not in self._graphs:  # backward without forward: from what the blobs hold
            self._compute(index, node)
        leaves, tops = self._graphs[index]
        pairs = [(top, self.blobs[name].diff) for name, top in zip(node.tops, tops) if top.requires_grad]
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
    tops, diffs = zip(*pairs)
    diffs = [diff.reshape(top.shape).to(top) for top, diff in pairs]
    return list(torch.autograd.grad(tops, list(wanted), diffs, retain_graph=True, allow_unused=True))
