import math

import numpy as np

from tests.layers.activation.loops import each, refuses_second_bottom
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run


def bnll(v):
    return v + math.log(1 + math.exp(-v)) if v > 0 else math.log(1 + math.exp(v))


@checks("BNLL", "numeric")
def test_bnll_is_the_literal_loop():
    x = np.concatenate([rng().standard_normal(20), [0, -30, 19, 25, 49, 51, 800]])
    (y,) = run(make_layer('type: "BNLL"', x.shape), x)
    np.testing.assert_allclose(y, each(bnll, x), rtol=1e-12, atol=1e-15)


@checks("BNLL", "gradient")
def test_bnll_gradient():
    gradcheck(make_layer('type: "BNLL"', (2, 3)), rng().standard_normal((2, 3)))


@checks("BNLL", "gradient")
def test_bnll_in_place_differentiates_at_the_overwritten_data():
    x, top_diff = rng().standard_normal((2, 2, 3))
    (dx,), _ = gradients(make_layer('type: "BNLL"', x.shape, in_place=True), [x], [top_diff])
    np.testing.assert_allclose(dx, each(lambda v, d: d / (1 + math.exp(-bnll(v))), x, top_diff), rtol=1e-12)


@checks("BNLL", "errors")
def test_bnll_refuses_a_second_bottom():
    refuses_second_bottom("BNLL")
