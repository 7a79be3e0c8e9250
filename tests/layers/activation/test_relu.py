import numpy as np
import pytest

from tests.layers.activation.loops import each, f32, refuses_second_bottom
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run


def make(slope, shape, in_place=False):
    return make_layer(f'type: "ReLU" relu_param {{ negative_slope: {slope} }}', shape, in_place=in_place)


@checks("ReLU", "numeric")
@pytest.mark.parametrize("slope", [0.0, 0.1, -0.5])
def test_relu_is_the_literal_loop(slope):
    x = rng().standard_normal((2, 3, 4))
    expected = each(lambda v: max(v, 0) + f32(slope) * min(v, 0), x)
    np.testing.assert_allclose(run(make(slope, x.shape), x)[0], expected, rtol=1e-12)


@checks("ReLU", "gradient")
@pytest.mark.parametrize("slope", [0.0, 0.25, -0.5])
def test_relu_gradient_and_its_value_at_zero(slope):
    layer = make(slope, (2, 3))
    gradcheck(layer, rng().uniform(0.1, 1, (2, 3)) * [[1, -1, 1], [-1, 1, -1]])
    (dx,), _ = gradients(layer, [np.zeros((2, 3))], [np.ones((2, 3))])
    np.testing.assert_array_equal(dx, np.full((2, 3), slope))


@checks("ReLU", "gradient")
def test_in_place_the_sign_of_the_top_decides():
    x, top_diff = [[-1.0, 0.0, 1.0]], [[2.0, 2.0, 2.0]]
    for slope, expected in [(0.0, [[0, 0, 2]]), (0.5, [[1, 1, 2]]), (-0.5, [[2, -1, 2]])]:
        (dx,), _ = gradients(make(slope, (1, 3), in_place=True), [x], [top_diff])
        np.testing.assert_array_equal(dx, expected)


@checks("ReLU", "errors")
def test_relu_refuses_a_second_bottom():
    refuses_second_bottom("ReLU")
