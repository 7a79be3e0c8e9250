import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, make_layer, rng

TEXT = 'type: "Filter" top: "y" top: "w"'


@checks("Filter", "numeric")
@pytest.mark.parametrize("selector", [[1.0, 0, 0.5, -1, 0], [0.0] * 5, [1.0] * 5])
def test_filter_keeps_what_is_selected(selector):
    x, z = rng().standard_normal((5, 2, 3)), rng(1).standard_normal((5, 4))
    layer = make_layer(TEXT, x.shape, z.shape, (5, 1))
    assert layer.reshape([(5, 2, 3), (5, 4), (5, 1)]) == [(5, 2, 3), (5, 4)]
    tops = layer(torch.tensor(x), torch.tensor(z), torch.tensor(selector)[:, None])
    for top, bottom in zip(tops, (x, z)):
        kept = [bottom[n] for n in range(5) if selector[n] != 0]
        np.testing.assert_array_equal(top, np.array(kept).reshape(-1, *bottom.shape[1:]))


@checks("Filter", "gradient")
def test_items_left_out_get_no_gradient():
    x, z = rng().standard_normal((4, 2)), rng(1).standard_normal((4, 3))
    gradcheck(make_layer(TEXT, x.shape, z.shape, (4,)), x, z, [0, 1, 1, 0], bottoms=(0, 1))


@checks("Filter", "errors")
def test_filter_refuses_misfits():
    with pytest.raises(LayerError, match="1 tops for 3 bottoms"):
        make_layer('type: "Filter" top: "y"', (2, 3), (2, 3), (2,))
    with pytest.raises(LayerError, match="after the first must be 1"):
        make_layer('type: "Filter" top: "y"', (2, 3), (2, 2))
    with pytest.raises(LayerError, match="does not have the selector's 3 items"):
        make_layer('type: "Filter" top: "y"', (2, 3), (3,))
    layer = make_layer('type: "Filter" top: "y"', (2, 3), (2,))
    assert layer.NO_GRADIENT == (1,)
    with pytest.raises(LayerError, match="cannot backpropagate to the selector"):
        layer(torch.rand(2, 3), torch.ones(2, requires_grad=True))
