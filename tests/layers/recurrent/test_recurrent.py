"""RNN and LSTM: what they share is tested over both."""

import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run
from tests.layers.recurrent.literal import lstm, rnn

STATES = {"LSTM": 2, "RNN": 1}
FILLERS = 'weight_filler { type: "uniform" min: -0.7 max: 0.7 } bias_filler { type: "uniform" min: -1 max: 1 }'
T, N, D = 4, 3, 2
CONT = np.array([[1.0, 0, 1], [1, 1, 1], [0, 1, 1], [1, 1, 0]])

both = pytest.mark.parametrize("kind", STATES)


def make(kind, *shapes, expose=False):
    text = f'type: "{kind}" recurrent_param {{ num_output: {D} expose_hidden: {str(expose).lower()} {FILLERS} }}'
    return make_layer(text, *shapes)


def expected(layer, x, cont, static, states):
    blobs = [blob.detach().numpy() for blob in layer.blobs]
    return {"LSTM": lstm, "RNN": rnn}[layer.TYPE](blobs, x, cont, static, *states)


def zeros(kind, streams=N):
    return [np.zeros((streams, D)) for _ in range(STATES[kind])]


@checks("LSTM", "numeric")
@checks("RNN", "numeric")
@both
@pytest.mark.parametrize("x_shape", [(T, N, 5), (T, N, 2, 3)])
@pytest.mark.parametrize("static_shape", [None, (N, 2), (N, 2, 2)])
def test_the_literal_loop(kind, x_shape, static_shape):
    x = rng().standard_normal(x_shape)
    static = None if static_shape is None else rng(1).standard_normal(static_shape)
    bottoms = [x, CONT] if static is None else [x, CONT, static]
    layer = make(kind, *[b.shape for b in bottoms])
    (y,) = run(layer, *bottoms)
    np.testing.assert_allclose(y, expected(layer, x, CONT, static, zeros(kind))[0], rtol=1e-10)


@checks("LSTM", "numeric")
@checks("RNN", "numeric")
@both
def test_states_go_on_in_the_next_pass_and_can_be_reset(kind):
    layer = make(kind, (T, N, 5), (T, N))
    states = zeros(kind)
    for n in range(3):
        x = rng(n).standard_normal((T, N, 5))
        y, states = expected(layer, x, CONT, None, states)
        np.testing.assert_allclose(run(layer, x, CONT)[0], y, rtol=1e-10)
    layer.reset()
    np.testing.assert_allclose(run(layer, x, CONT)[0], expected(layer, x, CONT, None, zeros(kind))[0], rtol=1e-10)


@checks("LSTM", "numeric")
@checks("RNN", "numeric")
@both
def test_another_number_of_streams_begins_anew(kind):
    layer = make(kind, (T, N, 5), (T, N))
    run(layer, rng().standard_normal((T, N, 5)), CONT)
    x, cont = rng(1).standard_normal((T, 2, 5)), np.ones((T, 2))
    np.testing.assert_allclose(run(layer, x, cont)[0], expected(layer, x, cont, None, zeros(kind, 2))[0], rtol=1e-10)


@checks("LSTM", "numeric")
@checks("RNN", "numeric")
@both
@pytest.mark.parametrize("with_static", [False, True])
def test_exposed_states_come_in_and_go_out(kind, with_static):
    x, static = rng().standard_normal((T, N, 5)), rng(1).standard_normal((N, 2)) if with_static else None
    states = [rng(7 + n).standard_normal((1, N, D)) for n in range(STATES[kind])]
    bottoms = [x, CONT, *([static] if with_static else []), *states]
    layer = make(kind, *[b.shape for b in bottoms], expose=True)
    assert layer.BOTTOMS[0] == 2 + len(states)
    for _ in range(2):  # nothing is carried over
        y, *last = run(layer, *bottoms)
        want, want_last = expected(layer, x, CONT, static, [s[0] for s in states])
        np.testing.assert_allclose(y, want, rtol=1e-10)
        np.testing.assert_allclose(last, [s[None] for s in want_last], rtol=1e-10)


