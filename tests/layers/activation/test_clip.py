import numpy as np
import pytest

from caffe_port.errors import CaffeError
from tests.layers.activation.loops import each, f32
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run

LOW, HIGH = f32(-0.4), f32(0.8)


def make(shape, in_place=False, limits="min: -0.4 max: 0.8"):
    return make_layer(f'type: "Clip" clip_param {{ {limits} }}', shape, in_place=in_place)


@checks("Clip", "numeric")
def test_clip_is_the_literal_loop():
    x = rng().standard_normal((2, 3, 4))
    (y,) = run(make(x.shape), x)
    np.testing.assert_array_equal(y, each(lambda v: max(LOW, min(v, HIGH)), x))


@checks("Clip", "numeric")
def test_crossed_limits_give_min():
    np.testing.assert_array_equal(run(make((3,), limits="min: 2 max: 1"), [0.0, 1.5, 3.0])[0], [2, 2, 2])


@checks("Clip", "gradient")
def test_clip_gradient_is_one_at_the_limits_and_between():
    gradcheck(make((4,)), [-1.0, -0.3, 0.7, 0.9])
    (dx,), _ = gradients(make((5,)), [[-0.5, LOW, 0.0, HIGH, 1.0]], [[2.0] * 5])
    np.testing.assert_array_equal(dx, [0, 2, 2, 2, 0])


@checks("Clip", "gradient")
def test_in_place_every_diff_passes():
    (dx,), _ = gradients(make((3,), in_place=True), [[-9.0, 0.0, 9.0]], [[1.0, 2.0, 3.0]])
    np.testing.assert_array_equal(dx, [1, 2, 3])
    (dx,), _ = gradients(make((2,), True, "min: 2 max: 1"), [[0.0, 1.5]], [[1.0, 1.0]])
    np.testing.assert_array_equal(dx, [0, 0])


@checks("Clip", "errors")
def test_both_limits_are_required():
    with pytest.raises(CaffeError, match="max"):
        make((2,), limits="min: 0")
