"""A trained net on many patches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice

import numpy as np
import torch

from caffe_port.net import Net
from caffe_port.study.base import Base

#: Patches that go through the net at once.
_BATCH = 64


def class_probabilities(net: Net, images: Iterable[np.ndarray], base: Base) -> np.ndarray:
    """What ``net``, in deploy form, says of each patch.

    :param images: uint8 patches, all of one size, as ``base.preprocess`` takes them.
    :return: (N, C) float64.
    """
    parts = []
    with torch.no_grad():
        for batch in _batches(images):
            probabilities = net(data=base.preprocess(batch).to(net.device))["prob"]
            parts.append(probabilities.flatten(1).double().cpu().numpy())
    return np.concatenate(parts)


def _batches(images: Iterable[np.ndarray]) -> Iterator[Sequence[np.ndarray]]:
    rest = iter(images)
    while batch := list(islice(rest, _BATCH)):
        yield batch
