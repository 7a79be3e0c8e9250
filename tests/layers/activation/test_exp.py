import math

import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.activation.loops import each, f32
from tests.layers.harness import checks, gradcheck, make_layer, rng, run


def make(param, shape, **options):
    return make_layer(f'type: "Exp" exp_param {{ {param} }}', shape, **options)


@checks("Exp", "numeric")
@pytest.mark.parametrize(
    ("base", "scale", "shift"), [(-1, 1, 0), (-1, 0.5, 1), (2, 1, 0), (2, -0.7, 3), (0.1, 1, 1), (1, 5, 2), (3, 0, 2)]
)
def test_exp_is_the_literal_loop(base, scale, shift):
    x = rng().standard_normal((2, 3, 4))
    (y,) = run(make(f"base: {base} scale: {scale} shift: {shift}", x.shape), x)
    number = math.e if base == -1 else f32(base)
    np.testing.assert_allclose(y, each(lambda v: number ** (shift + f32(scale) * v), x), rtol=1e-12)


@checks("Exp", "gradient")
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("param", ["", "base: 2 scale: 0.5 shift: 1"])
def test_exp_gradient(param, in_place):
    gradcheck(make(param, (2, 3), in_place=in_place), rng().standard_normal((2, 3)))


@checks("Exp", "errors")
@pytest.mark.parametrize("base", ["0", "-2", "inf", "nan"])
def test_exp_refuses_a_base_without_a_logarithm(base):
    with pytest.raises(LayerError, match="base"):
        make(f"base: {base}", (2,))
