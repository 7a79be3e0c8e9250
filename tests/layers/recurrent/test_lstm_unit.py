import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run

SHAPES = [(1, 3, 2), (1, 3, 8), (1, 3)]


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


@checks("LSTMUnit", "numeric")
def test_lstm_unit_is_the_literal_loop():
    c_prev, gates = (rng(n).standard_normal(shape) for n, shape in enumerate(SHAPES[:2]))
    cont = np.array([[1.0, 0.0, 0.5]])
    c, h = run(make_layer('type: "LSTMUnit"', *SHAPES), c_prev, gates, cont)
    for n in range(3):
        for d in range(2):
            i, f, o, g = (gates[0, n, 2 * k + d] for k in range(4))
            expected = cont[0, n] * sigmoid(f) * c_prev[0, n, d] + sigmoid(i) * np.tanh(g)
            np.testing.assert_allclose(c[0, n, d], expected, rtol=1e-12)
            np.testing.assert_allclose(h[0, n, d], sigmoid(o) * np.tanh(expected), rtol=1e-12)


@checks("LSTMUnit", "gradient")
def test_lstm_unit_gradient():
    c_prev, gates = (rng(n).standard_normal(shape) for n, shape in enumerate(SHAPES[:2]))
    gradcheck(make_layer('type: "LSTMUnit"', *SHAPES), c_prev, gates, [[1, 0, 1]], bottoms=(0, 1))


@checks("LSTMUnit", "gradient")
def test_a_cont_between_0_and_1_has_the_gradient_of_caffe():
    """Caffe differentiates f = cont * sigmoid(f') as f * (1 - f)."""
    bottoms = [np.full((1, 1, 1), 2.0), np.zeros((1, 1, 4)), np.full((1, 1), 0.5)]
    layer = make_layer('type: "LSTMUnit"', *[b.shape for b in bottoms])
    (_, d_gates), _ = gradients(layer, bottoms, [np.ones((1, 1, 1)), np.zeros((1, 1, 1))], bottoms=(0, 1))
    f = 0.5 * 0.5
    np.testing.assert_allclose(d_gates[0, 0, 1], 2 * f * (1 - f), rtol=1e-12)


@checks("LSTMUnit", "errors")
def test_lstm_unit_refuses_misfits():
    with pytest.raises(LayerError, match="one time step in 3 axes"):
        make_layer('type: "LSTMUnit"', (2, 3, 2), (1, 3, 8), (1, 3))
    with pytest.raises(LayerError, match="one time step in 2 axes"):
        make_layer('type: "LSTMUnit"', (1, 3, 2), (1, 3, 8), (1, 3, 1))
    with pytest.raises(LayerError, match="3, 4 and 3 streams"):
        make_layer('type: "LSTMUnit"', (1, 3, 2), (1, 4, 8), (1, 3))
    with pytest.raises(LayerError, match="6 gate inputs for 2 cells"):
        make_layer('type: "LSTMUnit"', (1, 3, 2), (1, 3, 6), (1, 3))
    bottoms = [torch.zeros(shape) for shape in SHAPES]
    with pytest.raises(LayerError, match="cannot backpropagate to sequence indicators"):
        make_layer('type: "LSTMUnit"', *SHAPES)(*bottoms[:2], bottoms[2].requires_grad_())
