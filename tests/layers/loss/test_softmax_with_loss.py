import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run


def literal(x, t, axis, mode, ignore):
    """Summed loss by loops, and what it is divided by."""
    outer, inner = int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis + 1 :]))
    x, t = x.reshape(outer, x.shape[axis], inner), t.reshape(outer, inner)
    loss, count = 0.0, 0
    for i in range(outer):
        for j in range(inner):
            if int(t[i, j]) == ignore:
                continue
            e = [np.exp(v) for v in x[i, :, j]]
            loss -= np.log(e[int(t[i, j])] / sum(e))
            count += 1
    return loss / max(1, {"FULL": outer * inner, "VALID": count, "BATCH_SIZE": outer, "NONE": 1}[mode])


CASES = [
    ((4, 5), 1, "", "VALID", None),
    ((2, 5, 3, 2), 1, "ignore_label: 2", "VALID", 2),
    ((2, 5, 3, 2), 1, "ignore_label: 2 normalization: FULL", "FULL", 2),
    ((2, 5, 3), 1, "normalization: BATCH_SIZE", "BATCH_SIZE", None),
    ((2, 5, 3), 1, "normalization: NONE ignore_label: 0", "NONE", 0),
    ((2, 5, 3), 1, "normalize: false", "BATCH_SIZE", None),
    ((2, 5, 3), 1, "normalize: true ignore_label: 1", "VALID", 1),
    ((2, 5, 3), 1, "normalize: false normalization: FULL", "FULL", None),
    ((2, 3, 4), -1, "normalization: BATCH_SIZE", "BATCH_SIZE", None),
]


def make(shape, axis, param):
    at = axis % len(shape)
    x = rng().standard_normal(shape)
    t = rng(1).integers(0, shape[at], np.delete(shape, at)).astype(float)
    text = f'type: "SoftmaxWithLoss" top: "l" top: "p" softmax_param {{ axis: {axis} }} loss_param {{ {param} }}'
    return make_layer(text, x.shape, t.shape), x, t, at


@checks("SoftmaxWithLoss", "numeric")
@pytest.mark.parametrize(("shape", "axis", "param", "mode", "ignore"), CASES)
def test_softmax_with_loss_is_the_literal_loop(shape, axis, param, mode, ignore):
    layer, x, t, at = make(shape, axis, param)
    loss, prob = run(layer, x, t)
    np.testing.assert_allclose(loss, literal(x, t, at, mode, ignore), rtol=1e-10)
    np.testing.assert_allclose(prob.sum(at), 1, rtol=1e-12)
    channels_last = [layer(torch.tensor(x.swapaxes(1, -1).copy()).swapaxes(1, -1), torch.tensor(t))[0]]
    np.testing.assert_allclose(channels_last[0], loss, rtol=1e-12)


@checks("SoftmaxWithLoss", "gradient")
@pytest.mark.parametrize(("shape", "axis", "param", "mode", "ignore"), CASES)
def test_softmax_with_loss_gradient(shape, axis, param, mode, ignore):
    layer, x, t, _ = make(shape, axis, param)
    gradcheck(layer, x, t)


@checks("SoftmaxWithLoss", "gradient")
def test_the_loss_is_clamped_and_its_gradient_is_not():
    layer = make_layer('type: "SoftmaxWithLoss"', (1, 2), (1,))
    x, t = np.array([[500.0, 0.0]]), np.array([1.0])
    np.testing.assert_allclose(run(layer, x, t)[0], 126 * np.log(2), rtol=1e-12)
    (dx,), _ = gradients(layer, [x, t], [np.array(3.0)])
    np.testing.assert_allclose(dx, [[3, -3]], rtol=1e-12)


@checks("SoftmaxWithLoss", "gradient")
def test_a_batch_of_ignored_labels_gives_zero():
    layer = make_layer('type: "SoftmaxWithLoss" loss_param { ignore_label: 9 }', (2, 3), (2,))
    x, t = rng().standard_normal((2, 3)), np.array([9.0, 9.0])
    assert run(layer, x, t)[0] == 0
    (dx,), _ = gradients(layer, [x, t], [np.array(1.0)])
    np.testing.assert_array_equal(dx, np.zeros((2, 3)))


@checks("SoftmaxWithLoss", "errors")
def test_softmax_with_loss_refuses_misfits():
    with pytest.raises(LayerError, match="number of labels must match"):
        make_layer('type: "SoftmaxWithLoss"', (2, 3, 2), (2, 3))
    with pytest.raises(LayerError, match="first axes must match"):
        make_layer('type: "SoftmaxWithLoss"', (2, 3), (1, 2))
    with pytest.raises(LayerError, match="at least one axis"):
        make_layer('type: "SoftmaxWithLoss"', (2, 3), ())
    layer = make_layer('type: "SoftmaxWithLoss"', (2, 3), (2,))
    for wrong in (-1.0, 3.0):
        with pytest.raises(LayerError, match=f"label {wrong:g} is not a class: there are 3"):
            run(layer, np.zeros((2, 3)), [0.0, wrong])
    with pytest.raises(LayerError, match="cannot backpropagate to label inputs"):
        layer(torch.zeros(2, 3), torch.zeros(2, requires_grad=True))
