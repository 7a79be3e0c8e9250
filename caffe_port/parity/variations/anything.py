"""What may happen to a layer of any type: left out, an activation more or another one, a factor, another order."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from caffe_port.parity.variations.case import Case, Variation, rounded

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "ReLU": F.relu,
    "Sigmoid": torch.sigmoid,
    "TanH": torch.tanh,
    "Softmax": lambda x: x.softmax(1) if x.ndim > 1 else x,
    "ELU": F.elu,
    "AbsVal": torch.abs,
    "BNLL": F.softplus,
    "Swish": F.silu,
}


def anything(case: Case) -> Iterator[Variation]:
    """For layers of one top that the reference shows."""
    if len(case.layer.layer_param.top) != 1 or case.wanted is None or not case.bottoms:
        return
    if case.wanted.shape == case.bottoms[0].shape:
        yield Variation("this layer left out", compute=lambda bottoms: [bottoms[0]])
        if not case.blobs and case.layer.IN_PLACE:
            for name, function in _ACTIVATIONS.items():
                if name != case.layer.TYPE:
                    yield _instead(f"{name} in its place", function)
    ours = case.run(None, case.bottoms)[0]
    if ours.shape == case.wanted.shape:
        for name, function in _ACTIVATIONS.items():
            yield case.around(f"{name} after it", after=function)
        yield from _scaled(case, ours)
        yield from _reordered(case, ours)


def _instead(what: str, function: Callable[[Tensor], Tensor]) -> Variation:
    return Variation(what, compute=lambda bottoms: [function(bottoms[0])])


def _scaled(case: Case, ours: Tensor) -> Iterator[Variation]:
    factors = case.fit(ours)
    if factors is not None and abs(factors[0]) > 1e-6:
        factor = rounded(factors[0])
        yield case.around(f"a factor of {factor:g}", after=lambda top: top * factor)
    factors = case.fit(ours, torch.ones_like(ours))
    if factors is not None and abs(factors[0]) > 1e-6:
        slope, constant = map(rounded, factors)
        yield case.around(f"a factor of {slope:g} and {constant:g} added", after=lambda top: top * slope + constant)


def _reordered(case: Case, ours: Tensor) -> Iterator[Variation]:
    def flipped(axis: int) -> Variation:
        return case.around(f"axis {axis} of its top in reverse order", after=lambda top: top.flip(axis))

    def swapped(first: int, second: int) -> Variation:
        what = f"axes {first} and {second} of its top swapped"
        return case.around(what, after=lambda top: top.transpose(first, second))

    for axis in range(1, ours.ndim):
        if ours.shape[axis] > 1:
            yield flipped(axis)
            yield from (swapped(axis, n) for n in range(axis + 1, ours.ndim) if ours.shape[axis] == ours.shape[n])
