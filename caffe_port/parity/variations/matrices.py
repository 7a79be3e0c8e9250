"""InnerProduct, Embed and the recurrent layers: matrices read in another order."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import permutations

import torch

from caffe_port.parity.variations.case import Case, Variation, others
from caffe_port.parity.variations.windows import other_bias, preparation


def inner_product(case: Case) -> Iterator[Variation]:
    """Transposed weights, another order in which the planes were flattened, a lost bias, another axis."""
    param, weight = case.layer.layer_param.inner_product_param, case.blobs[0]
    rows, columns = weight.shape
    transposed = weight.reshape(columns, rows).t().contiguous()
    yield case.with_blob(0, "its weights transposed", weight.t().contiguous() if rows == columns else transposed)
    if rows != columns:
        yield case.with_blob(0, "its weights transposed and written out again", weight.t().reshape(rows, columns))
    if param.bias_term:
        yield case.with_blob(1, "the bias left out", torch.zeros_like(case.blobs[1]))
    if not param.transpose:
        yield from _flattened(case)
    yield case.edited(
        "inner_product_param", f"transpose: {str(not param.transpose).lower()}", transpose=not param.transpose
    )
    for axis in others(range(len(case.shapes[0])), param.axis):
        yield case.edited("inner_product_param", axis=axis)
    if case.reads_input and case.bottoms[0].ndim > 2:
        yield from preparation(case)
    yield from other_bias(case, "inner_product_param")


def _flattened(case: Case) -> Iterator[Variation]:
    """The columns for planes (channel, height, width) that were flattened in another order."""
    weight, planes = case.blobs[0], case.planes
    if planes is None or len(planes) != 4 or weight.shape[1] != planes[1] * planes[2] * planes[3]:
        return
    sizes = planes[1:]
    if sizes[0] > 1:
        columns = weight.view(-1, *sizes).flip(1).reshape(weight.shape)
        yield case.with_blob(0, "the input channels in reverse order (RGB and BGR swapped)", columns)
    for order in permutations(range(3)):
        if order != (0, 1, 2):
            axes = " x ".join(("channel", "height", "width")[axis] for axis in order)
            stored = weight.view(-1, *(sizes[axis] for axis in order))
            back = [1 + order.index(axis) for axis in range(3)]
            columns = stored.permute(0, *back).reshape(weight.shape)
            yield case.with_blob(0, f"its columns in the order {axes} (the bottom flattened otherwise)", columns)


def embed(case: Case) -> Iterator[Variation]:
    """A lost bias, a transposed table."""
    if len(case.blobs) > 1:
        yield case.with_blob(1, "the bias left out", torch.zeros_like(case.blobs[1]))
    rows, columns = case.blobs[0].shape
    yield case.with_blob(0, "its table transposed", case.blobs[0].reshape(columns, rows).t().contiguous())


def recurrent(case: Case) -> Iterator[Variation]:
    """Gates of the LSTM in another order (Caffe: input, forget, output, cell)."""
    if case.layer.TYPE == "LSTM":
        for order in permutations(range(4)):
            if order != (0, 1, 2, 3):
                gates = " ".join("ifog"[gate] for gate in order)
                blobs = [torch.cat([blob.chunk(4)[gate] for gate in order]) for blob in case.blobs]
                yield Variation(f"its gates in the order {gates} instead of i f o g", blobs=blobs)
    yield case.with_blob(1, "the bias left out", torch.zeros_like(case.blobs[1]))
