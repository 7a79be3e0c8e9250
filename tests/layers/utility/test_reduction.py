import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run

OPERATIONS = {
    "SUM": sum,
    "ASUM": lambda values: sum(abs(v) for v in values),
    "SUMSQ": lambda values: sum(v * v for v in values),
    "MEAN": lambda values: sum(values) / len(values),
}


@checks("Reduction", "numeric")
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize(("axis", "coeff"), [(0, 1), (1, 2), (-1, -0.5), (2, 1)])
def test_reduction_is_the_literal_loop(operation, axis, coeff):
    x = rng().standard_normal((2, 3, 4, 5))
    text = f'type: "Reduction" reduction_param {{ operation: {operation} axis: {axis} coeff: {coeff} }}'
    (y,) = run(make_layer(text, x.shape), x)
    assert y.shape == x.shape[: axis % 4]
    for at in np.ndindex(y.shape):
        np.testing.assert_allclose(y[at], coeff * OPERATIONS[operation](list(x[at].ravel())), rtol=1e-10)


@checks("Reduction", "gradient")
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("axis", [0, 1])
def test_reduction_gradient_and_its_value_at_zero(operation, axis):
    text = f'type: "Reduction" reduction_param {{ operation: {operation} axis: {axis} coeff: 3 }}'
    layer = make_layer(text, (2, 3))
    gradcheck(layer, rng().standard_normal((2, 3)))
    (dx,), _ = gradients(layer, [np.zeros((2, 3))], [np.ones((2, 3)[:axis])])
    at_zero = {"SUM": 3, "ASUM": 0, "SUMSQ": 0, "MEAN": 3 / (3 if axis else 6)}[operation]
    np.testing.assert_allclose(dx, np.full((2, 3), at_zero), rtol=1e-12)


@checks("Reduction", "errors")
@pytest.mark.parametrize(("axis", "shape"), [(2, (2, 3)), (-3, (2, 3)), (0, ())])
def test_an_axis_out_of_range_is_refused(axis, shape):
    with pytest.raises(LayerError, match="out of range"):
        make_layer(f'type: "Reduction" reduction_param {{ axis: {axis} }}', shape)
