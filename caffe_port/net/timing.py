"""How long each layer of a net takes (Caffe: caffe.cpp, time)."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import torch

from caffe_port.log import log
from caffe_port.net.blobwise import BlobwiseExecutor
from caffe_port.net.net import Net


@dataclass
class LayerTime:
    """Mean milliseconds that one layer takes per pass."""

    name: str
    forward: float = 0.0
    backward: float = 0.0


@dataclass
class Timing:
    """Mean milliseconds per pass, layer by layer and for all; ``total`` milliseconds for the ``iterations``."""

    iterations: int
    layers: list[LayerTime] = field(default_factory=list)
    forward: float = 0.0
    backward: float = 0.0
    total: float = 0.0


def time_net(net: Net, iterations: int) -> Timing:
    """Run ``net`` forward and backward, layer by layer, ``iterations`` times, after one pass that is not counted.

    Input layers hold zeros, data layers serve their batches. On a GPU its work is awaited before the clock is read.

    Deviates from Caffe: layers that need no backward are not asked for it, so that a net without a loss has none; Caffe
    asks them all, which computes gradients of their weights from whatever the diffs hold.
    """
    run = BlobwiseExecutor(net)
    clock = _Clock(net.device)
    log.info("Performing Forward")
    log.info("Initial loss: %g", run.forward())
    log.info("Performing Backward")
    run.backward()
    log.info("*** Benchmark begins ***")
    log.info("Testing for %d iterations.", iterations)
    timing = Timing(iterations, [LayerTime(node.name) for node in net.nodes])
    start = clock()
    for iteration in range(iterations):
        begin = clock()
        for index, layer in enumerate(timing.layers):
            layer.forward += clock.measure(partial(run.forward, index, index)) / iterations
        middle = clock()
        for index in reversed(range(len(timing.layers))):
            spent = clock.measure(partial(run.backward, index, index))
            timing.layers[index].backward += spent / iterations
        end = clock()
        timing.forward += (middle - begin) / iterations
        timing.backward += (end - middle) / iterations
        log.info("Iteration: %d forward-backward time: %g ms.", iteration + 1, end - begin)
    timing.total = clock() - start
    return timing


class _Clock:
    """Milliseconds on a clock that first waits for what the GPU still has to do."""

    def __init__(self, device: torch.device) -> None:
        self._device = device

    def __call__(self) -> float:
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)
        return time.perf_counter() * 1000

    def measure(self, work: Callable[[], object]) -> float:
        """How long ``work`` takes."""
        start = self()
        work()
        return self() - start
