import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, make_layer, rng, run


@checks("Softmax", "numeric")
@pytest.mark.parametrize(
    ("shape", "axis"), [((3, 7), 1), ((2, 5, 3, 4), 1), ((2, 5, 3, 4), -1), ((2, 3), 0), ((4,), -1)]
)
def test_softmax_is_the_literal_loop(shape, axis):
    x = rng().standard_normal(shape)
    layer = make_layer(f'type: "Softmax" softmax_param {{ axis: {axis} }}', shape)
    (y,) = run(layer, x)
    rows, got = np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1)
    for at in np.ndindex(rows.shape[:-1]):
        e = [np.exp(v) for v in rows[at]]
        np.testing.assert_allclose(got[at], [v / sum(e) for v in e], rtol=1e-10)
    if x.ndim == 4:
        np.testing.assert_allclose(layer(torch.tensor(x).to(memory_format=torch.channels_last))[0], y, rtol=1e-12)


@checks("Softmax", "numeric")
def test_large_scores_do_not_overflow():
    np.testing.assert_array_equal(run(make_layer('type: "Softmax"', (1, 2)), [[5000.0, 0.0]])[0], [[1, 0]])


@checks("Softmax", "gradient")
@pytest.mark.parametrize("axis", [0, 1])
def test_softmax_gradient(axis):
    gradcheck(make_layer(f'type: "Softmax" softmax_param {{ axis: {axis} }}', (3, 4)), rng().standard_normal((3, 4)))


@checks("Softmax", "errors")
@pytest.mark.parametrize(("axis", "shape"), [(2, (2, 3)), (-3, (2, 3)), (1, (2,))])
def test_an_axis_out_of_range_is_refused(axis, shape):
    with pytest.raises(LayerError, match="out of range"):
        make_layer(f'type: "Softmax" softmax_param {{ axis: {axis} }}', shape)
