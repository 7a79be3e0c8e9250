"""A base net without its data layers and losses: the learnable layers in order, up to the scores.

Only these matter to fine-tuning; what feeds them and what judges their scores is the study's.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffe_port.errors import CaffeError, NetError
from caffe_port.net.features import needed_layers
from caffe_port.net.filter import filter_net, net_state
from caffe_port.proto import pb

#: Layers with weights, by whose number depth is counted, and the field with what they compute.
LEARNABLE = {
    "Convolution": "convolution_param",
    "Deconvolution": "convolution_param",
    "InnerProduct": "inner_product_param",
}
#: What stands above the scores.
_JUDGES = ("Softmax", "Accuracy", "ArgMax", "Silence", "HDF5Output")
#: Layers that make data, and the fields of them that know about size and channels.
_SOURCES = ("Data", "ImageData", "HDF5Data", "MemoryData", "WindowData", "DummyData", "Input")


@dataclass(frozen=True)
class Source:
    """What the layer that feeds a net tells of its input; the size is (0, 0) where it tells none."""

    size: tuple[int, int]
    channels: int
    transform: Any


@dataclass(frozen=True)
class Body:
    """The layers of a net from its input ``data`` to its scores.

    :param layers: LayerParameters, with their include and exclude rules.
    :param learnable: names of the layers that depth is counted by, the last one being that of the scores.
    :param new_last: a name for its successor that neither the net nor its weights have.
    :param output: blob of the scores, after whatever stands between the last learnable layer and the softmax.
    """

    name: str
    layers: tuple[Any, ...]
    learnable: tuple[str, ...]
    new_last: str
    output: str
    source: Source

    @classmethod
    def of(cls, net_param: Any, taken: Iterable[str] = (), file: str | Path | None = None) -> Body:
        """The body of ``net_param`` (upgraded, not filtered), a deploy net or one for training.

        :param taken: further names that the new last layer must not have.
        :raises NetError: it is no chain from one image input to scores.
        """
        try:
            return cls._of(net_param, set(taken))
        except CaffeError as error:
            raise error.at(file=file) from None

    @classmethod
    def _of(cls, net_param: Any, taken: set[str]) -> Body:
        ours = [layer for layer in net_param.layer if not (layer.type in _JUDGES or layer.type.endswith("Loss"))]
        trunk = pb.NetParameter(name=net_param.name, layer=ours)
        learnable = list(dict.fromkeys(layer.name for layer in ours if layer.type in LEARNABLE))
        if not learnable:
            raise NetError("The net has no Convolution, Deconvolution or InnerProduct: nothing to fine-tune.")
        output = _output(ours, learnable[-1])
        phases = [needed_layers(filter_net(trunk, net_state(phase)), [output]).layer for phase in ("TRAIN", "TEST")]
        needed = {layer.SerializeToString(deterministic=True) for layers in phases for layer in layers}
        layers = [layer for layer in ours if layer.SerializeToString(deterministic=True) in needed]
        blob, source = _source(layers)
        kept = tuple(_fed(layer, blob) for layer in layers if layer.type not in _SOURCES)
        names = {layer.name for layer in net_param.layer} | taken
        new_last = f"{learnable[-1]}_ft"
        while new_last in names:
            new_last += "_ft"
        depths = [name for name in learnable if any(layer.name == name for layer in kept)]
        return cls(net_param.name, kept, tuple(depths), new_last, output, source)

    def below_score(self, shape: Sequence[int]) -> Any:
        """The net below its last learnable layer, with an Input layer of this shape."""
        end = max(i for i, layer in enumerate(self.layers) if layer.name == self.learnable[-1])
        return pb.NetParameter(name=self.name, layer=[input_layer(shape), *self.layers[:end]])


def input_layer(shape: Sequence[int]) -> Any:
    """An Input layer of the blob ``data``."""
    layer = pb.LayerParameter(name="data", type="Input", top=["data"])
    layer.input_param.shape.add().dim.extend(shape)
    return layer


def _output(layers: Sequence[Any], last: str) -> str:
    """The blob at the end of the chain that begins with the layer ``last``."""
    start = max(i for i, layer in enumerate(layers) if layer.name == last)
    blob = layers[start].top[0]
    for layer in layers[start + 1 :]:
        if blob in layer.bottom and layer.top:
            blob = layer.top[0]
    return str(blob)


def _source(layers: Sequence[Any]) -> tuple[str, Source]:
    """The blob of images that the net takes, and what its source tells of it."""
    used = {name for layer in layers for name in layer.bottom}
    found: dict[str, list[Source]] = {}
    for layer in (layer for layer in layers if layer.type in _SOURCES):
        for index, top in enumerate(layer.top):
            if top in used:
                found.setdefault(top, []).append(_read_source(layer, index))
    if len(found) != 1:
        names = ", ".join(f"'{name}'" for name in found) or "none"
        raise NetError(
            f"The net needs one input of images; it has {names}.", remedy="A classifier of images is wanted."
        )
    ((blob, sources),) = found.items()
    return blob, sources[0]


def _read_source(layer: Any, index: int) -> Source:
    transform = layer.transform_param
    if layer.type == "Input" and layer.input_param.shape:
        shapes = layer.input_param.shape
        dims = list(shapes[index if len(shapes) > 1 else 0].dim)
        if len(dims) != 4:
            raise NetError(f"Its input has the shape {dims}, not that of images.", layer=layer.name, layer_type="Input")
        return Source((dims[2], dims[3]), dims[1], transform)
    channels = 1 if transform.force_gray else max(len(transform.mean_value), 3)
    return Source((transform.crop_size, transform.crop_size), channels, transform)


def _fed(layer: Any, blob: str) -> Any:
    """``layer`` with ``data`` for the name of the input, and without weights of its own."""
    copy = pb.LayerParameter()
    copy.CopyFrom(layer)
    for field in (copy.bottom, copy.top):
        field[:] = ["data" if name == blob else name for name in field]
    del copy.blobs[:]
    return copy
