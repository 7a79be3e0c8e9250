import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run

FILLER = 'filler { type: "uniform" min: -0.5 max: 0.5 }'


def make(shape, param=FILLER, in_place=False):
    return make_layer(f'type: "PReLU" prelu_param {{ {param} }}', shape, in_place=in_place)


@checks("PReLU", "numeric")
@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 4), (2, 3, 2, 2), (2, 3, 1, 2, 2)])
@pytest.mark.parametrize("shared", [False, True])
def test_prelu_is_the_literal_loop(shape, shared):
    x = rng().standard_normal(shape)
    layer = make(shape, FILLER + (" channel_shared: true" if shared else ""))
    (y,) = run(layer, x)
    slope = layer.blobs[0].detach().numpy()
    assert slope.shape == (() if shared else (3,))
    expected = np.empty(shape)
    for index in np.ndindex(shape):
        expected[index] = max(x[index], 0) + (slope if shared else slope[index[1]]) * min(x[index], 0)
    np.testing.assert_allclose(y, expected, rtol=1e-12)


@checks("PReLU", "numeric")
def test_the_default_slope_is_a_quarter():
    np.testing.assert_array_equal(run(make((1, 2), ""), [[-4.0, 4.0]])[0], [[-1, 4]])


@checks("PReLU", "gradient")
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("shared", ["", "channel_shared: true"])
def test_prelu_gradient_and_its_value_at_zero(in_place, shared):
    layer = make((2, 3, 2), FILLER + shared, in_place)
    gradcheck(layer, rng().uniform(0.1, 1, (2, 3, 2)) * np.resize([1, -1, -1], (2, 3, 2)))
    (dx,), (slope_diff,) = gradients(layer, [np.zeros((2, 3, 2))], [np.full((2, 3, 2), 2.0)])
    slopes = np.broadcast_to(layer.blobs[0].detach().numpy(), 3)
    np.testing.assert_array_equal(dx, 2 * np.broadcast_to(slopes[:, None], (2, 3, 2)))
    np.testing.assert_array_equal(slope_diff, np.zeros_like(slope_diff))


@checks("PReLU", "errors")
def test_prelu_refuses_too_few_axes_and_other_channels():
    with pytest.raises(LayerError, match="at least 2 axes"):
        make((3,))
    layer = make((2, 3, 4))
    with pytest.raises(LayerError, match="at least 2 axes"):
        layer.reshape([(3,)])
    with pytest.raises(LayerError, match=r"4 channels.*\(3,\)"):
        layer.reshape([(2, 4, 4)])
    assert make((2, 3), "channel_shared: true").reshape([(2, 4)]) == [(2, 4)]
