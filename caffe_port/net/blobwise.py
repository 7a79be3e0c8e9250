"""Run a net layer by layer, keeping every blob's data and diff, as Caffe itself does.

This is the slow, inspectable way to execute the same layers as :class:`~caffe_port.net.net.Net`: forward and backward
may start and stop at any layer, blobs may be edited in between, and diffs are written where Caffe writes them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from caffe_port.layers.blob import Blob
from caffe_port.net.graph import Node
from caffe_port.net.net import Net

#: What the tops of these layers share with their bottom, as in Caffe: their data, and of some the diff.
_SHARED = {"Split": ("data",), "Flatten": ("data", "diff"), "Reshape": ("data", "diff")}

#: The kinds of :attr:`BlobwiseExecutor.hooks`.
HOOKS = ("before_forward", "after_forward", "before_backward", "after_backward")


class BlobwiseExecutor:
    """The blobs of ``net`` and forward and backward over any range of its layers.

    ``hooks`` holds functions by kind (:data:`HOOKS`), called with the index of every layer that is passed, whether or
    not it has anything to do (Caffe: Net::Callback).

    Deviates from Caffe: backward differentiates each layer as its last forward ran it. Data that was edited after that
    does not count, where in Caffe some layers read it again.
    """

    def __init__(self, net: Net) -> None:
        self.net = net
        self.hooks: dict[str, list[Callable[[int], None]]] = {kind: [] for kind in HOOKS}
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
        """Run layers ``start`` to ``end`` (inclusive; None: the last) and return the weighted sum of their losses.

        New shapes of blobs reach the layers that run and no others, which may be unable to take them.
        """
        self.net.blob_shapes.update((name, self.blobs[name].shape) for name in self.net.inputs)
        loss = 0.0
        for index, node in enumerate(self.net.nodes[start : self._stop(end)], start):
            self._call("before_forward", index)
            if node.layer.TYPE != "Input":
                loss += self._forward_layer(index, node)
            self._call("after_forward", index)
        return loss

    def backward(self, start: int | None = None, end: int = 0) -> None:
        """Run backward from layer ``start`` (None: the last) down to ``end``, inclusive.

        Diffs of bottoms are overwritten, diffs of parameters are added to ``parameter.grad``, as Caffe does. A layer
        that never ran forward is run on what its bottoms hold.
        """
        for index in range(self._stop(start) - 1, end - 1, -1):
            node = self.net.nodes[index]
            self._call("before_backward", index)
            if node.need_backward and (node.bottoms or node.layer.blob_names):
                self._backward_layer(index, node)
            self._call("after_backward", index)

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

    def _call(self, kind: str, index: int) -> None:
        for hook in self.hooks[kind]:
            hook(index)

    def _forward_layer(self, index: int, node: Node) -> float:
        loss = 0.0
        for name, top, weight in zip(node.tops, self._compute(index, node), node.loss_weights):
            self.blobs[name].put_data(top)
            if weight:
                loss += weight * float(top.detach().sum())
        return loss

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
                if blob.grad is None:
                    blob.grad = torch.zeros_like(blob, requires_grad=False)  # in the blob's own memory layout
                blob.grad.add_(grad)


def _gradients(pairs: Sequence[tuple[Tensor, Tensor]], wanted: Sequence[Tensor]) -> list[Tensor | None]:
    if not pairs or not wanted:
        return [None] * len(wanted)
    tops = [top for top, _ in pairs]
    diffs = [diff.to(top) for top, diff in pairs]
    return list(torch.autograd.grad(tops, list(wanted), diffs, retain_graph=True, allow_unused=True))
