import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.activation.loops import channels_last
from tests.layers.harness import checks, gradcheck, make_layer, rng, run

FILLERS = 'weight_filler { type: "gaussian" } bias_filler { type: "gaussian" }'


def make(param, shape, **options):
    return make_layer(f'type: "InnerProduct" inner_product_param {{ {param} {FILLERS} }}', shape, **options)


def inner_products(x, weight, bias, axis):
    """weight (N, K); one output after the other."""
    rows = x.reshape(int(np.prod(x.shape[:axis])), -1)
    y = np.zeros((len(rows), len(weight)))
    for m, n in np.ndindex(y.shape):
        y[m, n] = bias[n]
        for k in range(rows.shape[1]):
            y[m, n] += rows[m, k] * weight[n, k]
    return y.reshape(*x.shape[:axis], len(weight))


@checks("InnerProduct", "numeric")
@pytest.mark.parametrize(
    ("param", "shape", "axis"),
    [
        ("", (3, 7), 1),
        ("", (3, 2, 4, 3), 1),
        ("axis: 2", (2, 3, 4, 2), 2),
        ("axis: -1", (2, 3, 5), 2),
        ("axis: 0", (2, 3), 0),
        ("axis: 0", (4,), 0),
        ("", (2, 1, 2, 1, 3), 1),
    ],
)
@pytest.mark.parametrize("transpose", [False, True])
@pytest.mark.parametrize("bias_term", [False, True])
def test_inner_product_is_the_literal_loop(param, shape, axis, transpose, bias_term):
    x = rng().standard_normal(shape)
    flags = f"transpose: {str(transpose).lower()} bias_term: {str(bias_term).lower()}"
    layer = make(f"num_output: 5 {param} {flags}", shape)
    assert layer.blob_names == ["weight", "bias"][: 1 + bias_term]
    weight = layer.blobs[0].detach().numpy()
    assert weight.shape == ((int(np.prod(shape[axis:])), 5) if transpose else (5, int(np.prod(shape[axis:]))))
    bias = layer.blobs[1].detach().numpy() if bias_term else np.zeros(5)
    expected = inner_products(x, weight.T if transpose else weight, bias, axis)
    np.testing.assert_allclose(run(layer, x)[0], expected, rtol=1e-10, atol=1e-12)


@checks("InnerProduct", "numeric")
def test_the_memory_layout_of_the_bottom_does_not_matter():
    x = rng().standard_normal((2, 3, 4, 5))
    layer = make("num_output: 2", x.shape).float()
    weight, bias = (b.detach().numpy() for b in layer.blobs)
    y = layer(channels_last(x))[0].detach()
    np.testing.assert_allclose(y, inner_products(x, weight, bias, 1), rtol=1e-4, atol=1e-4)


@checks("InnerProduct", "gradient")
@pytest.mark.parametrize("param", ["", "transpose: true", "axis: 2", "bias_term: false", "axis: 0"])
def test_inner_product_gradient(param):
    gradcheck(make(f"num_output: 3 {param}", (2, 3, 2)), rng().standard_normal((2, 3, 2)))


@checks("InnerProduct", "errors")
def test_inner_product_refuses():
    with pytest.raises(LayerError, match="num_output must be positive"):
        make("", (2, 3))
    with pytest.raises(LayerError, match="axis 2 out of range"):
        make("num_output: 2 axis: 2", (2, 3))
    for transpose in ("", "transpose: true"):
        layer = make(f"num_output: 2 {transpose}", (2, 3, 4))
        assert layer.reshape([(5, 2, 6)]) == [(5, 2)]
        with pytest.raises(LayerError, match=r"Input size incompatible with inner product parameters.*13.*12"):
            layer.reshape([(2, 13)])
