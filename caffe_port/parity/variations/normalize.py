"""BatchNorm, LRN, MVN, Scale and Bias."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from caffe_port.parity.variations.case import Case, Variation, others, rounded


def batch_norm(case: Case) -> Iterator[Variation]:
    """The scale factor, eps, the kind of statistics, the variance's correction."""
    param = case.layer.layer_param.batch_norm_param
    mean, variance, factor = case.blobs
    if float(factor) not in (0.0, 1.0):
        yield case.with_blob(2, "the scale factor (its third blob) ignored, that is 1", torch.ones_like(factor))
    yield case.with_blob(2, "a scale factor of 0, as in a net that was not loaded", torch.zeros_like(factor))
    yield from _other_eps(case)
    uses = case.layer.use_global_stats
    what = f"use_global_stats: {str(not uses).lower()} (statistics {'of the batch' if uses else 'that were stored'})"
    yield case.edited("batch_norm_param", what, use_global_stats=not uses)
    for eps in others((1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 0.0), param.eps):
        yield case.edited("batch_norm_param", f"{what} eps: {eps:g}", use_global_stats=not uses, eps=eps)
    count = case.bottoms[0].numel() // max(len(mean), 1)
    if count > 1:
        unbiased, biased = variance * count / (count - 1), variance * (count - 1) / count
        yield case.with_blob(1, "the variance corrected by m / (m - 1)", unbiased)
        yield case.with_blob(1, "the variance without its correction by m / (m - 1)", biased)
    yield case.with_blob(1, "its second blob taken as standard deviation", variance.square() / _nonzero(factor))
    yield case.reweighted("mean and variance swapped", variance, mean)


def _nonzero(factor: Tensor) -> Tensor:
    return torch.where(factor == 0, torch.ones_like(factor), factor)


def _other_eps(case: Case) -> Iterator[Variation]:
    """The eps that the reference's numbers show, then the usual ones."""
    present = case.layer.layer_param.batch_norm_param.eps
    found = _fitted_eps(case)
    usual = [1e-3, 1e-4, 1e-5, 1e-6, 1e-8, 0.0]
    nearest = [value for value in usual if found is not None and abs(value - found) <= 0.05 * abs(found)]
    for eps in (*nearest, *([] if found is None or found < 0 else [rounded(found)]), *usual):
        if abs(eps - present) > 1e-3 * present:
            yield case.edited("batch_norm_param", f"eps: {eps:g}", eps=eps)


def _fitted_eps(case: Case) -> float | None:
    """From y = (x - mean) / sqrt(variance + eps) in the channel of the least variance, which shows eps best."""
    x, factor = case.bottoms[0], float(case.blobs[2])
    if case.wanted is None or x.ndim < 2 or (case.layer.use_global_stats and not factor):
        return None
    axes = [axis for axis in range(x.ndim) if axis != 1]
    mean, variance = x.mean(axes), x.var(axes, unbiased=False)
    if case.layer.use_global_stats:
        mean, variance = case.blobs[0] / factor, case.blobs[1] / factor
    channel = int(variance.argmin())
    x, y = (value.select(1, channel).double() for value in (x, case.wanted))
    shown = torch.ones_like(y, dtype=torch.bool) if case.shown is None else case.shown.select(1, channel)
    centred = (x - float(mean[channel]))[shown]
    product = float((centred * y[shown]).sum())
    if product <= 0:
        return None
    return (float(centred.square().sum()) / product) ** 2 - float(variance[channel])


def lrn(case: Case) -> Iterator[Variation]:
    """What alpha is divided by, the region, the usual constants of other frameworks."""
    param = case.layer.layer_param.lrn_param
    n = param.local_size if param.norm_region == param.ACROSS_CHANNELS else param.local_size**2
    yield case.edited("lrn_param", "alpha not divided by the size of the window", alpha=param.alpha * n)
    yield case.edited("lrn_param", "alpha divided twice by the size of the window", alpha=param.alpha / n)
    across = param.norm_region == param.ACROSS_CHANNELS
    region = param.WITHIN_CHANNEL if across else param.ACROSS_CHANNELS
    yield case.edited(
        "lrn_param",
        f"norm_region: {'WITHIN' if across else 'ACROSS'}_CHANNEL{'' if across else 'S'}",
        norm_region=region,
    )
    for k in others((1.0, 2.0, 0.0), param.k):
        yield case.edited("lrn_param", k=k)
        yield case.edited(
            "lrn_param", f"k: {k:g} and alpha not divided by the size of the window", k=k, alpha=param.alpha * n
        )
    for size in others((3, 5, 7, 9, 11), param.local_size):
        yield case.edited("lrn_param", local_size=size)
    for beta in others((0.75, 0.5, 1.0), param.beta):
        yield case.edited("lrn_param", beta=beta)
    for alpha in others((1e-4, 5e-5, 1e-3, 1.0), param.alpha):
        yield case.edited("lrn_param", alpha=alpha)


def mvn(case: Case) -> Iterator[Variation]:
    """Its two switches and eps."""
    param = case.layer.layer_param.mvn_param
    for name in ("normalize_variance", "across_channels"):
        value = not getattr(param, name)
        yield case.edited("mvn_param", f"{name}: {str(value).lower()}", **{name: value})
    for eps in others((1e-9, 1e-10, 1e-5, 1e-3, 0.0), param.eps):
        yield case.edited("mvn_param", eps=eps)


def scale(case: Case) -> Iterator[Variation]:
    """A lost factor or bias, another axis."""
    param = case.layer.layer_param.scale_param
    if len(case.blobs) > 1:
        yield case.with_blob(1, "the bias left out", torch.zeros_like(case.blobs[1]))
    if case.blobs:
        yield case.with_blob(0, "the factors left out (only the bias)", torch.ones_like(case.blobs[0]))
        yield case.with_blob(0, "the factors in reverse order", case.blobs[0].flip(0))
    yield from _axes(case, "scale_param", param.axis)


def bias(case: Case) -> Iterator[Variation]:
    """Another axis, the opposite sign."""
    if case.blobs:
        yield case.with_blob(0, "the bias subtracted", -case.blobs[0])
    yield from _axes(case, "bias_param", case.layer.layer_param.bias_param.axis)


def _axes(case: Case, group: str, present: int) -> Iterator[Variation]:
    sizes: Sequence[int] = case.shapes[0]
    for axis in others(range(len(sizes)), present if present >= 0 else present + len(sizes)):
        yield case.edited(group, axis=axis)
