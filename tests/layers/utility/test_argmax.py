import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, make_layer, rng, run


def ranked(values, top_k):
    """The best (value, index) pairs in falling order, as sorting pairs gives them."""
    return sorted(((v, k) for k, v in enumerate(values)), reverse=True)[:top_k]


@checks("ArgMax", "numeric")
@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize(("axis", "top_k"), [(0, 1), (1, 3), (-1, 2), (2, 4)])
def test_argmax_along_an_axis(axis, top_k, values):
    x = rng().integers(0, 4, (2, 5, 4, 3)).astype(float)  # many ties
    text = f'type: "ArgMax" argmax_param {{ axis: {axis} top_k: {top_k} out_max_val: {str(values).lower()} }}'
    (y,) = run(make_layer(text, x.shape), x)
    rows, got = np.moveaxis(x, axis, -1), np.moveaxis(y, axis, -1)
    for at in np.ndindex(rows.shape[:-1]):
        np.testing.assert_array_equal(got[at], [pair[0 if values else 1] for pair in ranked(rows[at], top_k)])


@checks("ArgMax", "numeric")
@pytest.mark.parametrize("values", [False, True])
@pytest.mark.parametrize("shape", [(4,), (2, 6), (3, 2, 2), (2, 2, 3, 2), (2, 2, 1, 2, 2)])
def test_argmax_of_whole_items(shape, values):
    x = rng().integers(0, 3, shape).astype(float)
    top_k = 1 if len(shape) == 1 else 2
    text = f'type: "ArgMax" argmax_param {{ top_k: {top_k} out_max_val: {str(values).lower()} }}'
    (y,) = run(make_layer(text, shape), x)
    assert y.shape == (shape[0], 2 if values else 1, top_k, *[1] * (len(shape) - 3))
    for n in range(shape[0]):
        best = ranked(x[n].ravel(), top_k)
        expected = [k for _, k in best] + ([v for v, _ in best] if values else [])
        np.testing.assert_array_equal(y[n].ravel(), expected)


@checks("ArgMax", "gradient")
def test_argmax_has_no_gradient():
    (y,) = make_layer('type: "ArgMax" argmax_param { out_max_val: true }', (2, 3))(torch.rand(2, 3, requires_grad=True))
    assert not y.requires_grad


@checks("ArgMax", "errors")
def test_argmax_refuses_misfits():
    with pytest.raises(LayerError, match="top_k 4 must be less than or equal to the dimension 3 of axis 1"):
        make_layer('type: "ArgMax" argmax_param { top_k: 4 axis: -1 }', (2, 3))
    with pytest.raises(LayerError, match="the 3 values of an item"):
        make_layer('type: "ArgMax" argmax_param { top_k: 4 }', (2, 3))
    with pytest.raises(LayerError, match="must not be less than 1"):
        make_layer('type: "ArgMax" argmax_param { top_k: 0 }', (2, 3))
    with pytest.raises(LayerError, match="axis 2 out of range"):
        make_layer('type: "ArgMax" argmax_param { axis: 2 }', (2, 3))
