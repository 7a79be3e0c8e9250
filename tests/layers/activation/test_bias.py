import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.activation.loops import channels_last
from tests.layers.harness import checks, gradcheck, make_layer, rng, run

SHAPE = (2, 3, 4, 5)
FILLER = 'filler { type: "gaussian" }'
#: parameters -> the axes of the bottom that the operand has
CASES = {
    "": (1,),
    "axis: 0": (0,),
    "axis: -1": (3,),
    "axis: 2": (2,),
    "axis: 1 num_axes: 2": (1, 2),
    "axis: 0 num_axes: -1": (0, 1, 2, 3),
    "num_axes: -1": (1, 2, 3),
    "axis: -2 num_axes: -1": (2, 3),
    "num_axes: 0": (),
}


def make(param, *shapes, **options):
    return make_layer(f'type: "Bias" bias_param {{ {param} {FILLER} }}', *shapes, **options)


def added(x, bias, axes):
    y = np.empty(x.shape)
    for index in np.ndindex(x.shape):
        y[index] = x[index] + bias[tuple(index[a] for a in axes)]
    return y


@checks("Bias", "numeric")
@pytest.mark.parametrize("param", CASES)
def test_a_learnable_bias_is_the_literal_loop(param):
    x, axes = rng().standard_normal(SHAPE), CASES[param]
    layer = make(param, SHAPE)
    bias = layer.blobs[0].detach().numpy()
    assert layer.blob_names == ["bias"]
    assert bias.shape == tuple(SHAPE[a] for a in axes)
    np.testing.assert_array_equal(run(layer, x)[0], added(x, bias, axes))
    layer.float()
    np.testing.assert_allclose(layer(channels_last(x))[0].detach(), added(x, bias, axes), rtol=1e-5, atol=1e-6)


@checks("Bias", "numeric")
@pytest.mark.parametrize(
    ("param", "axes"), [("", (1, 2)), ("axis: 0", (0, 1, 2, 3)), ("axis: -1", (3,)), ("axis: 9", ())]
)
def test_a_second_bottom_is_the_operand_whatever_num_axes_says(param, axes):
    x, bias = rng().standard_normal(SHAPE), rng(1).standard_normal([SHAPE[a] for a in axes])
    layer = make(param + " num_axes: 7", SHAPE, bias.shape)
    assert not layer.blobs
    np.testing.assert_array_equal(run(layer, x, bias)[0], added(x, np.asarray(bias), axes))


@checks("Bias", "numeric")
def test_a_bottom_without_axes_takes_an_operand_without_axes():
    assert run(make("", (), ()), 1.5, 2.0)[0] == 3.5


@checks("Bias", "gradient")
@pytest.mark.parametrize("in_place", [False, True])
def test_bias_gradient(in_place):
    x = rng().standard_normal(SHAPE)
    for param in ("", "num_axes: 0", "axis: 1 num_axes: 2"):
        gradcheck(make(param, SHAPE, in_place=in_place), x)
    gradcheck(make("axis: 2", SHAPE, (4, 5), in_place=in_place), x, rng(1).standard_normal((4, 5)), bottoms=(0, 1))


@checks("Bias", "errors")
@pytest.mark.parametrize(
    ("param", "shapes", "message"),
    [
        ("axis: 4", [SHAPE], "axis 4 out of range for 4-D blob"),
        ("axis: -5", [SHAPE], "axis -5 out of range"),
        ("num_axes: 0", [()], "axis 1 out of range for 0-D blob"),
        ("num_axes: -2", [SHAPE], "num_axes must be -1"),
        ("axis: 2 num_axes: 3", [SHAPE], "beyond the 4 axes"),
        ("axis: 2", [SHAPE, (4, 5, 1)], "does not fit axis 2"),
        ("", [SHAPE, (4,)], "bias of shape \\(4,\\) does not fit axis 1"),
    ],
)
def test_bias_refuses(param, shapes, message):
    with pytest.raises(LayerError, match=message):
        make(param, *shapes)


@checks("Bias", "errors")
def test_a_bottom_that_no_longer_fits_the_blob_is_refused():
    layer = make("", SHAPE, dtype=torch.float32)
    assert layer.reshape([(7, 3)]) == [(7, 3)]
    with pytest.raises(LayerError, match="does not fit"):
        layer.reshape([(2, 4, 4, 5)])
