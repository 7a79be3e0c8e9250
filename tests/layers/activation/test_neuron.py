"""What every element-by-element layer does: any number of axes, any precision and memory layout."""

import numpy as np
import pytest
import torch

from tests.layers.activation.loops import channels_last
from tests.layers.harness import make_layer, rng, run

LAYERS = {
    "AbsVal": "",
    "BNLL": "",
    "Clip": "clip_param { min: 0.2 max: 0.7 }",
    "ELU": "elu_param { alpha: 0.5 }",
    "Exp": "exp_param { base: 2 scale: 0.5 shift: 1 }",
    "Log": "log_param { base: 10 scale: 2 shift: 1 }",
    "Power": "power_param { power: 3 scale: 0.5 shift: 1 }",
    "ReLU": "relu_param { negative_slope: 0.1 }",
    "Sigmoid": "",
    "Swish": "swish_param { beta: 1.5 }",
    "TanH": "",
    "Threshold": "threshold_param { threshold: 0.5 }",
}


def layer_of(layer_type, shape, **options):
    return make_layer(f'type: "{layer_type}" {LAYERS[layer_type]}', shape, **options)


@pytest.mark.parametrize("layer_type", LAYERS)
def test_the_values_do_not_depend_on_the_shape(layer_type):
    x = rng().uniform(0.1, 1, 24)
    (flat,) = run(layer_of(layer_type, (24,)), x)
    for shape in [(2, 3, 1, 4), (1, 2, 3, 2, 2, 1)]:
        np.testing.assert_array_equal(run(layer_of(layer_type, shape), x.reshape(shape))[0].ravel(), flat)
    np.testing.assert_allclose(run(layer_of(layer_type, ()), x[0])[0], flat[0], rtol=1e-15)  # vectorised or not


@pytest.mark.parametrize("layer_type", LAYERS)
def test_single_precision_in_any_memory_layout(layer_type):
    x = rng().uniform(0.1, 1, (2, 3, 4, 5))
    (expected,) = run(layer_of(layer_type, x.shape), x)
    layer = layer_of(layer_type, x.shape, dtype=torch.float32)
    for bottom in (torch.tensor(x, dtype=torch.float32), channels_last(x)):
        (y,) = layer(bottom)
        assert y.dtype == torch.float32
        np.testing.assert_allclose(y.numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("layer_type", [t for t in LAYERS if t not in ("AbsVal", "Threshold")])
@pytest.mark.parametrize("strict", [True, False])
def test_export_with_an_open_batch_size(layer_type, strict):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.below, self.layer = torch.nn.Linear(3, 3), layer_of(layer_type, (2, 3), in_place=True, phase="TEST")

        def forward(self, x):
            return self.layer(self.below(x).sigmoid())[0]

    net, x = Net().double(), torch.rand(4, 3, dtype=torch.float64)
    batch = {0: torch.export.Dim("batch", min=2)}
    program = torch.export.export(net, (x[:2],), dynamic_shapes=(batch,), strict=strict).module()
    torch.testing.assert_close(program(x), net(x))
