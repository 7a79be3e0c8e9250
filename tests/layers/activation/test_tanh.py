import math

import numpy as np
import pytest

from tests.layers.activation.loops import each, refuses_second_bottom
from tests.layers.harness import checks, gradcheck, make_layer, rng, run


@checks("TanH", "numeric")
def test_tanh_is_the_literal_loop():
    x = np.concatenate([rng().standard_normal(20), [0, 40, -40]])
    (y,) = run(make_layer('type: "TanH"', x.shape), x)
    np.testing.assert_allclose(y, each(lambda v: 1 - 2 / (1 + math.exp(2 * v)), x), rtol=1e-12, atol=1e-15)


@checks("TanH", "gradient")
@pytest.mark.parametrize("in_place", [False, True])
def test_tanh_gradient(in_place):
    gradcheck(make_layer('type: "TanH"', (2, 3), in_place=in_place), rng().standard_normal((2, 3)))


@checks("TanH", "errors")
def test_tanh_refuses_a_second_bottom():
    refuses_second_bottom("TanH")
