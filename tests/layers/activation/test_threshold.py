import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.activation.loops import each, f32, refuses_second_bottom
from tests.layers.harness import checks, make_layer, rng, run


@checks("Threshold", "numeric")
@pytest.mark.parametrize("threshold", [0, 0.3, -1.5])
def test_threshold_is_the_literal_loop(threshold):
    x = np.append(rng().standard_normal(20), f32(threshold))
    (y,) = run(make_layer(f'type: "Threshold" threshold_param {{ threshold: {threshold} }}', x.shape), x)
    np.testing.assert_array_equal(y, each(lambda v: 1 if v > f32(threshold) else 0, x))
    assert y[-1] == 0


@checks("Threshold", "gradient")
def test_threshold_has_no_gradient():
    layer = make_layer('type: "Threshold"', (3,))
    assert not layer(torch.ones(3))[0].requires_grad
    with pytest.raises(LayerError, match="cannot backpropagate"):
        layer(torch.ones(3, requires_grad=True))


@checks("Threshold", "errors")
def test_threshold_refuses_a_second_bottom():
    refuses_second_bottom("Threshold")
