import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, make_layer, rng, run


@checks("Concat", "numeric")
@pytest.mark.parametrize(
    ("param", "axis"),
    [("", 1), ("axis: 0", 0), ("axis: -1", 3), ("axis: 2", 2), ("concat_dim: 0", 0), ("concat_dim: 1", 1)],
)
def test_concat_places_every_value(param, axis):
    shapes = [[2, 3, 4, 5] for _ in range(3)]
    for n, shape in enumerate(shapes):
        shape[axis] = n + 1
    bottoms = [rng(n).standard_normal(shape) for n, shape in enumerate(shapes)]
    (y,) = run(make_layer(f'type: "Concat" concat_param {{ {param} }}', *shapes), *bottoms)
    assert y.shape[axis] == 6
    offset = 0
    for bottom in bottoms:
        for at in np.ndindex(bottom.shape):
            assert y[(*at[:axis], at[axis] + offset, *at[axis + 1 :])] == bottom[at]
        offset += bottom.shape[axis]


@checks("Concat", "numeric")
def test_one_bottom_goes_through():
    x = rng().standard_normal((2, 3))
    np.testing.assert_array_equal(run(make_layer('type: "Concat"', x.shape), x)[0], x)


@checks("Concat", "gradient")
def test_concat_gradient():
    a, b = rng().standard_normal((2, 3, 2)), rng(1).standard_normal((2, 1, 2))
    gradcheck(make_layer('type: "Concat"', a.shape, b.shape), a, b, bottoms=(0, 1))


@checks("Concat", "errors")
def test_concat_refuses_misfits():
    with pytest.raises(LayerError, match="both axis and concat_dim"):
        make_layer('type: "Concat" concat_param { axis: 1 concat_dim: 1 }', (2, 3))
    with pytest.raises(LayerError, match="must match except on axis 1"):
        make_layer('type: "Concat"', (2, 3, 4), (2, 3, 5))
    with pytest.raises(LayerError, match="must match except on axis 1"):
        make_layer('type: "Concat"', (2, 3, 1), (2, 3))
    for param in ("axis: 2", "axis: -3", "concat_dim: 2"):
        with pytest.raises(LayerError, match="out of range"):
            make_layer(f'type: "Concat" concat_param {{ {param} }}', (2, 3), (2, 3))


@checks("Concat", "numeric")
def test_channels_last_bottoms_keep_their_values():
    a, b = torch.rand(2, 3, 4, 5), torch.rand(2, 2, 4, 5)
    (y,) = make_layer('type: "Concat"', a.shape, b.shape)(a.to(memory_format=torch.channels_last), b)
    np.testing.assert_array_equal(y[:, :3], a)
    np.testing.assert_array_equal(y[:, 3:], b)
