"""Nets with fully connected layers as fully convolutional ones (Long, Shelhamer, Darrell 2015).

(Caffe: examples/net_surgery.ipynb.)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from caffe_port.errors import CaffeError, LayerError, NetError
from caffe_port.layers.base import Shape, format_shape
from caffe_port.net.filter import filter_net, net_state
from caffe_port.net.net import Net
from caffe_port.proto import pb
from caffe_port.proto.files import read_net

#: Types that treat every position alike, whatever spatial axes there are.
POINTWISE = {
    "AbsVal", "BNLL", "BatchNorm", "Clip", "Dropout", "ELU", "Eltwise", "Exp", "Log", "PReLU", "Power", "ReLU",
    "Sigmoid", "Silence", "Split", "Swish", "TanH", "Threshold",
}  # fmt: skip
#: Types that do so if they act along the channels, and the field with their axis, which is axis 1 unless given.
_ALONG_CHANNELS = {
    "Accuracy": "accuracy_param",
    "Bias": "bias_param",
    "Concat": "concat_param",
    "Scale": "scale_param",
    "Slice": "slice_param",
    "Softmax": "softmax_param",
    "SoftmaxWithLoss": "softmax_param",
}
#: Types whose second bottom holds labels, one for each position.
_LABELLED = {"Accuracy", "SoftmaxWithLoss"}


def fc_to_conv(
    prototxt: str | Path,
    weights: str | Path,
    suffix: str = "-conv",
    input_size: tuple[int, int] | None = None,
    *,
    unknown: str = "error",
) -> tuple[Any, Net]:
    """The TEST net of ``prototxt`` with a Convolution of equal function for every InnerProduct.

    An InnerProduct with a bottom of N x C x H x W becomes a convolution with a kernel of H x W, one above such a layer
    a convolution with a kernel of 1 x 1. What was N x K is then N x K x 1 x 1, and on larger inputs a map, each
    position of which is what the net gives for its part of the input (but for padding, of which the inside of a larger
    input has none, and pooling windows that reach over the edge).

    :param suffix: added to the names of these layers, "fc6-conv" as in Caffe's example: weights load by name, and those
        of the old net would not fit. Blobs keep their names.
    :param input_size: height and width for the inputs of the new net; None: as they are.
    :return: the new net as NetParameter, and as Net with its weights.
    :raises NetError: there is no InnerProduct, or one that cannot be converted, or a layer above would mix positions.
    :raises CaffeError: the files cannot be read or do not belong together, or the net does not fit ``input_size``.
    """
    net_param = filter_net(read_net(prototxt, unknown=unknown), net_state("TEST"))
    try:
        if not any(layer.type == "InnerProduct" for layer in net_param.layer):
            raise NetError("The net has no InnerProduct layer, so there is nothing to convert.")
        return _convert(Net(net_param, weights), net_param, suffix, input_size)
    except CaffeError as error:
        raise error.at(file=prototxt) from None


def convolutional(net: Net, suffix: str = "-conv") -> Net:
    """A fully convolutional copy of ``net`` (of TEST phase), where it is, as :func:`fc_to_conv` makes it of files.

    :raises NetError: as there, but that there may be no InnerProduct: then it is an exact copy.
    """
    try:
        return _convert(net, net.net_param, suffix, None)[1].to(net.device)
    except CaffeError as error:
        raise error.at(file=net.source) from None


def _convert(net: Net, net_param: Any, suffix: str, input_size: tuple[int, int] | None) -> tuple[Any, Net]:
    made = _Converter(net_param, net.blob_shapes, suffix)
    made.convert()
    if input_size is not None:
        _resize_inputs(made.net, input_size)
    converted = Net(made.net)
    _copy_blobs(net, converted, made.old_names)
    return made.net, converted


class _Converter:
    """``net`` is the new net; ``old_names`` has the old name of each converted layer by the new one."""

    def __init__(self, net_param: Any, shapes: Mapping[str, Shape], suffix: str) -> None:
        self.net = pb.NetParameter()
        self.net.CopyFrom(net_param)
        self.net.ClearField("state")
        self.old_names: dict[str, str] = {}
        self._shapes, self._suffix = shapes, suffix
        self._changed: set[str] = set()  # blobs that were N x K and get spatial axes

    def convert(self) -> None:
        """Change every InnerProduct, and see whether the layers above bear it."""
        for layer in self.net.layer:
            if layer.type == "InnerProduct":
                self._convert(layer)
            elif self._changed.intersection(layer.bottom):
                self._keep(layer)
            else:
                continue
            self._changed.update(layer.top)
        names = [layer.name for layer in self.net.layer]
        if taken := [name for name in self.old_names if names.count(name) > 1]:
            raise NetError(f"Two layers would be called '{taken[0]}'.", remedy="Use another suffix.")

    def _convert(self, layer: Any) -> None:
        old, bottom = layer.inner_product_param, layer.bottom[0]
        shape, changed = self._shapes[bottom], bottom in self._changed
        if old.axis not in (1, 1 - len(shape)):
            raise _refusal(layer, f"has axis {old.axis}; only with axis 1 it sees each item of the batch as a whole.")
        if len(shape) < 3 and not changed:
            cause = (
                f"cannot be a convolution: its bottom '{bottom}' of shape {format_shape(shape)} has no spatial axes."
            )
            raise _refusal(layer, cause, "A Flatten or Reshape before it can be left out.")
        kernel = (1,) if changed else shape[2:]
        new = pb.ConvolutionParameter(num_output=old.num_output, bias_term=old.bias_term)
        new.kernel_size.extend(kernel if len(set(kernel)) > 1 else kernel[:1])
        for name in ("weight_filler", "bias_filler"):
            if old.HasField(name):
                getattr(new, name).CopyFrom(getattr(old, name))
        self.old_names[layer.name + self._suffix] = layer.name
        layer.name += self._suffix
        layer.type = "Convolution"
        layer.ClearField("inner_product_param")
        layer.convolution_param.CopyFrom(new)

    def _keep(self, layer: Any) -> None:
        """Refuse a layer that would mix positions, or a changed blob with one that stays as it is."""
        bottoms = layer.bottom[:1] if layer.type in _LABELLED else layer.bottom
        if layer.type not in POINTWISE and layer.type not in _ALONG_CHANNELS:
            cause = f"reads '{bottoms[0]}', which gets spatial axes; this type does not treat each position alike."
            raise _refusal(layer, cause, "Leave it out.")
        if missing := [name for name in bottoms if name not in self._changed]:
            raise _refusal(layer, f"reads '{missing[0]}', which has no spatial axes, beside one that gets them.")
        if layer.type in _ALONG_CHANNELS:
            param = getattr(layer, _ALONG_CHANNELS[layer.type])
            for field, value in param.ListFields():
                if field.name in ("axis", "concat_dim", "slice_dim"):
                    if value not in (1, -1):
                        raise _refusal(layer, f"has {field.name} {value}; only along axis 1 it keeps positions apart.")
                    setattr(param, field.name, 1)
                elif field.name == "num_axes" and value == -1:
                    param.num_axes = 1


def _refusal(layer: Any, cause: str, remedy: str | None = None) -> LayerError:
    return LayerError(cause, remedy=remedy, layer=layer.name, layer_type=layer.type)


def _resize_inputs(net_param: Any, size: tuple[int, int]) -> None:
    """Give every input of images this height and width."""
    shapes = [shape for layer in net_param.layer if layer.type == "Input" for shape in layer.input_param.shape]
    images = [shape for shape in shapes if len(shape.dim) == 4]
    if not images:
        raise NetError("The net has no Input layer of images, so their size cannot be set.")
    for shape in images:
        shape.dim[2:] = size


def _copy_blobs(source: Net, target: Net, old_names: Mapping[str, str]) -> None:
    """Copy every learnable blob of ``source`` into ``target``; the weights of converted layers take its shape."""
    with torch.no_grad():
        for node in target.nodes:
            if not node.layer.blob_names:
                continue
            layer = source.layer(old_names.get(node.name, node.name))
            for index, shape in enumerate(node.layer.blob_shapes):
                blob = layer.blob(index)
                if node.name in old_names and not index and layer.layer_param.inner_product_param.transpose:
                    blob = blob.t()
                node.layer.blob(index).copy_(blob.reshape(shape))
