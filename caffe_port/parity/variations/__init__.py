"""Ways in which a layer is often computed otherwise elsewhere, by its type; each is tried against the reference."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from caffe_port.parity.variations import anything, matrices, normalize, pointwise, windows
from caffe_port.parity.variations.case import Case, Variation
from caffe_port.parity.variations.pooling import pooling

__all__ = ["Case", "Variation", "common_variations", "variations"]

_BY_TYPE: dict[str, Callable[[Case], Iterator[Variation]]] = {
    "BatchNorm": normalize.batch_norm,
    "Bias": normalize.bias,
    "Concat": pointwise.concat,
    "Convolution": windows.convolution,
    "Crop": pointwise.crop,
    "Deconvolution": windows.convolution,
    "Dropout": pointwise.dropout,
    "ELU": pointwise.elu,
    "Eltwise": pointwise.eltwise,
    "Embed": matrices.embed,
    "EuclideanLoss": pointwise.plain_loss,
    "Flatten": pointwise.flatten,
    "HingeLoss": pointwise.plain_loss,
    "InnerProduct": matrices.inner_product,
    "LRN": normalize.lrn,
    "LSTM": matrices.recurrent,
    "MVN": normalize.mvn,
    "PReLU": pointwise.prelu,
    "Pooling": pooling,
    "Power": pointwise.power,
    "RNN": matrices.recurrent,
    "ReLU": pointwise.relu,
    "Reduction": pointwise.reduction,
    "Reshape": pointwise.flatten,
    "Scale": normalize.scale,
    "SigmoidCrossEntropyLoss": pointwise.loss,
    "Slice": pointwise.slice_,
    "Softmax": pointwise.softmax,
    "SoftmaxWithLoss": pointwise.loss,
}


def variations(case: Case) -> Iterator[Variation]:
    """The likely faults of the layer's type, the likeliest first."""
    return _BY_TYPE.get(case.layer.TYPE, lambda _: iter(()))(case)


def common_variations(case: Case) -> Iterator[Variation]:
    """What may happen to a layer of any type."""
    return anything.anything(case)
