import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradients, make_layer, rng, run


@checks("Parameter", "numeric")
@pytest.mark.parametrize(("text", "shape"), [("dim: 2 dim: 3", (2, 3)), ("", ())])
def test_the_top_is_the_blob(text, shape):
    layer = make_layer(f'type: "Parameter" parameter_param {{ shape {{ {text} }} }}')
    np.testing.assert_array_equal(run(layer)[0], np.zeros(shape))
    values = rng().standard_normal(shape)
    layer.blobs[0].data.copy_(torch.tensor(values))
    np.testing.assert_array_equal(run(layer)[0], values)


@checks("Parameter", "gradient")
def test_the_blob_gets_the_gradient_of_the_top():
    layer = make_layer('type: "Parameter" parameter_param { shape { dim: 2 } }')
    _, (diff,) = gradients(layer, [], [np.array([3.0, -4.0])], bottoms=())
    np.testing.assert_array_equal(diff, [3, -4])


@checks("Parameter", "errors")
def test_a_negative_dimension_is_refused():
    with pytest.raises(LayerError, match="negative dimension"):
        make_layer('type: "Parameter" parameter_param { shape { dim: 2 dim: -1 } }')
