import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run


@checks("HingeLoss", "numeric")
@pytest.mark.parametrize("norm", ["L1", "L2"])
@pytest.mark.parametrize(("shape", "label_shape"), [((6, 5), (6,)), ((3, 2, 2, 1), (3, 1, 1, 1))])
def test_hinge_loss_is_the_literal_loop(norm, shape, label_shape):
    x = rng().standard_normal(shape) * 2
    t = rng(1).integers(0, 4, label_shape).astype(float)
    expected = 0.0
    for n in range(shape[0]):
        for k, v in enumerate(x[n].ravel()):
            d = 1 if k == int(t.ravel()[n]) else -1
            expected += max(0, 1 - d * v) ** (2 if norm == "L2" else 1)
    (loss,) = run(make_layer(f'type: "HingeLoss" hinge_loss_param {{ norm: {norm} }}', shape, label_shape), x, t)
    np.testing.assert_allclose(loss, expected / shape[0], rtol=1e-12)


@checks("HingeLoss", "gradient")
@pytest.mark.parametrize("norm", ["L1", "L2"])
def test_hinge_loss_gradient_and_its_value_on_the_hinge(norm):
    layer = make_layer(f'type: "HingeLoss" hinge_loss_param {{ norm: {norm} }}', (2, 3), (2,))
    gradcheck(layer, rng(3).standard_normal((2, 3)), np.array([2.0, 0.0]))
    (dx,), _ = gradients(layer, [np.full((2, 3), -1.0), np.array([2.0, 0.0])], [np.array(1.0)])
    slope = -1 / 2 if norm == "L1" else -2 * 2 / 2  # only the true class lies within the margin, by 2
    np.testing.assert_allclose(dx, [[0, 0, slope], [slope, 0, 0]])


@checks("HingeLoss", "errors")
def test_hinge_loss_refuses_misfits():
    with pytest.raises(LayerError, match="first axes must match"):
        make_layer('type: "HingeLoss"', (2, 3), (3,))
    with pytest.raises(LayerError, match="at least one item"):
        make_layer('type: "HingeLoss"', (0, 3), (0,))
    layer = make_layer('type: "HingeLoss"', (2, 3), (2,))
    with pytest.raises(LayerError, match="label -1 is not a class"):
        run(layer, np.ones((2, 3)), [0.0, -1.0])
    with pytest.raises(LayerError, match="cannot backpropagate to label inputs"):
        layer(torch.ones(2, 3), torch.zeros(2, requires_grad=True))
