import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, make_layer, rng, run


def text(dims, rest=""):
    return f'type: "Reshape" reshape_param {{ shape {{ {" ".join(f"dim: {d}" for d in dims)} }} {rest} }}'


@checks("Reshape", "numeric")
@pytest.mark.parametrize(
    ("dims", "rest", "shape"),
    [
        ([0, -1], "", (2, 60)),
        ([1, 0, -1], "axis: 1", (2, 1, 4, 15)),
        ([0, 2, -1], "axis: 1", (2, 3, 2, 10)),
        ([12], "axis: 1 num_axes: 2", (2, 12, 5)),
        ([1], "axis: 1 num_axes: 0", (2, 1, 3, 4, 5)),
        ([-1], "axis: -2", (2, 3, 4, 5)),
        ([1, 1], "axis: -1", (2, 3, 4, 5, 1, 1)),
        ([-1, 0, 2], "", (20, 3, 2)),
        ([5, 4], "axis: -3", (2, 3, 5, 4)),
    ],
)
def test_reshape_keeps_the_order(dims, rest, shape):
    x = rng().standard_normal((2, 3, 4, 5))
    layer = make_layer(text(dims, rest), x.shape)
    (y,) = run(layer, x)
    assert y.shape == shape
    assert [float(v) for v in y.ravel()] == [x[at] for at in np.ndindex(x.shape)]
    (z,) = layer(torch.tensor(x).to(memory_format=torch.channels_last))
    np.testing.assert_array_equal(z, y)


@checks("Reshape", "numeric")
def test_an_empty_shape_makes_a_scalar():
    assert run(make_layer(text([]), (1, 1)), np.full((1, 1), 7.0))[0] == 7


@checks("Reshape", "gradient")
def test_reshape_gradient():
    gradcheck(make_layer(text([-1, 2]), (2, 3, 2)), rng().standard_normal((2, 3, 2)))


@checks("Reshape", "errors")
@pytest.mark.parametrize(
    ("dims", "rest", "match"),
    [
        ([-1, -1], "", "more than one -1"),
        ([-2], "", "below -1"),
        ([5, -1], "", "divisible by the product 5"),
        ([5, 5], "", "count must match"),
        ([3, 0, 2], "axis: 1 num_axes: 0", "count must match"),
        ([0, 0, 0, 0], "", "no bottom axis to copy"),
        ([24], "axis: 4", "out of range"),
        ([24], "axis: -5", "out of range"),
        ([24], "axis: 1 num_axes: 3", "beyond the bottom's 3 axes"),
        ([24], "num_axes: -2", "num_axes must be"),
    ],
)
def test_reshape_refuses_misfits(dims, rest, match):
    with pytest.raises(LayerError, match=match):
        make_layer(text(dims, rest), (2, 3, 4))
