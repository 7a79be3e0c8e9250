import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, make_layer, rng, run

CASES = [
    ("", "BATCH_SIZE", None),
    ("normalization: VALID ignore_label: -1", "VALID", -1),
    ("normalization: FULL ignore_label: 1", "FULL", 1),
    ("normalization: NONE", "NONE", None),
    ("normalize: true ignore_label: -1", "VALID", -1),
    ("normalize: false ignore_label: 0", "BATCH_SIZE", 0),
]


def targets(shape):
    t = rng(1).uniform(0, 1, shape)
    t.flat[::3] = -1
    t.flat[1::4] = 1
    return t


@checks("SigmoidCrossEntropyLoss", "numeric")
@pytest.mark.parametrize(("param", "mode", "ignore"), CASES)
def test_sigmoid_cross_entropy_loss_is_the_literal_loop(param, mode, ignore):
    x, t = rng().standard_normal((3, 2, 4)), targets((3, 8))
    loss, count = 0.0, 0
    for v, target in zip(x.ravel(), t.ravel()):
        if int(target) == ignore:
            continue
        s = 1 / (1 + np.exp(-v))
        loss -= target * np.log(s) + (1 - target) * np.log(1 - s)
        count += 1
    expected = loss / {"FULL": 24, "VALID": count, "BATCH_SIZE": 3, "NONE": 1}[mode]
    layer = make_layer(f'type: "SigmoidCrossEntropyLoss" loss_param {{ {param} }}', x.shape, t.shape)
    np.testing.assert_allclose(run(layer, x, t)[0], expected, rtol=1e-12)


@checks("SigmoidCrossEntropyLoss", "numeric")
def test_large_scores_stay_finite_and_all_ignored_gives_zero():
    layer = make_layer('type: "SigmoidCrossEntropyLoss"', (1, 2), (1, 2))
    np.testing.assert_allclose(run(layer, [[1000.0, -1000.0]], [[0.0, 1.0]])[0], 2000)
    text = 'type: "SigmoidCrossEntropyLoss" loss_param { ignore_label: 0 normalization: VALID }'
    assert run(make_layer(text, (1, 2), (1, 2)), [[3.0, 4.0]], [[0.0, 0.0]])[0] == 0


@checks("SigmoidCrossEntropyLoss", "gradient")
@pytest.mark.parametrize(("param", "mode", "ignore"), CASES)
def test_sigmoid_cross_entropy_loss_gradient(param, mode, ignore):
    x, t = rng().standard_normal((3, 4)), targets((3, 4))
    gradcheck(make_layer(f'type: "SigmoidCrossEntropyLoss" loss_param {{ {param} }}', x.shape, t.shape), x, t)


@checks("SigmoidCrossEntropyLoss", "errors")
def test_sigmoid_cross_entropy_loss_refuses_misfits():
    with pytest.raises(LayerError, match="same count"):
        make_layer('type: "SigmoidCrossEntropyLoss"', (2, 3), (2, 4))
    with pytest.raises(LayerError, match="first axes must match"):
        make_layer('type: "SigmoidCrossEntropyLoss"', (2, 3), (3, 2))
    layer = make_layer('type: "SigmoidCrossEntropyLoss"', (2, 3), (2, 3))
    with pytest.raises(LayerError, match="cannot backpropagate to label inputs"):
        layer(torch.ones(2, 3), torch.zeros(2, 3, requires_grad=True))
