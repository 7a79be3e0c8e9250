"""A base without the padding of its layers, for nets that are applied to every pixel of an image.

A net that pads sees zeros around a patch, and the image's own pixels around the same patch in a larger image: what it
learned from patches is wrong there. For small nets, of which most of a patch is near its border, that decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from caffe_port.errors import NetError, StudyError
from caffe_port.layers.base import Shape
from caffe_port.layers.vision.pooling import Pooling
from caffe_port.net import Net
from caffe_port.proto import pb
from caffe_port.study.body import Body, input_layer

_WINDOWS = {"Convolution": "convolution_param", "Pooling": "pooling_param"}
_PADS = ("pad", "pad_h", "pad_w")
#: Sizes up to so many times the declared one are tried.
_LARGEST = 4


def without_padding(body: Body) -> Body:
    """``body`` with pad 0 in every Convolution and Pooling."""
    layers = []
    for layer in body.layers:
        new = pb.LayerParameter()
        new.CopyFrom(layer)
        if layer.type in _WINDOWS:
            for field in _PADS:
                getattr(new, _WINDOWS[layer.type]).ClearField(field)
        layers.append(new)
    return replace(body, layers=tuple(layers))


def _is_padded(body: Body) -> bool:
    windows = (getattr(layer, _WINDOWS[layer.type]) for layer in body.layers if layer.type in _WINDOWS)
    return any(np.any(getattr(window, field)) for window in windows for field in _PADS)


def fitting_size(body: Body, channels: int, size: Sequence[int]) -> tuple[int, int]:
    """The smallest square input, at least as large as ``size``, that suits ``body`` without its padding.

    No pooling window reaches over an edge there, and the first fully connected layer sees as many places as in a padded
    image of ``size``, since its weights are made for these; if it is the layer that is replaced, one place is enough.
    A net without padding that has no such layer keeps its size.

    :raises StudyError: there is none up to four times as large, or a padded net has no fully connected layer.
    """
    first = next((i for i, layer in enumerate(body.layers) if layer.type == "InnerProduct"), None)
    if first is None:
        if not _is_padded(body):
            return size[0], size[1]
        raise StudyError("The net has no InnerProduct layer.", remedy="Keep its padding: --padding.")
    shape, bottom = (1, channels, *size), body.layers[first].bottom[0]
    wanted: Shape | None = None
    if body.layers[first].name != body.learnable[-1]:
        wanted = Net(_below(body.layers[:first], shape)).blob_shapes[bottom][2:]
    for side in _sides(_below(without_padding(body).layers[:first], shape), max(size), bottom, wanted):
        return side, side
    raise StudyError(
        f"No input from {max(size)} to {_LARGEST * max(size)} pixels suits the net without its padding.",
        remedy="Keep its padding: --padding.",
    )


def _sides(net_param: Any, smallest: int, bottom: str, wanted: Shape | None) -> Iterator[int]:
    """Sides of inputs in which every pooling window lies, and the blob ``bottom`` has the ``wanted`` height and width.

    :param wanted: None: any.
    """
    dims = net_param.layer[0].input_param.shape[0].dim
    dims[2:] = [_LARGEST * smallest] * 2
    try:
        net = Net(net_param)
    except NetError:  # branches that only padding makes equally large
        return
    for side in range(smallest, dims[2] + 1):
        try:
            net.reshape({"data": (*dims[:2], side, side)})
        except NetError:
            continue
        if _windows_fit(net) and wanted in (None, net.blob_shapes[bottom][2:]):
            yield side


def _below(layers: Sequence[Any], shape: Sequence[int]) -> Any:
    return pb.NetParameter(layer=[input_layer(shape), *layers])


def _windows_fit(net: Net) -> bool:
    """Whether every pooling window lies within its bottom."""
    for node in net.nodes:
        if isinstance(node.layer, Pooling):
            (bottom,), (top, *_) = node.bottom_shapes, node.top_shapes
            window = node.layer.window(bottom)
            sizes = zip(bottom[2:], top[2:], window.kernel, window.stride)
            if any((out - 1) * stride + kernel > length for length, out, kernel, stride in sizes):
                return False
    return True
