"""Activations, Softmax, and layers that combine or rearrange blobs."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from caffe_port.parity.variations.case import Case, Variation, others, rounded


def relu(case: Case) -> Iterator[Variation]:
    """The slope of negative values, lost or other; a limit of 6."""
    x = case.bottoms[0]
    if case.layer.layer_param.relu_param.negative_slope:
        yield case.edited("relu_param", "negative_slope lost", negative_slope=None)
    factors = case.fit(x.clamp(max=0), x.clamp(min=0))
    if factors is not None and abs(factors[0] - 1) > 1e-4:  # 1: the layer was left out
        slope = rounded(factors[0])
        yield case.edited("relu_param", f"negative_slope: {slope:g}", negative_slope=slope)
    yield case.around("values limited to 6 (ReLU6)", after=lambda top: top.clamp(max=6))


def elu(case: Case) -> Iterator[Variation]:
    """Another alpha."""
    x = case.bottoms[0]
    factors = case.fit(x.clamp(max=0).expm1(), x.clamp(min=0))
    if factors is not None:
        yield case.edited("elu_param", alpha=rounded(factors[0]))


def prelu(case: Case) -> Iterator[Variation]:
    """One slope for all channels, a slope lost, slopes in another order."""
    slopes = case.blobs[0]
    if slopes.numel() > 1:
        yield case.with_blob(
            0, "the first slope for all channels (channel_shared)", slopes[:1].expand_as(slopes).clone()
        )
        mean = slopes.mean().expand_as(slopes).clone()
        yield case.with_blob(0, "the mean slope for all channels (channel_shared)", mean)
        yield case.with_blob(0, "the slopes in reverse order", slopes.flip(0))
    yield case.with_blob(0, "slope 0 (a plain ReLU)", torch.zeros_like(slopes))
    yield case.with_blob(0, "slope 0.25, as a filler makes it (slopes not loaded)", torch.full_like(slopes, 0.25))
    if case.wanted is not None and case.wanted.ndim > 1 and slopes.numel() > 1:
        x = case.bottoms[0]
        axes = [axis for axis in range(x.ndim) if axis != 1]
        negative = x.clamp(max=0)
        fitted = (negative * case.wanted).sum(axes) / negative.square().sum(axes).clamp(min=1e-30)
        shared = fitted.mean().expand_as(slopes).clone()
        yield case.with_blob(0, f"slope {rounded(float(fitted.mean())):g} for all channels (channel_shared)", shared)
        yield case.with_blob(0, "other slopes", fitted)


def power(case: Case) -> Iterator[Variation]:
    """Parts of (shift + scale * x) ^ power left out."""
    for name in ("scale", "shift", "power"):
        if case.layer.layer_param.power_param.HasField(name):
            yield case.edited("power_param", f"{name} lost", **{name: None})


def softmax(case: Case) -> Iterator[Variation]:
    """Another axis; the logarithm."""
    for axis in others(range(len(case.shapes[0])), case.layer.layer_param.softmax_param.axis):
        yield case.edited("softmax_param", axis=axis)
    yield case.around("the logarithm taken", after=torch.log)


def dropout(case: Case) -> Iterator[Variation]:
    """The TRAIN phase, whose scaling shows in every value that is not 0; scaling in the TEST phase."""
    ratio, x = case.layer.layer_param.dropout_param.dropout_ratio, case.bottoms[0]
    if case.wanted is not None and case.wanted.shape == x.shape:
        kept = case.wanted != 0
        if not bool(kept.all()):
            yield Variation(
                "the TRAIN phase, in which it drops values", compute=lambda bottoms: [bottoms[0] * kept / (1 - ratio)]
            )
    yield case.around("values multiplied by 1 - dropout_ratio", after=lambda top: top * (1 - ratio))
    yield case.around("values divided by 1 - dropout_ratio", after=lambda top: top / (1 - ratio))


def eltwise(case: Case) -> Iterator[Variation]:
    """Lost or other coefficients, another operation."""
    param = case.layer.layer_param.eltwise_param
    if param.coeff:
        yield case.edited("eltwise_param", "coeff lost", coeff=None)
        yield case.edited("eltwise_param", "coeff in reverse order", coeff=list(param.coeff)[::-1])
    for operation, name in ((param.SUM, "SUM"), (param.PROD, "PROD"), (param.MAX, "MAX")):
        if operation != param.operation:
            yield case.edited("eltwise_param", f"operation: {name}", operation=operation, coeff=None)
    factors = case.fit(*case.bottoms)
    if factors is not None:
        coeff = [rounded(factor) if abs(factor) > 1e-5 else 0.0 for factor in factors]
        what = "".join(f" coeff: {value:g}" for value in coeff)
        yield case.edited("eltwise_param", f"operation: SUM{what}", operation=param.SUM, coeff=coeff)


def concat(case: Case) -> Iterator[Variation]:
    """Another axis, the bottoms in reverse order."""
    yield case.around("its bottoms in reverse order", before=lambda bottoms: list(bottoms)[::-1])
    for axis in others(range(len(case.shapes[0])), case.layer.layer_param.concat_param.axis):
        yield case.edited("concat_param", axis=axis, concat_dim=None)


def slice_(case: Case) -> Iterator[Variation]:
    """Another axis."""
    for axis in others(range(len(case.shapes[0])), case.layer.layer_param.slice_param.axis):
        yield case.edited("slice_param", axis=axis, slice_dim=None)


def reduction(case: Case) -> Iterator[Variation]:
    """Another operation or axis, a lost coefficient."""
    param = case.layer.layer_param.reduction_param
    for operation, name in ((param.SUM, "SUM"), (param.MEAN, "MEAN"), (param.ASUM, "ASUM"), (param.SUMSQ, "SUMSQ")):
        if operation != param.operation:
            yield case.edited("reduction_param", f"operation: {name}", operation=operation)
    for axis in others(range(len(case.shapes[0])), param.axis):
        yield case.edited("reduction_param", axis=axis)


def crop(case: Case) -> Iterator[Variation]:
    """Another offset."""
    param = case.layer.layer_param.crop_param
    for offset in others(range(9), param.offset[0] if param.offset else 0):
        yield case.edited("crop_param", f"offset: {offset}", offset=[offset])


def flatten(case: Case) -> Iterator[Variation]:
    """Flatten and Reshape: axes in another order before."""
    if case.bottoms[0].ndim == 4:
        yield case.around(
            "the bottom's channels last (flattened as height x width x channel)",
            before=lambda bottoms: [bottoms[0].permute(0, 2, 3, 1).contiguous()],
        )
        yield case.around(
            "the bottom's height and width swapped", before=lambda bottoms: [bottoms[0].transpose(2, 3).contiguous()]
        )


def loss(case: Case) -> Iterator[Variation]:
    """What the sum is divided by, and whether a label is ignored."""
    param = case.layer.layer_param.loss_param
    for mode in ("FULL", "VALID", "BATCH_SIZE", "NONE"):
        value = getattr(param, mode)
        if not param.HasField("normalization") or value != param.normalization:
            yield case.edited("loss_param", f"normalization: {mode}", normalization=value, normalize=None)
    if param.HasField("ignore_label"):
        yield case.edited("loss_param", "ignore_label lost", ignore_label=None)
    if case.layer.TYPE == "SoftmaxWithLoss":
        yield from softmax(case)


def plain_loss(case: Case) -> Iterator[Variation]:
    """EuclideanLoss and others: the factor one half."""
    yield case.around("no division by 2", after=lambda top: top * 2)
    yield case.around("one more division by 2", after=lambda top: top / 2)
