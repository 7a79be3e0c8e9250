"""Literal loops that the tests of the activation layers compare with."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

from caffe_port.errors import CaffeError
from caffe_port.layers import LayerContext
from caffe_port.net.graph import GraphBuilder
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text


def each(function: Callable[..., float], *arrays: np.ndarray) -> np.ndarray:
    """``function`` of the arrays' elements, one after the other; the arrays have one shape."""
    values = [function(*items) for items in zip(*(a.ravel().tolist() for a in arrays))]
    return np.array(values, dtype=np.float64).reshape(arrays[0].shape)


def f32(value: float) -> float:
    """What a float field of a prototxt holds."""
    return float(np.float32(value))


def refuses_second_bottom(layer_type: str) -> None:
    """A net that gives a one-bottom layer two bottoms is refused."""
    inputs = "".join(
        f'layer {{ name: "{n}" type: "Input" top: "{n}" input_param {{ shape {{ dim: 2 dim: 3 }} }} }}' for n in "ab"
    )
    layer = f'layer {{ name: "op" type: "{layer_type}" bottom: "a" bottom: "b" top: "y" }}'
    with pytest.raises(CaffeError, match=f"layer 'op' \\({layer_type}\\).*takes 1"):
        build(inputs + layer)


def build(text: str) -> GraphBuilder:
    """The layers of a net whose splits, if any, are already in ``text``."""
    return GraphBuilder(parse_text(text, pb.NetParameter), LayerContext(seed=1)).build()


def channels_last(array: np.ndarray) -> torch.Tensor:
    """A 4-D float32 tensor whose channels lie last in memory."""
    return torch.tensor(array, dtype=torch.float32).contiguous(memory_format=torch.channels_last)
