import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, make_layer, rng, run


@checks("Flatten", "numeric")
@pytest.mark.parametrize(
    ("param", "shape"),
    [
        ("", (2, 60)),
        ("axis: 2", (2, 3, 20)),
        ("axis: 1 end_axis: 2", (2, 12, 5)),
        ("axis: -2", (2, 3, 20)),
        ("axis: 0", (120,)),
        ("axis: 2 end_axis: 2", (2, 3, 4, 5)),
        ("axis: 2 end_axis: 1", (2, 3, 1, 4, 5)),
    ],
)
def test_flatten_keeps_the_order(param, shape):
    x = rng().standard_normal((2, 3, 4, 5))
    layer = make_layer(f'type: "Flatten" flatten_param {{ {param} }}', x.shape)
    (y,) = run(layer, x)
    assert y.shape == shape
    assert [float(v) for v in y.ravel()] == [x[at] for at in np.ndindex(x.shape)]
    (z,) = layer(torch.tensor(x).to(memory_format=torch.channels_last))
    np.testing.assert_array_equal(z, y)


@checks("Flatten", "gradient")
def test_flatten_gradient():
    gradcheck(make_layer('type: "Flatten"', (2, 3, 2)), rng().standard_normal((2, 3, 2)))


@checks("Flatten", "errors")
def test_flatten_refuses_misfits():
    with pytest.raises(LayerError, match="end_axis 0 lies before axis 2"):
        make_layer('type: "Flatten" flatten_param { axis: 2 end_axis: 0 }', (2, 3, 4))
    for param in ("axis: 3", "end_axis: 3", "axis: -4"):
        with pytest.raises(LayerError, match="out of range"):
            make_layer(f'type: "Flatten" flatten_param {{ {param} }}', (2, 3, 4))
