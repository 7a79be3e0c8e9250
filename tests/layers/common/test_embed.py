import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run

FILLERS = 'weight_filler { type: "gaussian" } bias_filler { type: "gaussian" }'


def make(param, shape, **options):
    return make_layer(f'type: "Embed" embed_param {{ {param} {FILLERS} }}', shape, **options)


@checks("Embed", "numeric")
@pytest.mark.parametrize("shape", [(), (5,), (3, 1), (2, 3, 2)])
@pytest.mark.parametrize("bias_term", [False, True])
def test_embed_is_the_literal_loop(shape, bias_term):
    x = rng().integers(0, 7, shape).astype(np.float64)
    layer = make(f"input_dim: 7 num_output: 4 bias_term: {str(bias_term).lower()}", shape)
    assert layer.blob_names == ["weight", "bias"][: 1 + bias_term]
    assert layer.blob_shapes == [(7, 4), (4,)][: 1 + bias_term]
    weight = layer.blobs[0].detach().numpy()
    bias = layer.blobs[1].detach().numpy() if bias_term else np.zeros(4)
    expected = np.empty((*shape, 4))
    for index in np.ndindex(shape):
        for n in range(4):
            expected[(*index, n)] = weight[int(x[index]), n] + bias[n]
    np.testing.assert_array_equal(run(layer, x)[0], expected)


@checks("Embed", "gradient")
def test_embed_gradient_adds_up_over_repeated_indices_and_leaves_the_bottom_out():
    layer = make("input_dim: 3 num_output: 2", (4,))
    gradcheck(layer, [2.0, 0.0, 2.0, 2.0], bottoms=())
    top_diff = np.arange(8.0).reshape(4, 2)
    _, (weight_diff, bias_diff) = gradients(layer, [[2.0, 0.0, 2.0, 2.0]], [top_diff], bottoms=())
    np.testing.assert_array_equal(weight_diff, [[2, 3], [0, 0], [0 + 4 + 6, 1 + 5 + 7]])
    np.testing.assert_array_equal(bias_diff, [12, 16])
    assert layer.NO_GRADIENT == (0,)
    with pytest.raises(LayerError, match="cannot backpropagate"):
        layer(torch.zeros(4, dtype=torch.float64, requires_grad=True))


@checks("Embed", "errors")
def test_embed_refuses_missing_sizes():
    with pytest.raises(LayerError, match="num_output must be positive"):
        make("input_dim: 3", (2,))
    with pytest.raises(LayerError, match="input_dim must be positive"):
        make("num_output: 3", (2,))


@checks("Embed", "errors")
@pytest.mark.parametrize("bad", [-1.0, 3.0, 0.5, float("nan")])
def test_embed_refuses_what_is_not_an_index(bad):
    with pytest.raises(LayerError, match=f"{bad:g} is not an index into the 3 rows"):
        run(make("input_dim: 3 num_output: 2", (2,)), [1.0, bad])


@checks("Embed", "numeric")
@pytest.mark.parametrize("strict", [True, False])
def test_embed_can_be_exported(strict):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = make("input_dim: 5 num_output: 2", (2, 3), phase="TEST")

        def forward(self, x):
            return self.layer(x)[0]

    net, x = Net(), torch.tensor([[0.0, 1, 2], [4, 4, 3]], dtype=torch.float64)
    torch.testing.assert_close(torch.export.export(net, (x,), strict=strict).module()(x), net(x))
    assert net.to("meta")(x.to("meta")).shape == (2, 3, 2)
