"""Pooling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import product

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.parity.variations.case import Case, Variation, others
from caffe_port.parity.variations.windows import uneven_padding

_NO_PAD = {"pad": None, "pad_h": None, "pad_w": None}


def pooling(case: Case) -> Iterator[Variation]:
    """Rounding of the output size, what an average divides by, padding that takes part, another window."""
    param = case.layer.layer_param.pooling_param
    floor = param.round_mode == param.FLOOR
    names = (
        {param.FLOOR: "", param.CEIL: "round_mode: CEIL"}
        if floor
        else {param.CEIL: "", param.FLOOR: "round_mode: FLOOR"}
    )
    rounded = [case.edited("pooling_param", name, round_mode=mode) for mode, name in names.items()]
    yield rounded[1]
    for variation in rounded:
        if param.pool == param.AVE:
            yield _counting_inside(case, variation)
        elif param.pool == param.MAX and not param.global_pooling and max(case.layer.fixed_window.pad):
            yield _padded_with_zeros(case, variation)
    for method, name in ((param.MAX, "MAX"), (param.AVE, "AVE")):
        for mode, said in names.items():
            if method != param.pool:
                yield case.edited("pooling_param", f"pool: {name} {said}".strip(), pool=method, round_mode=mode)
    if not param.global_pooling and case.bottoms[0].ndim == 4:
        yield case.edited("pooling_param", global_pooling=True, kernel_size=None, kernel_h=None, kernel_w=None)
        yield from _windows(case, names)
        for mode in names:
            unpadded = case.edited("pooling_param", "", **_NO_PAD, round_mode=mode)
            yield from uneven_padding(case, unpadded, float("-inf") if param.pool == param.MAX else 0.0)


def _also(variation: Variation) -> str:
    return f"{variation.what} and " if variation.what else ""


def _counting_inside(case: Case, variation: Variation) -> Variation:
    def compute(bottoms: Sequence[Tensor]) -> list[Tensor]:
        total, count = (case.run(variation, [b])[0] for b in (bottoms[0], torch.ones_like(bottoms[0])))
        return [total / count]

    return Variation(f"{_also(variation)}an average that leaves padding out of the count", compute=compute)


def _padded_with_zeros(case: Case, variation: Variation) -> Variation:
    height, width = case.layer.fixed_window.pad
    mode = variation.param.pooling_param.round_mode
    return case.around(
        f"{_also(variation)}zeros as padding, which take part in the maximum",
        lambda bottoms: [F.pad(bottoms[0], (width, width, height, height))],
        variation=case.edited("pooling_param", "", **_NO_PAD, round_mode=mode),
    )


def _windows(case: Case, names: dict[int, str]) -> Iterator[Variation]:
    """Another pad, stride or kernel, then pairs, in either rounding."""
    window = case.layer.fixed_window
    kernels = [{"kernel_size": n} for n in others(range(1, 8), window.kernel[0])]
    strides = [{"stride": n} for n in others(range(1, 5), window.stride[0])]
    pads = [{"pad": n} for n in others(range(4), window.pad[0])]
    pairs = [{**first, **second} for first, second in (*product(kernels, strides), *product(pads, strides))]
    for fields in (*pads, *strides, *kernels, *pairs):
        removed = {f"{name.partition('_')[0]}_{side}": None for name in fields for side in "hw"}
        for mode, name in names.items():
            what = " ".join([*(f"{key}: {value}" for key, value in fields.items()), name]).strip()
            yield case.edited("pooling_param", what, **removed, **fields, round_mode=mode)
