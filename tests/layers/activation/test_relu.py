import numpy as np
import pytest

from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run


@checks("ReLU", "numeric")
@pytest.mark.parametrize("slope", [0.0, 0.1, -0.5])
def test_relu_is_the_literal_loop(slope):
    x = rng().standard_normal((2, 3, 4))
    (y,) = run(make_layer(f'type: "ReLU" relu_param {{ negative_slope: {slope} }}', x.shape), x)
    slope = np.float32(slope)
    expected = np.array([max(v, 0) + slope * min(v, 0) for v in x.ravel()]).reshape(x.shape)
    np.testing.assert_allclose(y, expected, rtol=1e-12)


@checks("ReLU", "gradient")
def test_relu_gradient_and_its_value_at_zero():
    layer = make_layer('type: "ReLU" relu_param { negative_slope: 0.25 }', (2, 3))
    gradcheck(layer, rng().uniform(0.1, 1, (2, 3)) * [[1, -1, 1], [-1, 1, -1]])
    (dx,), _ = gradients(layer, [np.zeros((2, 3))], [np.ones((2, 3))])
    np.testing.assert_array_equal(dx, np.full((2, 3), 0.25))
