import numpy as np
import pytest

from caffe_port.errors import CaffeError
from tests.layers.activation.loops import build, each, refuses_second_bottom
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run


@checks("AbsVal", "numeric")
def test_absval_is_the_literal_loop():
    x = rng().standard_normal((2, 3, 4))
    (y,) = run(make_layer('type: "AbsVal"', x.shape), x)
    np.testing.assert_array_equal(y, each(lambda v: v if v > 0 else -v, x))


@checks("AbsVal", "gradient")
def test_absval_gradient_and_its_value_at_zero():
    layer = make_layer('type: "AbsVal"', (4,))
    gradcheck(layer, [-2.0, -0.5, 0.5, 2.0])
    (dx,), _ = gradients(layer, [np.zeros(4)], [np.ones(4)])
    np.testing.assert_array_equal(dx, np.zeros(4))


@checks("AbsVal", "errors")
def test_absval_refuses_in_place_and_a_second_bottom():
    data = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
    with pytest.raises(CaffeError, match=r"layer 'op' \(AbsVal\).*in-place"):
        build(data + 'layer { name: "op" type: "AbsVal" bottom: "x" top: "x" }')
    refuses_second_bottom("AbsVal")
