import math

import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.activation.loops import each, f32
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run


def make(param, shape, **options):
    return make_layer(f'type: "Log" log_param {{ {param} }}', shape, **options)


@checks("Log", "numeric")
@pytest.mark.parametrize(("base", "scale", "shift"), [(-1, 1, 0), (10, 2, 1), (0.5, 1, 0), (2, -1, 3)])
def test_log_is_the_literal_loop(base, scale, shift):
    x = rng().uniform(0.1, 2, (2, 3, 4))
    (y,) = run(make(f"base: {base} scale: {scale} shift: {shift}", x.shape), x)
    number = math.e if base == -1 else f32(base)
    np.testing.assert_allclose(y, each(lambda v: math.log(shift + scale * v, number), x), rtol=1e-12, atol=1e-15)


@checks("Log", "numeric")
def test_log_of_zero_and_of_a_negative_number():
    np.testing.assert_array_equal(run(make("", (2,)), [0.0, -1.0])[0], [-math.inf, math.nan])


@checks("Log", "gradient")
@pytest.mark.parametrize("param", ["", "base: 10 scale: 2 shift: 1"])
def test_log_gradient(param):
    gradcheck(make(param, (2, 3)), rng().uniform(0.5, 2, (2, 3)))


@checks("Log", "gradient")
def test_in_place_the_top_diff_is_overwritten_before_it_is_used():
    x = rng().uniform(0.1, 2, (2, 3))
    layer = make("base: 10 scale: 2 shift: 1", x.shape, in_place=True)
    expected = each(lambda v: (2 / math.log(10) / (2 * math.log10(2 * v + 1) + 1)) ** 2, x)
    for top_diff in (np.ones(x.shape), np.full(x.shape, -5.0)):
        (dx,), _ = gradients(layer, [x], [top_diff])
        np.testing.assert_allclose(dx, expected, rtol=1e-12)


@checks("Log", "errors")
@pytest.mark.parametrize("base", ["0", "-2", "1", "inf", "nan"])
def test_log_refuses_a_base_without_a_finite_logarithm_or_with_none_at_all(base):
    with pytest.raises(LayerError, match="base"):
        make(f"base: {base}", (2,))
