import math

import numpy as np
import pytest

from tests.layers.activation.loops import each, f32, refuses_second_bottom
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run


def make(alpha, shape, in_place=False):
    return make_layer(f'type: "ELU" elu_param {{ alpha: {alpha} }}', shape, in_place=in_place)


@checks("ELU", "numeric")
@pytest.mark.parametrize("alpha", [1, 0.3, 0, -0.5])
def test_elu_is_the_literal_loop(alpha):
    x = rng().standard_normal((2, 3, 4))
    expected = each(lambda v: max(v, 0) + f32(alpha) * (math.exp(min(v, 0)) - 1), x)
    np.testing.assert_allclose(run(make(alpha, x.shape), x)[0], expected, rtol=1e-12)


@checks("ELU", "gradient")
@pytest.mark.parametrize("in_place", [False, True])
def test_elu_gradient_and_its_value_at_zero(in_place):
    gradcheck(make(0.25, (4,), in_place), [-2.0, -0.5, 0.5, 2.0])
    for alpha in (1, 0.25):
        (dx,), _ = gradients(make(alpha, (2,), in_place), [np.zeros(2)], [[1.0, 3.0]])
        np.testing.assert_array_equal(dx, [alpha, 3 * alpha])


@checks("ELU", "gradient")
def test_in_place_with_a_negative_alpha_the_sign_of_the_top_decides():
    (dx,), _ = gradients(make(-0.5, (2,), in_place=True), [[-1.0, 1.0]], [[2.0, 2.0]])
    np.testing.assert_array_equal(dx, [2, 2])  # y(-1) = 0.32 > 0
    (dx,), _ = gradients(make(-0.5, (2,)), [[-1.0, 1.0]], [[2.0, 2.0]])
    np.testing.assert_allclose(dx, [-math.exp(-1), 2])


@checks("ELU", "errors")
def test_elu_refuses_a_second_bottom():
    refuses_second_bottom("ELU")
