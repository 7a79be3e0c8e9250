"""A trained net on many patches."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from caffe_port.net import Net
from caffe_port.study.base import Base

#: Patches that go through the net at once.
_BATCH = 64
#: Makes of inputs (N, C, H, W) more of them, on their device.
Augment = Callable[[Tensor], Tensor]


def class_probabilities(
    net: Net, images: Iterable[np.ndarray], base: Base, augment: Augment = lambda inputs: inputs
) -> np.ndarray:
    """What ``net``, in deploy form, says of each patch.

    :param images: uint8 patches, all of one size, as ``base.preprocess`` takes them.
    :param augment: turns and mirrors the patches where that costs least: on the net's device.
    :return: (N, C) float64, where N counts what ``augment`` made.
    """
    parts = []
    with torch.no_grad():
        for batch in _batches(images):
            for inputs in augment(base.preprocess(batch).to(net.device)).split(_BATCH):
                parts.append(net(data=inputs)["prob"].flatten(1).double().cpu().numpy())
    return np.concatenate(parts)


def _batches(images: Iterable[np.ndarray]) -> Iterator[Sequence[np.ndarray]]:
    rest = iter(images)
    while batch := list(islice(rest, _BATCH)):
        yield batch
