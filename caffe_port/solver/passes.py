"""One pass over a whole net (Caffe: Net::Forward and Net::ForwardBackward)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from caffe_port.net import Net

#: The outputs of a net by name, and the weighted sum of its losses (a tensor so that nobody need wait for a GPU yet).
Passed = tuple[Mapping[str, Tensor], Tensor | float]


def run_pass(
    net: Net,
    inputs: Mapping[str, Tensor],
    *,
    backward: bool = False,
    keep: Iterable[str] | None = None,
    traced: dict[str, Tensor] | None = None,
) -> Passed:
    """Forward, and backward if told: gradients are added to the parameters' ``grad``.

    :param inputs: tensors for the net's Input layers.
    :param keep: names of the blobs wanted (None: all), and ``traced``: as in :meth:`Net.run`.
    """
    if traced is None and backward and net.debug_info:
        traced = {}
    with torch.set_grad_enabled(backward):
        blobs, loss = net.run(inputs, keep, traced)
    if backward and loss is not None and loss.requires_grad:
        loss.backward()
    if backward and net.debug_info:
        net.debug_info.backward()
    return blobs, 0.0 if loss is None else loss.detach()


def zero_inputs(net: Net) -> dict[str, Tensor]:
    """Zeros for every Input layer: what Caffe's blobs hold until somebody writes into them."""
    return {name: torch.zeros(net.blob_shapes[name], device=net.device) for name in net.inputs}


def test_pass(net: Net) -> Passed:
    """The outputs and the loss of one batch of the net's data layers; Input layers hold zeros."""
    return run_pass(net, zero_inputs(net), keep=net.outputs)