@checks("LSTM", "numeric")
@checks("RNN", "numeric")
@both
def test_blob_names_and_shapes(kind):
    layer = make(kind, (T, N, 5), (T, N), (N, 3))
    rows = {"LSTM": 4 * D, "RNN": D}[kind]
    names = {
        "LSTM": ["W_xc", "b_c", "W_xc_static", "W_hc"],
        "RNN": ["W_xh", "b_h", "W_xh_static", "W_hh", "W_ho", "b_o"],
    }[kind]
    assert layer.blob_names == names
    assert layer.blob_shapes[:4] == [(rows, 5), (rows,), (rows, 3), (rows, D)]
    assert not layer.state_dict().keys() - set(names)  # states are not weights


@checks("LSTM", "gradient")
@checks("RNN", "gradient")
@both
def test_gradient_through_time(kind):
    cont = CONT.copy()
    cont[0] = 0  # gradcheck runs the layer many times: nothing may be carried over
    bottoms = [rng().standard_normal((T, N, 2)), cont, rng(1).standard_normal((N, 2))]
    gradcheck(make(kind, *[b.shape for b in bottoms]), *bottoms, bottoms=(0, 2))


@checks("LSTM", "gradient")
@checks("RNN", "gradient")
@both
def test_no_gradient_flows_through_exposed_states(kind):
    """Caffe backpropagates neither from the last states nor to the first ones."""
    bottoms = [rng().standard_normal((T, N, 5)), CONT, *[rng(3).standard_normal((1, N, D))] * STATES[kind]]
    layer = make(kind, *[b.shape for b in bottoms], expose=True)
    tensors = [torch.tensor(b) for b in bottoms]
    y, *last = layer(tensors[0].requires_grad_(), tensors[1], *[s.requires_grad_() for s in tensors[2:]])
    assert not any(state.requires_grad for state in last)
    y.sum().backward()
    assert tensors[0].grad.abs().sum() > 0
    assert all(state.grad is None for state in tensors[2:])


@checks("LSTM", "gradient")
@checks("RNN", "gradient")
@both
def test_no_gradient_flows_into_the_previous_pass(kind):
    layer = make(kind, (T, N, 5), (T, N))
    x = rng().standard_normal((T, N, 5))
    gradients(layer, [x, CONT], [np.ones((T, N, D))])
    gradients(layer, [x, CONT], [np.ones((T, N, D))])  # would ask for the freed graph of the first pass


@checks("LSTM", "errors")
@checks("RNN", "errors")
@both
def test_misfits_are_refused(kind):
    with pytest.raises(LayerError, match="num_output must be positive"):
        make_layer(f'type: "{kind}"', (T, N, 5), (T, N))
    with pytest.raises(LayerError, match="at least 3 axes"):
        make(kind, (T, N), (T, N))
    with pytest.raises(LayerError, match="bottom 1 must be"):
        make(kind, (T, N, 5), (N, T))
    with pytest.raises(LayerError, match="static input must be 3 streams"):
        make(kind, (T, N, 5), (T, N), (2, 5))
    with pytest.raises(LayerError, match="hidden state must have shape"):
        make(kind, (T, N, 5), (T, N), *[(1, N, D + 1)] * STATES[kind], expose=True)
    layer = make(kind, (T, N, 5), (T, N))
    with pytest.raises(LayerError, match="time steps changed from 4 to 5"):
        layer.reshape([(5, N, 5), (5, N)])
    with pytest.raises(LayerError, match="incompatible with the learnable blobs"):
        layer.reshape([(T, N, 6), (T, N)])
    with pytest.raises(LayerError, match="cannot backpropagate to sequence continuation indicators"):
        layer(torch.zeros(T, N, 5), torch.zeros(T, N, requires_grad=True))
