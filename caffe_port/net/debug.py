"""What ``debug_info: true`` writes into the log: the mean magnitude of everything that flows through a net.

Caffe: net.cpp, ForwardDebugInfo, BackwardDebugInfo, Backward.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from caffe_port.log import log

if TYPE_CHECKING:
    from caffe_port.net.net import Net


class DebugInfo:
    """Log lines with sum(abs(x)) / count of every top, bottom diff and learnable blob of ``net``, pass by pass.

    A net whose ``debug_info`` is one of these calls :meth:`forward` after each layer; whoever ran autograd on the
    loss then calls :meth:`backward`.

    Deviates from Caffe: the diff of a parameter that several layers share is the finished sum on each of their lines,
    where Caffe shows how it grows. As in Caffe since 2015 the update itself is not logged.
    """

    def __init__(self, net: Net) -> None:
        self._net = net
        self._bottoms: dict[int, Sequence[Tensor]] = {}

    def forward(self, index: int, bottoms: Sequence[Tensor], tops: Sequence[Tensor]) -> None:
        """Log the tops and learnable blobs of layer ``index``, and make autograd keep the diffs of ``bottoms``."""
        node = self._net.nodes[index]
        for name, top in zip(node.tops, tops):
            log.info("    [Forward] Layer %s, top blob %s data: %g", node.name, name, _mean_magnitude(top))
        specs = self._net.net_param.layer[index].param
        for number, blob in enumerate(node.layer.blobs):
            shown = (specs[number].name if number < len(specs) else "") or number
            log.info("    [Forward] Layer %s, param blob %s data: %g", node.name, shown, _mean_magnitude(blob))
        if torch.is_grad_enabled():
            for bottom in bottoms:
                if bottom.requires_grad:
                    bottom.retain_grad()
            self._bottoms[index] = bottoms

    def backward(self) -> None:
        """Log the diffs of the pass that ended, from the last layer to the first, and the norms of all parameters."""
        for index in reversed(range(len(self._net.nodes))):
            if self._net.nodes[index].need_backward:
                self._backward_layer(index)
        self._bottoms.clear()
        data = [param.blob.detach() for param in self._net.params]
        diffs = [param.blob.grad for param in self._net.params if param.blob.grad is not None]
        log.error(
            "    [Backward] All net params (data, diff): L1 norm = (%g, %g); L2 norm = (%g, %g)",
            _norm(data, 1), _norm(diffs, 1), _norm(data, 2), _norm(diffs, 2),
        )  # fmt: skip

    def _backward_layer(self, index: int) -> None:
        node, layer_param = self._net.nodes[index], self._net.net_param.layer[index]
        for name, bottom, flows in zip(node.bottoms, self._bottoms.get(index, ()), node.bottom_need_backward):
            if flows:
                log.info("    [Backward] Layer %s, bottom blob %s diff: %g", node.name, name, _mean_diff(bottom))
        for number, blob in enumerate(node.layer.blobs):
            frozen = number < len(layer_param.param) and layer_param.param[number].lr_mult == 0
            if not frozen or self._net.net_param.force_backward:
                log.info("    [Backward] Layer %s, param blob %d diff: %g", node.name, number, _mean_diff(blob))


def _mean_magnitude(values: Tensor) -> float:
    return _norm([values.detach()], 1) / values.numel() if values.numel() else math.nan


def _mean_diff(tensor: Tensor) -> float:
    """The mean magnitude of the diff; autograd has none where nothing flows, Caffe has zeros."""
    if tensor.requires_grad and tensor.grad is not None:
        return _mean_magnitude(tensor.grad)
    return 0.0


def _norm(tensors: Sequence[Tensor], order: int) -> float:
    """The L1 or L2 norm of all values of ``tensors`` together."""
    sums = (float(torch.linalg.vector_norm(values, order, dtype=torch.float64)) ** order for values in tensors)
    return sum(sums) ** (1 / order)
