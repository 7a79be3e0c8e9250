from __future__ import annotations

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, make_layer, run

SHAPES = "shape { dim: 2 dim: 300 } shape { dim: 4 }"
CONSTANT = 'data_filler { type: "constant" value: 2.5 }'
UNIFORM = 'data_filler { type: "uniform" min: -1 max: 3 }'


def make(param, tops=2, **options):
    names = " ".join(f'top: "t{i}"' for i in range(tops))
    return make_layer(f'name: "data" type: "DummyData" {names} dummy_data_param {{ {param} }}', **options)


@checks("DummyData", "numeric")
def test_constants_and_random_tops():
    layer = make(SHAPES + UNIFORM + CONSTANT)
    assert layer.reshape([]) == [(2, 300), (4,)]
    first, second = run(layer), run(layer)
    for uniform, constant in (first, second):
        assert (uniform >= -1).all()
        assert (uniform < 3).all()
        assert abs(uniform.mean() - 1) < 5 * 4 / np.sqrt(12 * 600)  # five standard errors
        np.testing.assert_array_equal(constant, [2.5] * 4)
    assert not np.array_equal(first[0], second[0])


@checks("DummyData", "gradient")
def test_no_gradient():
    assert not any(top.requires_grad for top in make(SHAPES + UNIFORM)())


def test_zeros_without_filler_and_one_filler_for_all():
    assert [top.max() for top in run(make(SHAPES))] == [0, 0]
    assert [top.min() for top in run(make(SHAPES + CONSTANT))] == [2.5, 2.5]


def test_one_shape_for_all():
    assert make("shape { dim: 2 dim: 3 }", 3).reshape([]) == [(2, 3)] * 3


def test_old_sizes():
    param = "num: 2 num: 5 channels: 3 height: 4 width: 1 width: 6"
    assert make(param).reshape([]) == [(2, 3, 4, 1), (5, 3, 4, 6)]


def test_what_is_written_into_a_constant_top_stays():
    layer = make(SHAPES + CONSTANT)
    layer()[1][2] = 7
    assert layer()[1].tolist() == [2.5, 2.5, 7, 2.5]


def test_random_tops_resume():
    layer = make(SHAPES + UNIFORM)
    passes = [run(layer)[0] for _ in range(4)]
    layer.passes = 2
    np.testing.assert_array_equal(run(layer)[0], passes[2])
    assert not np.array_equal(run(make(SHAPES + UNIFORM, seed=2))[0], passes[0])


def test_tops_follow_the_type():
    layer = make(SHAPES + CONSTANT + UNIFORM, dtype=torch.float32)
    assert {top.dtype for top in layer()} == {torch.float32}
    assert {top.dtype for top in layer.double()()} == {torch.float64}


@checks("DummyData", "errors")
@pytest.mark.parametrize(
    ("param", "cause"),
    [
        (SHAPES + 'data_filler { type: "magic" }', "Unknown filler name: 'magic'"),
        ("shape { dim: 1 }" + CONSTANT * 3, "must be 0, 1 or equal to the number of tops: 2; there are 3"),
        ("", r"Must specify 'shape' once, or once per top blob \(2\); specified 0"),
        ("shape { dim: 1 } " * 3, "specified 3"),
        ("shape { dim: 1 } num: 1 channels: 1 height: 1 width: 1", "Both shape and legacy fields"),
        ("num: 1 channels: 1 height: 1", "Must specify 'width' once"),
        ("shape { dim: -1 }", "negative axis"),
    ],
)
def test_refused(param, cause):
    with pytest.raises(LayerError, match=rf"layer 'data' \(DummyData\).*{cause}"):
        make(param)


def test_a_filler_that_does_not_fit_the_shape():
    layer = make('shape { dim: 2 } data_filler { type: "bilinear" }')
    with pytest.raises(LayerError, match=r"layer 'data' \(DummyData\): The bilinear filler needs"):
        layer()
