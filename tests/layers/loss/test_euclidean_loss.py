import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run


@checks("EuclideanLoss", "numeric")
@pytest.mark.parametrize(("a_shape", "b_shape"), [((4, 6), (4, 6)), ((2, 3, 2, 2), (2, 12)), ((5,), (5, 1))])
def test_euclidean_loss_is_the_literal_loop(a_shape, b_shape):
    a, b = rng().standard_normal(a_shape), rng(1).standard_normal(b_shape)
    expected = sum((v - w) ** 2 for v, w in zip(a.ravel(), b.ravel())) / a_shape[0] / 2
    (loss,) = run(make_layer('type: "EuclideanLoss"', a_shape, b_shape), a, b)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


@checks("EuclideanLoss", "gradient")
def test_euclidean_loss_gradient_to_both_bottoms():
    a, b = rng().standard_normal((3, 4)), rng(1).standard_normal((3, 4))
    layer = make_layer('type: "EuclideanLoss"', a.shape, b.shape)
    gradcheck(layer, a, b, bottoms=(0, 1))
    (da, db), _ = gradients(layer, [a, b], [np.array(2.0)], bottoms=(0, 1))
    np.testing.assert_allclose(da, 2 * (a - b) / 3, rtol=1e-12)
    np.testing.assert_allclose(db, -da, rtol=1e-12)


@checks("EuclideanLoss", "errors")
def test_euclidean_loss_refuses_misfits():
    with pytest.raises(LayerError, match="same dimension"):
        make_layer('type: "EuclideanLoss"', (2, 3), (2, 4))
    with pytest.raises(LayerError, match="first axes must match"):
        make_layer('type: "EuclideanLoss"', (2, 3), (3, 2))
    with pytest.raises(LayerError, match="at most 4 axes"):
        make_layer('type: "EuclideanLoss"', (2, 3, 1, 1, 1), (2, 3))
