"""Run one layer alone, and keep the account of which checks each layer type has.

Every test of a layer is marked with what it proves: ``@checks("ReLU", "numeric")``. The contract test
(``tests/contract/test_layers.py``) fails when a registered layer lacks one of :data:`KINDS`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
import torch

from caffe_port.layers.base import Layer, LayerContext
from caffe_port.layers.registry import create_layer
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text

#: numeric: outputs equal a literal loop in numpy. gradient: autograd.gradcheck in float64, or, where Caffe's gradient
#: is not the true one or there is none, a test of what Caffe does instead. errors: wrong parameters and shapes are
#: refused.
KINDS = ("numeric", "gradient", "errors")

CHECKED: dict[str, set[str]] = defaultdict(set)
F = TypeVar("F", bound=Callable[..., Any])


def checks(layer_type: str, kind: str) -> Callable[[F], F]:
    """Mark a test as the ``kind`` of check of ``layer_type``."""
    assert kind in KINDS, kind

    def decorate(test: F) -> F:
        CHECKED[layer_type].add(kind)
        return test

    return decorate


def make_layer(
    text: str,
    *shapes: Sequence[int],
    phase: str = "TRAIN",
    seed: int = 1,
    in_place: bool = False,
    dtype: torch.dtype = torch.float64,
) -> Layer:
    """The layer of ``text`` (the inside of a ``layer { }``), set up for bottoms of ``shapes``, its blobs filled."""
    param = parse_text(text, pb.LayerParameter)
    if not param.name:
        param.name = "op"
    layer = create_layer(param, LayerContext(phase=pb.TRAIN if phase == "TRAIN" else pb.TEST, seed=seed))
    layer.in_place = in_place
    bottoms = [tuple(shape) for shape in shapes]
    layer.setup(bottoms)
    layer.reshape(bottoms)
    for index in range(len(layer.blob_names)):
        layer.fill_blob(index)
    return layer.to(dtype)


def run(layer: Layer, *arrays: Any) -> list[np.ndarray]:
    """The tops for ``arrays``; checks that their shapes are what ``reshape`` promised."""
    bottoms = [torch.as_tensor(np.asarray(a)) for a in arrays]
    with torch.no_grad():
        tops = layer(*bottoms)
    assert isinstance(tops, tuple)
    promised = layer.reshape([tuple(b.shape) for b in bottoms])
    assert [tuple(t.shape) for t in tops] == [tuple(s) for s in promised]
    return [t.numpy() for t in tops]


def gradients(
    layer: Layer, arrays: Sequence[Any], top_diffs: Sequence[Any], bottoms: Sequence[int] = (0,)
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What backward writes into the diffs of ``bottoms`` and of every learnable blob, for these top diffs."""
    inputs = [torch.as_tensor(np.asarray(a)) for a in arrays]
    wanted = [inputs[i].requires_grad_() for i in bottoms] + [b for b in layer.blobs if b.requires_grad]
    tops = layer(*inputs)
    pairs = [(t, torch.as_tensor(np.asarray(d))) for t, d in zip(tops, top_diffs) if t.requires_grad]
    grads = torch.autograd.grad([t for t, _ in pairs], wanted, [d for _, d in pairs], allow_unused=True)
    arrays_out = [np.zeros(w.shape) if g is None else g.numpy() for w, g in zip(wanted, grads)]
    return arrays_out[: len(bottoms)], arrays_out[len(bottoms) :]


def gradcheck(layer: Layer, *arrays: Any, bottoms: Sequence[int] = (0,), **options: Any) -> None:
    """``torch.autograd.gradcheck`` in float64 over ``bottoms`` and every learnable blob."""
    inputs = [torch.as_tensor(np.asarray(a, dtype=np.float64)) for a in arrays]
    for i in bottoms:
        inputs[i].requires_grad_()
    blobs = [b for b in layer.blobs if b.requires_grad]

    def function(*_: torch.Tensor) -> tuple[torch.Tensor, ...]:
        layer.passes = 0  # the same random numbers at every evaluation
        return tuple(t for t in layer(*inputs) if t.requires_grad)

    wanted = tuple(inputs[i] for i in bottoms) + tuple(blobs)
    assert torch.autograd.gradcheck(function, wanted, **options)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)
