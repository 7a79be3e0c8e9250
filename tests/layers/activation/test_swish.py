import math

import numpy as np
import pytest

from tests.layers.activation.loops import each, f32, refuses_second_bottom
from tests.layers.harness import checks, gradcheck, make_layer, rng, run


@checks("Swish", "numeric")
@pytest.mark.parametrize(("param", "beta"), [("", 1.0), ("beta: 1.7", f32(1.7)), ("beta: -2", -2.0), ("beta: 0", 0.0)])
def test_swish_is_the_literal_loop(param, beta):
    x = rng().standard_normal((2, 3, 4))
    (y,) = run(make_layer(f'type: "Swish" swish_param {{ {param} }}', x.shape), x)
    np.testing.assert_allclose(y, each(lambda v: v / (1 + math.exp(-beta * v)), x), rtol=1e-12)


@checks("Swish", "gradient")
@pytest.mark.parametrize("in_place", [False, True])
def test_swish_gradient(in_place):
    layer = make_layer('type: "Swish" swish_param { beta: 1.7 }', (2, 3), in_place=in_place)
    gradcheck(layer, rng().standard_normal((2, 3)))


@checks("Swish", "errors")
def test_swish_refuses_a_second_bottom():
    refuses_second_bottom("Swish")
