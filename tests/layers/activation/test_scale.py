import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.activation.loops import channels_last
from tests.layers.activation.test_bias import CASES, SHAPE
from tests.layers.harness import checks, gradcheck, make_layer, rng, run

FILLERS = 'filler { type: "gaussian" } bias_filler { type: "gaussian" std: 2 }'


def make(param, *shapes, fillers=FILLERS, **options):
    return make_layer(f'type: "Scale" scale_param {{ {param} {fillers} }}', *shapes, **options)


def scaled(x, scale, bias, axes):
    y = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        part = tuple(index[a] for a in axes)
        y[index] = x[index] * scale[part] + bias[part]
    return y


@checks("Scale", "numeric")
@pytest.mark.parametrize("param", CASES)
@pytest.mark.parametrize("bias_term", [False, True])
def test_a_learnable_scale_is_the_literal_loop(param, bias_term):
    x, axes = rng().standard_normal(SHAPE), CASES[param]
    layer = make(param + (" bias_term: true" if bias_term else ""), SHAPE)
    assert layer.blob_names == ["scale", "bias"][: 1 + bias_term]
    scale, *rest = (b.detach().numpy() for b in layer.blobs)
    bias = rest[0] if bias_term else np.zeros(scale.shape)
    assert scale.shape == bias.shape == tuple(SHAPE[a] for a in axes)
    expected = scaled(x, scale, bias, axes)
    np.testing.assert_allclose(run(layer, x)[0], expected, rtol=1e-12, atol=1e-14)
    layer.float()
    np.testing.assert_allclose(layer(channels_last(x))[0].detach(), expected, rtol=1e-5, atol=1e-5)


@checks("Scale", "numeric")
@pytest.mark.parametrize(("param", "axes"), [("", (1, 2)), ("axis: 0", (0, 1, 2, 3)), ("axis: -1", (3,)), ("", ())])
@pytest.mark.parametrize("bias_term", [False, True])
def test_a_second_bottom_is_the_operand_whatever_num_axes_says(param, axes, bias_term):
    x, scale = rng().standard_normal(SHAPE), np.asarray(rng(1).standard_normal([SHAPE[a] for a in axes]))
    layer = make(f"{param} num_axes: 7 {'bias_term: true' if bias_term else ''}", SHAPE, scale.shape)
    assert layer.blob_names == ["bias"][:bias_term]
    bias = layer.blobs[0].detach().numpy() if bias_term else np.zeros(scale.shape)
    np.testing.assert_allclose(run(layer, x, scale)[0], scaled(x, scale, bias, axes), rtol=1e-12, atol=1e-14)


@checks("Scale", "numeric")
def test_by_default_it_is_the_identity():
    x = rng().standard_normal(SHAPE)
    np.testing.assert_array_equal(run(make("bias_term: true", SHAPE, fillers=""), x)[0], x)


@checks("Scale", "gradient")
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("bias_term", ["", "bias_term: true"])
def test_scale_gradient(in_place, bias_term):
    x = rng().standard_normal(SHAPE)
    for param in ("", "num_axes: 0", "axis: 1 num_axes: 2"):
        gradcheck(make(f"{param} {bias_term}", SHAPE, in_place=in_place), x)
    layer = make(f"axis: 2 {bias_term}", SHAPE, (4, 5), in_place=in_place)
    gradcheck(layer, x, rng(1).standard_normal((4, 5)), bottoms=(0, 1))


@checks("Scale", "errors")
@pytest.mark.parametrize(
    ("param", "shapes", "message"),
    [
        ("axis: 4", [SHAPE], "axis 4 out of range for 4-D blob"),
        ("num_axes: -2", [SHAPE], "num_axes must be -1"),
        ("axis: 2 num_axes: 3", [SHAPE], "beyond the 4 axes"),
        ("axis: 2", [SHAPE, (4, 5, 1)], "does not fit axis 2"),
        ("axis: 2 bias_term: true", [SHAPE, (4, 5, 1)], "beyond the 4 axes"),
        ("", [SHAPE, (4,)], "scale of shape \\(4,\\) does not fit axis 1"),
        ("axis: 4 bias_term: true", [SHAPE, ()], "axis 4 out of range"),
    ],
)
def test_scale_refuses(param, shapes, message):
    with pytest.raises(LayerError, match=message):
        make(param, *shapes)


@checks("Scale", "errors")
def test_a_bottom_that_no_longer_fits_the_blobs_is_refused():
    with pytest.raises(LayerError, match="does not fit"):
        make("", SHAPE).reshape([(2, 4, 4, 5)])
    with pytest.raises(LayerError, match="bias of shape \\(3,\\) does not fit"):
        make("bias_term: true", SHAPE, (3,)).reshape([(2, 4, 4, 5), (4,)])
