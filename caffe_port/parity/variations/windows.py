"""Convolution, Deconvolution, and what layers with a window or an image as their bottom share."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.parity.variations.case import Case, Variation, others, rounded

_BGR = "the input channels in reverse order (RGB and BGR swapped)"


def convolution(case: Case) -> Iterator[Variation]:
    """Filters read in another order, a bias that is lost, another window, another preparation of images."""
    weight, param = case.blobs[0], case.layer.layer_param.convolution_param
    transposed = case.layer.TYPE == "Deconvolution"
    inputs, outputs = (0, 1) if transposed else (1, 0)
    if weight.shape[inputs] > 1:
        yield case.with_blob(0, _BGR, weight.flip(inputs))
    if param.bias_term:
        yield case.with_blob(1, "the bias left out", torch.zeros_like(case.blobs[1]))
    yield from _groups(case, inputs)
    if weight.ndim == 4:
        yield case.with_blob(0, "filters flipped in both directions (a true convolution)", weight.flip(2, 3))
        if weight.shape[2] == weight.shape[3]:
            yield case.with_blob(0, "filters with height and width swapped", weight.transpose(2, 3).contiguous())
    if weight.shape[0] == weight.shape[1]:
        swapped = weight.transpose(0, 1).contiguous()
        yield case.with_blob(0, "filters with input and output channels swapped", swapped)
    yield from _window(case)
    if weight.shape[outputs] > 1:
        yield case.with_blob(0, "the filters in reverse order", weight.flip(outputs))
    if case.reads_input:
        yield from preparation(case)
    yield from other_bias(case, "convolution_param")


def _groups(case: Case, inputs: int) -> Iterator[Variation]:
    param = case.layer.layer_param.convolution_param
    channels = case.shapes[0][1] if len(case.shapes[0]) > 1 else 1
    for group in others([n for n in range(1, channels + 1) if channels % n == 0], param.group):
        yield case.edited("convolution_param", group=group)
    if param.group > 1 and len(case.shapes[0]) > 1:
        n = param.group

        def first_group_only(bottoms: Sequence[Tensor]) -> list[Tensor]:
            return [bottoms[0].chunk(n, 1)[0].repeat(1, n, *[1] * (bottoms[0].ndim - 2))]

        def interleaved(bottoms: Sequence[Tensor]) -> list[Tensor]:
            return [torch.cat([bottoms[0][:, i::n] for i in range(n)], 1)]

        def reversed_groups(bottoms: Sequence[Tensor]) -> list[Tensor]:
            return [torch.cat(bottoms[0].chunk(n, 1)[::-1], 1)]

        yield case.around("every group reading the first group's input channels (group lost)", first_group_only)
        yield case.around("the groups reading their input channels in reverse order of groups", reversed_groups)
        yield case.around(f"each group reading every {n}th input channel", interleaved)


def _window(case: Case) -> Iterator[Variation]:
    """Other pad, stride and dilation, first one of them, then pad and one other; and uneven padding."""
    if len(case.shapes[0]) != 4:
        return
    layer = case.layer
    kernel, stride, pad, dilation = (tuple(getattr(layer, name)) for name in ("kernel", "stride", "pad", "dilation"))
    pads = list(others([(n, n) for n in range(max(kernel) * max(dilation) + 1)], pad))
    steps = [(n, n) for n in range(1, 5)]
    clear = {"pad_h": None, "pad_w": None, "stride_h": None, "stride_w": None}

    def window(pad: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Variation:
        said = {"pad": (pad, layer.pad), "stride": (stride, layer.stride), "dilation": (dilation, layer.dilation)}
        what = " ".join(f"{name}: {new[0]}" for name, (new, old) in said.items() if tuple(new) != tuple(old))
        return case.edited("convolution_param", what, pad=pad, stride=stride, dilation=dilation, **clear)

    yield from (window(other, stride, dilation) for other in pads)
    yield from (window(pad, other, dilation) for other in others(steps, stride))
    yield from (window(pad, stride, other) for other in others(steps, dilation))
    yield from uneven_padding(case, window((0, 0), stride, dilation))
    for other, step in product(pads, others(steps, stride)):
        yield window(other, step, dilation)
    for other, step in product(pads, others(steps, dilation)):
        yield window(other, stride, step)


def uneven_padding(case: Case, unpadded: Variation, value: float = 0.0) -> Iterator[Variation]:
    """More padding at the bottom and right than at the top and left, as TensorFlow's SAME has it."""
    for least in range(3):

        def padded(bottoms: Sequence[Tensor], least: int = least) -> list[Tensor]:
            return [F.pad(bottoms[0], (least, least + 1, least, least + 1), value=value)]

        what = f"padding {least} at the top and left and {least + 1} at the bottom and right (TensorFlow's SAME)"
        yield case.around(what, padded, variation=unpadded)


def preparation(case: Case) -> Iterator[Variation]:
    """An image that was scaled, or whose mean was subtracted, inside the reference: for layers linear in the input."""
    x = case.bottoms[0]
    if x.ndim < 2 or x.shape[1] > 4 or case.wanted is None:
        return
    zero = case.run(None, [torch.zeros_like(x)])[0]
    response = case.run(None, [x])[0] - zero
    constants = []
    for channel in range(x.shape[1]):
        one = torch.zeros_like(x)
        one[:, channel] = 1
        constants.append(case.run(None, [one])[0] - zero)
    if zero.shape != case.wanted.shape:
        return
    factors = replace(case, wanted=case.wanted - zero).fit(response, *constants)
    if factors is None:
        return
    scale, *shifts = map(rounded, factors)
    mean = [rounded(-shift / scale) if scale else 0.0 for shift in shifts]
    largest = max(1.0, float(x.abs().max()))
    if max(map(abs, mean)) < 1e-4 * largest:
        mean = [0.0] * len(mean)
    shape = (1, -1, *[1] * (x.ndim - 2))

    def prepared(bottoms: Sequence[Tensor]) -> list[Tensor]:
        return [(bottoms[0] - bottoms[0].new_tensor(mean).view(shape)) * scale]

    said = f" and the mean {' '.join(f'{m:g}' for m in mean)} subtracted before" if any(mean) else ""
    yield case.around(f"its input scaled by {scale:g}{said}", prepared)


def other_bias(case: Case, group: str) -> Iterator[Variation]:
    """For layers with a ``bias_term`` in ``group``: the bias that the record has, or what remains per channel."""
    lost = not getattr(case.layer.layer_param, group).bias_term
    with_term = case.edited(group, bias_term=True).param
    if lost and len(case.blobs) > 1:
        yield Variation("bias_term: true (the bias was lost)", with_term)
    ours = case.run(None, case.bottoms)[0]
    if case.wanted is None or ours.shape != case.wanted.shape or ours.ndim < 2:
        return
    shown = torch.ones_like(ours) if case.shown is None else case.shown.to(ours)
    axes = [axis for axis in range(ours.ndim) if axis != 1]
    rest = ((case.wanted - ours) * shown).sum(axes) / shown.sum(axes).clamp(min=1)
    if lost:
        yield Variation("a bias (bias_term: true)", with_term, [case.blobs[0], rest])
    else:
        yield case.with_blob(1, "another bias", case.blobs[1] + rest)
