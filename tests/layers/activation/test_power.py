import math

import numpy as np
import pytest

from tests.layers.activation.loops import each, f32, refuses_second_bottom
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run


def make(power, scale, shift, shape, in_place=False):
    text = f'type: "Power" power_param {{ power: {power} scale: {scale} shift: {shift} }}'
    return make_layer(text, shape, in_place=in_place)


CASES = [
    (1, 1, 0),
    (1, -2, 0.5),
    (2, 0.5, -1),
    (3, 2, 0),
    (2.5, 0.75, 3),
    (-0.5, 1, 1),
    (0, 3, 1),
    (3, 0, 2),
    (0, 0, 0),
]


@checks("Power", "numeric")
@pytest.mark.parametrize("case", CASES)
def test_power_is_the_literal_loop(case):
    power, scale, shift = case
    x = rng().uniform(0.1, 1, (2, 3, 4))
    np.testing.assert_allclose(
        run(make(*case, x.shape), x)[0], each(lambda v: (shift + scale * v) ** power, x), rtol=1e-12
    )


@checks("Power", "numeric")
def test_where_the_input_is_ignored_so_is_nan_and_a_base_of_zero_follows_pow():
    x = np.array([math.nan, 1.0])
    np.testing.assert_array_equal(run(make(2, 0, -3, (2,)), x)[0], [9, 9])
    np.testing.assert_array_equal(run(make(0, 5, 0, (2,)), x)[0], [1, 1])
    np.testing.assert_array_equal(run(make(-1, 0, 0, (2,)), x)[0], [math.inf, math.inf])
    np.testing.assert_array_equal(run(make(0.5, 0, -1, (2,)), x)[0], [math.nan, math.nan])
    np.testing.assert_array_equal(run(make(0.5, 1, 0, (2,)), [-1.0, 4.0])[0], [math.nan, 2])


@checks("Power", "gradient")
@pytest.mark.parametrize("case", CASES)
def test_power_gradient(case):
    gradcheck(make(*case, (2, 3)), rng().uniform(0.1, 1, (2, 3)))


@checks("Power", "gradient")
def test_a_base_of_zero_divides_by_zero_unless_the_power_is_one_or_two():
    def at_zero(power, scale=1.0, shift=0.0):
        (dx,), _ = gradients(make(power, scale, shift, (1,)), [[-shift / scale]], [[3.0]])
        return dx[0]

    assert math.isnan(at_zero(3))
    assert math.isnan(at_zero(0.5))
    assert math.isnan(at_zero(3, 2, 1))
    assert at_zero(-1) == -math.inf
    assert at_zero(2) == 0
    assert at_zero(1, 4) == 12


def in_place_diff(power, scale, shift, y):
    """Caffe's formulas with y in the place of x, multiplied by themselves in the place of the top diff."""
    if power * scale == 0:
        return 0.0
    if power == 1:
        slope = scale
    elif power == 2:
        slope = 2 * scale * (scale * y + shift)
    elif shift == 0:
        slope = power * y / y
    else:
        slope = power * scale * y / (scale * y + shift)
    return slope * slope


@checks("Power", "gradient")
@pytest.mark.parametrize("case", CASES)
def test_in_place_the_data_and_the_top_diff_are_overwritten_before_they_are_used(case):
    x = rng().uniform(0.1, 1, (2, 3))
    layer = make(*case, x.shape, in_place=True)
    expected = each(lambda y: in_place_diff(*map(f32, case), y), run(layer, x)[0])
    for top_diff in (np.ones(x.shape), np.full(x.shape, -5.0)):
        np.testing.assert_allclose(gradients(layer, [x], [top_diff])[0][0], expected, rtol=1e-12)


@checks("Power", "errors")
def test_power_refuses_a_second_bottom():
    refuses_second_bottom("Power")
