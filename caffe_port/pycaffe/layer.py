"""What ``net.layers[i]`` is (Caffe: _caffe.cpp)."""

from __future__ import annotations

from caffe_port.layers import Layer
from caffe_port.layers.blob_views import ParamView
from caffe_port.layers.utility.python import Python, UserLayer


class LayerView:
    """A layer's ``type`` and its learnable ``blobs``."""

    def __init__(self, layer: Layer) -> None:
        self.type = layer.TYPE
        self.blobs: list[ParamView] = [ParamView(layer, index) for index in range(len(layer.blob_names))]


def view(layer: Layer) -> LayerView | UserLayer:
    """What a net shows of ``layer``; of one written in Python the user's own object."""
    return layer.user if isinstance(layer, Python) else LayerView(layer)
