import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run


def bottoms(number, shape=(2, 3, 4)):
    return [rng(n).standard_normal(shape) for n in range(number)]


@checks("Eltwise", "numeric")
@pytest.mark.parametrize(
    ("param", "number", "combine"),
    [
        ("", 2, lambda v: v[0] + v[1]),
        ("operation: SUM coeff: 0.5 coeff: -2 coeff: 1", 3, lambda v: 0.5 * v[0] - 2 * v[1] + v[2]),
        ("operation: PROD", 3, lambda v: v[0] * v[1] * v[2]),
        ("operation: PROD stable_prod_grad: false", 2, lambda v: v[0] * v[1]),
        ("operation: MAX", 4, max),
        ("operation: MAX coeff: 1 coeff: 2", 2, max),
    ],
)
def test_eltwise_is_the_literal_loop(param, number, combine):
    x = bottoms(number)
    (y,) = run(make_layer(f'type: "Eltwise" eltwise_param {{ {param} }}', *[b.shape for b in x]), *x)
    for at in np.ndindex(y.shape):
        np.testing.assert_allclose(y[at], combine([b[at] for b in x]), rtol=1e-12)


@checks("Eltwise", "gradient")
@pytest.mark.parametrize(
    "param",
    ["coeff: 0.5 coeff: -2 coeff: 1", "operation: PROD", "operation: PROD stable_prod_grad: false", "operation: MAX"],
)
def test_eltwise_gradient(param):
    x = bottoms(3, (2, 3))
    gradcheck(make_layer(f'type: "Eltwise" eltwise_param {{ {param} }}', *[b.shape for b in x]), *x, bottoms=(0, 1, 2))


@checks("Eltwise", "gradient")
def test_a_tie_for_the_maximum():
    """Of the first two the second wins; a later bottom has to be larger than all before."""
    x = [np.array(v) for v in ([1.0, 1, 0, 2, 1], [1.0, 0, 1, 2, 1], [0.0, 1, 1, 2, 5], [0.0, 0, 0, 2, 5])]
    layer = make_layer('type: "Eltwise" eltwise_param { operation: MAX }', *[(5,)] * 4)
    grads, _ = gradients(layer, x, [np.arange(1.0, 6)], bottoms=range(4))
    expected = [[0, 2, 0, 0, 0], [1, 0, 3, 4, 0], [0, 0, 0, 0, 5], [0, 0, 0, 0, 0]]
    np.testing.assert_array_equal(grads, expected)


@checks("Eltwise", "gradient")
def test_zeros_under_both_product_gradients():
    x = [np.array([0.0, 2.0]), np.array([3.0, 4.0])]
    for stable, expected in (("true", [[3, 4], [0, 2]]), ("false", [[np.nan, 4], [0, 2]])):
        text = f'type: "Eltwise" eltwise_param {{ operation: PROD stable_prod_grad: {stable} }}'
        grads, _ = gradients(make_layer(text, (2,), (2,)), x, [np.ones(2)], bottoms=(0, 1))
        np.testing.assert_array_equal(grads, expected)


@checks("Eltwise", "errors")
def test_eltwise_refuses_misfits():
    with pytest.raises(LayerError, match="one coefficient per bottom: 1 for 2"):
        make_layer('type: "Eltwise" eltwise_param { coeff: 1 }', (2,), (2,))
    with pytest.raises(LayerError, match="coefficients for summation only"):
        make_layer('type: "Eltwise" eltwise_param { operation: PROD coeff: 1 coeff: 1 }', (2,), (2,))
    with pytest.raises(LayerError, match="must have one shape"):
        make_layer('type: "Eltwise"', (2, 3), (2, 3), (3, 2))
