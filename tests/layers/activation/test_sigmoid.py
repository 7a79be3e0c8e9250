import math

import numpy as np
import pytest

from tests.layers.activation.loops import each, refuses_second_bottom
from tests.layers.harness import checks, gradcheck, make_layer, rng, run


@checks("Sigmoid", "numeric")
def test_sigmoid_is_the_literal_loop():
    x = np.concatenate([rng().standard_normal(20), [0, 40, -40, 700, -700]])
    (y,) = run(make_layer('type: "Sigmoid"', x.shape), x)
    np.testing.assert_allclose(y, each(lambda v: 0.5 * math.tanh(0.5 * v) + 0.5, x), rtol=1e-12, atol=1e-15)


@checks("Sigmoid", "gradient")
@pytest.mark.parametrize("in_place", [False, True])
def test_sigmoid_gradient(in_place):
    gradcheck(make_layer('type: "Sigmoid"', (2, 3), in_place=in_place), rng().standard_normal((2, 3)))


@checks("Sigmoid", "errors")
def test_sigmoid_refuses_a_second_bottom():
    refuses_second_bottom("Sigmoid")
