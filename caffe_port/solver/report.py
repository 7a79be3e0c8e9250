"""What training and testing write into the log, in Caffe's wording (Caffe: solver.cpp)."""

from __future__ import annotations

from collections.abc import Mapping

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
    weights = loss_weights(net)
    number = 0
    for name in net.outputs:
        for value in values[name]:
            weight = weights[name]
            note = f" (* {weight:g} = {weight * value:g} loss)" if weight else ""
            log.info("    %s net output #%d: %s = %g%s", phase, number, name, value, note)
            number += 1
