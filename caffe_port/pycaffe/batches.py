"""Any number of items through a net of fixed batch size (Caffe: pycaffe.py, _Net_forward_all)."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from caffe_port.errors import NetError

if TYPE_CHECKING:
    from caffe_port.pycaffe.net import Net

Arrays = dict[str, Any]  # of numpy arrays


def forward_all(net: Net, blobs: Sequence[str] | None, inputs: Mapping[str, Any]) -> Arrays:
    """The outputs of ``net``, and the ``blobs``, for all items of ``inputs``."""
    arrays = _checked(inputs, net.inputs)
    found: dict[str, list[np.ndarray]] = {}
    for count, batch in _batches(net, arrays):
        _collect(found, net.forward(blobs=blobs, **batch), count)
    return _joined(found)


def forward_backward_all(
    net: Net, blobs: Sequence[str] | None, diffs: Sequence[str] | None, given: Mapping[str, Any]
) -> tuple[Arrays, Arrays]:
    """Likewise with the diffs of the net's inputs, and of the ``diffs``."""
    top_diffs = [name for name in net.outputs if name in given]
    arrays = _checked(given, [*net.inputs, *(net.outputs if top_diffs else [])])
    data: dict[str, list[np.ndarray]] = {}
    gradients: dict[str, list[np.ndarray]] = {}
    for count, batch in _batches(net, arrays):
        _collect(data, net.forward(blobs=blobs, **{name: batch[name] for name in net.inputs}), count)
        _collect(gradients, net.backward(diffs=diffs, **{name: batch[name] for name in top_diffs}), count)
    return _joined(data), _joined(gradients)


def _checked(given: Mapping[str, Any], names: Collection[str]) -> Arrays:
    if set(given) != set(names) or not names:
        needed = ", ".join(names) or "none, for it has data layers"
        raise NetError(f"Arrays are given for {', '.join(given) or 'nothing'}.", remedy=f"The net takes {needed}.")
    arrays = {name: np.asarray(value) for name, value in given.items()}
    counts = {name: len(value) if value.ndim else 0 for name, value in arrays.items()}
    if len(set(counts.values())) != 1 or not all(counts.values()):
        raise NetError(f"Every array needs the same number of items, one or more: {counts}.")
    return arrays


def _batches(net: Net, arrays: Arrays) -> Iterator[tuple[int, Arrays]]:
    """Batches of the net's size, the last one filled up with zeros, and how many items of each count."""
    size = net.blobs[net.inputs[0]].shape[0]
    for start in range(0, len(next(iter(arrays.values()))), size):
        parts = {name: value[start : start + size] for name, value in arrays.items()}
        count = len(next(iter(parts.values())))
        if count < size:
            fill = {name: np.zeros((size - count, *part.shape[1:]), part.dtype) for name, part in parts.items()}
            parts = {name: np.concatenate([part, fill[name]]) for name, part in parts.items()}
        yield count, parts


def _collect(found: dict[str, list[np.ndarray]], blobs: Mapping[str, np.ndarray], count: int) -> None:
    for name, value in blobs.items():
        found.setdefault(name, []).append(value[:count].copy() if value.ndim else value.reshape(1).copy())


def _joined(found: dict[str, list[np.ndarray]]) -> Arrays:
    return {name: np.concatenate(parts) for name, parts in found.items()}
