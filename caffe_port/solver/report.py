"""What training and testing write into the log, in Caffe's wording (Caffe: solver.cpp)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from caffe_port.log import log
from caffe_port.net import Net


class SmoothedLoss:
    """Mean of the last ``size`` losses."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.value = 0.0
        self._losses: list[float] = []

    def add(self, loss: float, index: int) -> None:
        """Take in the loss of iteration ``index``, counted from the start of this run."""
        if len(self._losses) < self.size:
            self._losses.append(loss)
            count = len(self._losses)
            self.value = (self.value * (count - 1) + loss) / count
        else:
            slot = index % self.size
            self.value += (loss - self._losses[slot]) / self.size
            self._losses[slot] = loss


def loss_weights(net: Net) -> dict[str, float]:
    """The loss weight of every blob of ``net``; 0 where it is none."""
    weights = dict.fromkeys(net.blob_shapes, 0.0)
    for node in net.nodes:
        weights.update((top, weight) for top, weight in zip(node.tops, node.loss_weights) if weight)
    return weights


def log_outputs(phase: str, net: Net, values: Mapping[str, np.ndarray]) -> None:
    """One line per value of each output blob: ``Test net output #0: accuracy = 0.97``."""
    for number, line in enumerate(_lines(net, values)):
        log.info("    %s net output #%d: %s", phase, number, line)


def log_means(net: Net, values: Mapping[str, np.ndarray]) -> None:
    """One line per value of each output blob, as ``caffe test`` ends: ``accuracy = 0.97``."""
    for line in _lines(net, values):
        log.info("%s", line)


def _lines(net: Net, values: Mapping[str, np.ndarray]) -> Iterator[str]:
    weights = loss_weights(net)
    for name in net.outputs:
        weight = weights[name]
        for value in values.get(name, ()):  # none after no batches at all
            yield f"{name} = {value:g}" + (f" (* {weight:g} = {weight * value:g} loss)" if weight else "")
