import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run


@checks("MultinomialLogisticLoss", "numeric")
@pytest.mark.parametrize(("shape", "label_shape"), [((4, 5), (4,)), ((3, 2, 2, 2), (3, 1, 1, 1))])
def test_multinomial_logistic_loss_is_the_literal_loop(shape, label_shape):
    p = rng().uniform(0, 1, shape)
    p.flat[0] = 0
    t = rng(1).integers(0, 5, label_shape).astype(float)
    t.flat[0] = 0
    expected = -sum(np.log(max(p[n].ravel()[int(t.ravel()[n])], 1e-20)) for n in range(shape[0])) / shape[0]
    (loss,) = run(make_layer('type: "MultinomialLogisticLoss"', shape, label_shape), p, t)
    np.testing.assert_allclose(loss, expected, rtol=1e-12)


@checks("MultinomialLogisticLoss", "gradient")
def test_multinomial_logistic_loss_gradient_also_where_clamped():
    layer = make_layer('type: "MultinomialLogisticLoss"', (3, 4), (3,))
    t = np.array([1.0, 0, 3])
    gradcheck(layer, rng().uniform(0.2, 1, (3, 4)), t)
    (dp,), _ = gradients(layer, [np.zeros((3, 4)), t], [np.array(1.0)])
    expected = np.zeros((3, 4))
    expected[[0, 1, 2], [1, 0, 3]] = -1 / (3 * 1e-20)
    np.testing.assert_allclose(dp, expected, rtol=1e-12)


@checks("MultinomialLogisticLoss", "errors")
def test_multinomial_logistic_loss_refuses_misfits():
    with pytest.raises(LayerError, match="one label for each item"):
        make_layer('type: "MultinomialLogisticLoss"', (2, 3), (2, 2))
    with pytest.raises(LayerError, match="at most 4 axes"):
        make_layer('type: "MultinomialLogisticLoss"', (2, 3, 1, 1, 1), (2,))
    with pytest.raises(LayerError, match="first axes must match"):
        make_layer('type: "MultinomialLogisticLoss"', (2, 3), (3,))
    layer = make_layer('type: "MultinomialLogisticLoss"', (2, 3), (2,))
    with pytest.raises(LayerError, match="label 5 is not a class"):
        run(layer, np.ones((2, 3)), [0.0, 5.0])
    with pytest.raises(LayerError, match="cannot backpropagate to label inputs"):
        layer(torch.ones(2, 3), torch.zeros(2, requires_grad=True))
