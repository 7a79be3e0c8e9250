import numpy as np
import pytest
import torch

from caffe_port.errors import CaffeError, LayerError
from caffe_port.proto import pb
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run

MATRIX = rng(5).uniform(0, 1, (1, 1, 4, 4))


def literal(x, t, matrix, axis, ignore):
    """Summed loss by loops, and how many predictions counted."""
    outer, inner = int(np.prod(x.shape[:axis])), int(np.prod(x.shape[axis + 1 :]))
    x, t, matrix = x.reshape(outer, 4, inner), t.reshape(outer, inner), matrix.reshape(4, 4)
    loss, count = 0.0, 0
    for i in range(outer):
        for j in range(inner):
            if int(t[i, j]) == ignore:
                continue
            e = [np.exp(v) for v in x[i, :, j]]
            for k in range(4):
                loss -= matrix[int(t[i, j]), k] * np.log(max(e[k] / sum(e), 1e-20))
            count += 1
    return loss, count


CASES = [
    ((5, 4), 1, "", lambda shape, count: count),
    ((2, 4, 3), 1, "ignore_label: 2", lambda shape, count: count),
    ((2, 4, 3), 1, "ignore_label: 2 normalization: FULL", lambda shape, count: 6),
    ((3, 2, 4), -1, "normalization: BATCH_SIZE", lambda shape, count: 6),
    ((2, 4, 3), 1, "normalization: NONE", lambda shape, count: 1),
]


def make(shape, axis, param):
    at = axis % len(shape)
    x = rng().standard_normal(shape)
    t = rng(1).integers(0, 4, np.delete(shape, at)).astype(float)
    text = f'type: "InfogainLoss" top: "l" top: "p" infogain_loss_param {{ axis: {axis} }} loss_param {{ {param} }}'
    return make_layer(text, x.shape, t.shape, MATRIX.shape), x, t, at


@checks("InfogainLoss", "numeric")
@pytest.mark.parametrize(("shape", "axis", "param", "divisor"), CASES)
def test_infogain_loss_is_the_literal_loop(shape, axis, param, divisor):
    layer, x, t, at = make(shape, axis, param)
    expected, count = literal(x, t, MATRIX, at, 2 if "ignore" in param else None)
    loss, prob = run(layer, x, t, MATRIX)
    np.testing.assert_allclose(loss, expected / divisor(shape, count), rtol=1e-10)
    np.testing.assert_allclose(prob.sum(at), 1, rtol=1e-12)


@checks("InfogainLoss", "numeric")
def test_the_matrix_comes_from_a_file(tmp_path):
    path = tmp_path / "H.binaryproto"
    proto = pb.BlobProto(data=MATRIX.ravel())
    proto.num, proto.channels, proto.height, proto.width = MATRIX.shape
    path.write_bytes(proto.SerializeToString())
    x, t = rng().standard_normal((5, 4)), np.array([0.0, 3, 1, 1, 2])
    layer = make_layer(f'type: "InfogainLoss" infogain_loss_param {{ source: "{path}" }}', x.shape, t.shape)
    np.testing.assert_allclose(run(layer, x, t)[0], literal(x, t, MATRIX, 1, None)[0] / 5, rtol=1e-6)


@checks("InfogainLoss", "gradient")
@pytest.mark.parametrize(("shape", "axis", "param", "divisor"), CASES)
def test_infogain_loss_gradient(shape, axis, param, divisor):
    layer, x, t, _ = make(shape, axis, param)
    gradcheck(layer, x, t, MATRIX)


@checks("InfogainLoss", "gradient")
def test_the_gradient_is_not_clamped():
    x, t, identity = np.array([[500.0, 0.0]]), np.array([1.0]), np.eye(2)
    layer = make_layer('type: "InfogainLoss"', x.shape, t.shape, identity.shape)
    np.testing.assert_allclose(run(layer, x, t, identity)[0], -np.log(1e-20), rtol=1e-12)
    (dx,), _ = gradients(layer, [x, t, identity], [np.array(1.0)])
    np.testing.assert_allclose(dx, [[1, -1]], rtol=1e-12)


@checks("InfogainLoss", "errors")
def test_infogain_loss_refuses_misfits(tmp_path):
    with pytest.raises(LayerError, match="has no infogain matrix"):
        make_layer('type: "InfogainLoss"', (2, 3), (2,))
    with pytest.raises(LayerError, match="16 values but there are 3 classes"):
        make_layer('type: "InfogainLoss"', (2, 3), (2,), (4, 4))
    with pytest.raises(LayerError, match="number of labels must match"):
        make_layer('type: "InfogainLoss"', (2, 3, 2), (2,), (3, 3))
    with pytest.raises(LayerError, match="does not take loss_param"):
        make_layer('type: "InfogainLoss" loss_param { normalize: true }', (2, 3), (2,), (3, 3))
    with pytest.raises(CaffeError, match="absent"):
        make_layer(f'type: "InfogainLoss" infogain_loss_param {{ source: "{tmp_path}/absent" }}', (2, 3), (2,))
    layer = make_layer('type: "InfogainLoss"', (1, 2), (1,), (2, 2))
    with pytest.raises(LayerError, match="cannot backpropagate to label or infogain inputs"):
        layer(torch.zeros(1, 2), torch.zeros(1), torch.ones(2, 2, requires_grad=True))
