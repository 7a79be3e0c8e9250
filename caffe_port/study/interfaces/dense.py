"""A patch classifier at every pixel of an image in a convolutional manner (section VI-D): each layer computes what
overlapping patches share only once.

Fully connected layers become convolutions (Long et al. 2015). A layer with a stride s sees its input s x s times, each
time shifted by one pixel more, as fragments beside one another in the batch (max-pooling fragments: Giusti et al.
2013, "Fast image scanning with deep max-pooling convolutional neural networks"); in the end the fragments are woven
together again. The layers themselves are those of the net.
"""

from __future__ import annotations

from itertools import product
from math import gcd

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.errors import LayerError, NetError
from caffe_port.layers.normalization.lrn import LRN, sum_within_channel
from caffe_port.layers.vision.convolution import Convolution
from caffe_port.layers.vision.pooling import Pooling
from caffe_port.layers.vision.pooling_window import PoolingWindow
from caffe_port.net import Net
from caffe_port.net.convolutional import POINTWISE, convolutional
from caffe_port.net.graph import Node

Pair = tuple[int, int]
#: Types that look at a neighbourhood of each place, and those that treat every place alike.
_WINDOWED = {"Convolution", "LRN", "Pooling"}
_ALLOWED = _WINDOWED | POINTWISE | {"Bias", "Concat", "Input", "Scale", "Slice", "Softmax"}


class DenseNet:
    """``net`` applied to all patches of an image whose places are ``every`` pixels apart in both directions.

    :param net: a TEST net with one input of images and one output, N x K or N x K x 1 x 1 for N patches.
    :param every: 1: every pixel.
    :raises NetError: the net has several inputs, gives a patch more than one place, or has a layer that mixes all.

    ``before`` and ``after`` (pixels): patches so far from the upper left, and lower right, border of an image see
    nothing of the zeros that the net's layers pad it with. A patch for itself is padded: a net with padding sees
    zeros around a patch alone, and the image's own pixels around a patch here. Without padding (and with pooling
    windows that fit) both are equal everywhere.
    """

    def __init__(self, net: Net, every: int = 1) -> None:
        self.every = every
        if len(net.inputs) != 1 or len(net.outputs) != 1 or len(net.blob_shapes[net.inputs[0]]) != 4:
            raise NetError("Only a net with one input, of images, and one output can be applied to every pixel.")
        self.input, self.output = net.inputs[0], net.outputs[0]
        if any(n != 1 for n in net.blob_shapes[self.output][2:]):
            raise NetError(f"'{self.output}' has more than one place for a patch.")
        self.patch: Pair = (net.blob_shapes[self.input][2], net.blob_shapes[self.input][3])
        self.net = convolutional(net)
        self.before = self.after = 0
        self._measure_padding()

    def __call__(self, images: Tensor) -> Tensor:
        """The output for every patch of ``images``.

        :param images: (N, C, H, W), preprocessed, at least one patch large.
        :return: (N, K, rows, columns): at [i, j] of the patch whose upper left pixel is (i, j) times ``every``.
        """
        blobs = {self.input: _Fragments(images)}
        with torch.no_grad():
            for node in self.net.nodes:
                if node.layer.TYPE != "Input":
                    bottoms = [blobs[name] for name in node.bottoms]
                    blobs.update(zip(node.tops, self._run(node, bottoms)))
        rows, columns = ((n - p) // self.every + 1 for n, p in zip(images.shape[2:], self.patch))
        return blobs[self.output].woven(self.every)[:, :, :rows, :columns]

    def _run(self, node: Node, bottoms: list[_Fragments]) -> list[_Fragments]:
        if len({(bottom.splits, bottom.spacing) for bottom in bottoms}) > 1:
            raise LayerError("Its bottoms differ in stride.", layer=node.name, layer_type=node.layer.TYPE)
        stride, bottom = _stride(node), bottoms[0]
        kept = gcd(stride, self.every // bottom.spacing)  # the part of the stride that skips what nobody asks for
        cut = [value.split(stride // kept, kept) for value in bottoms] if stride > kept else bottoms
        tops = self.net.run_layer(node, [value.values for value in cut])
        return [_Fragments(top, cut[0].splits, bottom.spacing * kept) for top in tops]

    def _measure_padding(self) -> None:
        """Add up how far zeros at the border reach; a pooling window may also hang over the lower right border."""
        strides = {self.input: 1}
        for node in self.net.nodes:
            layer = node.layer
            if layer.TYPE not in _ALLOWED:
                raise LayerError("It mixes all places of an image.", layer=node.name, layer_type=layer.TYPE)
            if layer.TYPE == "Input":
                continue
            step, pad, hanging = strides[node.bottoms[0]], 0, 0
            if isinstance(layer, Convolution):
                pad = max(layer.pad)
            elif isinstance(layer, LRN) and layer.window_sum is sum_within_channel:
                pad = layer.size // 2
            elif isinstance(layer, Pooling):
                window = _window(node, layer)
                pad = max(window.pad)
                hanging = max(0, *(k - s for k, s in zip(window.kernel, window.stride)))
            self.before += step * pad
            self.after += step * (pad + hanging)
            strides.update(dict.fromkeys(node.tops, step * _stride(node)))


class _Fragments:
    """A blob of the whole image in pieces: ``values`` (N * pieces, C, H, W).

    ``splits`` holds the number of shifts of each split, the first first; neighbours in the woven blob lie ``spacing``
    pixels apart in the image.
    """

    def __init__(self, values: Tensor, splits: tuple[int, ...] = (), spacing: int = 1) -> None:
        self.values, self.splits, self.spacing = values, splits, spacing

    def split(self, shifts: int, step: int) -> _Fragments:
        """Pieces that start 0, ``step``, 2 * ``step``, ... elements later, ``shifts`` of them in both directions.

        All are as large as the blob: zeros beyond its end, which no patch within the image reaches.
        """
        height, width = self.values.shape[2:]
        last = (shifts - 1) * step
        values = F.pad(self.values, (0, last, 0, last))
        places = product(range(0, last + 1, step), repeat=2)
        pieces = [values[:, :, y : y + height, x : x + width] for y, x in places]
        return _Fragments(torch.stack(pieces, 1).flatten(0, 1), (*self.splits, shifts), self.spacing)

    def woven(self, every: int) -> Tensor:
        """The blob in one piece, at places ``every`` pixels apart."""
        values = self.values
        for shifts in reversed(self.splits):
            _, channels, rows, columns = values.shape
            pieces = values.reshape(-1, shifts, shifts, channels, rows, columns).permute(0, 3, 4, 1, 5, 2)
            values = pieces.reshape(-1, channels, rows * shifts, columns * shifts)
        step = every // self.spacing
        return values[:, :, ::step, ::step]


def _stride(node: Node) -> int:
    """The stride of a layer, 1 for those without."""
    layer = node.layer
    if isinstance(layer, Pooling):
        stride: tuple[int, ...] = _window(node, layer).stride
    elif isinstance(layer, Convolution):
        stride = layer.stride
    else:
        return 1
    if len(set(stride)) > 1:
        raise LayerError("Its strides differ in both directions.", layer=node.name, layer_type=layer.TYPE)
    return stride[0]


def _window(node: Node, layer: Pooling) -> PoolingWindow:
    if layer.fixed_window is None:
        raise LayerError("Global pooling mixes all places of an image.", layer=node.name, layer_type=layer.TYPE)
    return layer.fixed_window
