from __future__ import annotations

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, make_layer, run


def make(param, tops=2, **options):
    names = " ".join(f'top: "t{i}"' for i in range(tops))
    return make_layer(f'name: "in" type: "Input" {names} input_param {{ {param} }}', **options)


@checks("Input", "numeric")
@pytest.mark.parametrize(
    ("param", "shapes"),
    [
        ("shape { dim: 2 dim: 3 }", [(2, 3), (2, 3)]),
        ("shape { dim: 2 dim: 3 } shape { dim: 0 }", [(2, 3), (0,)]),
        ("", [(), ()]),
    ],
)
def test_zeros_of_the_declared_shapes(param, shapes):
    layer = make(param)
    assert layer.reshape([]) == shapes
    for top, shape in zip(run(layer), shapes):
        np.testing.assert_array_equal(top, np.zeros(shape))


@checks("Input", "gradient")
def test_no_gradient():
    layer = make("shape { dim: 2 }", dtype=torch.float32)
    assert [(top.requires_grad, top.dtype) for top in layer()] == [(False, torch.float32)] * 2


@checks("Input", "errors")
@pytest.mark.parametrize(
    ("param", "cause"),
    [("shape { dim: 1 } " * 3, "2 tops vs. 3 shapes"), ("shape { dim: -1 }", "negative axis")],
)
def test_refused(param, cause):
    with pytest.raises(LayerError, match=rf"layer 'in' \(Input\).*{cause}"):
        make(param)
