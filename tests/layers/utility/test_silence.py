import pytest
import torch

from caffe_port.layers.registry import layer_types
from tests.layers.harness import checks, make_layer, rng, run


@checks("Silence", "numeric")
@pytest.mark.parametrize("shapes", [[(2, 3)], [(2, 3), (), (1, 2, 3, 4, 5)]])
def test_silence_gives_nothing(shapes):
    assert run(make_layer('type: "Silence"', *shapes), *[rng().standard_normal(shape) for shape in shapes]) == []


@checks("Silence", "gradient")
def test_silence_adds_nothing_to_a_gradient():
    x = torch.ones(3, requires_grad=True)
    make_layer('type: "Silence"', (3,))(x)
    (2 * x).sum().backward()
    assert x.grad.tolist() == [2, 2, 2]


@checks("Silence", "errors")
def test_silence_wants_a_bottom_and_no_top():
    silence = layer_types()["Silence"]
    assert silence.BOTTOMS == (1, None)
    assert silence.TOPS == (0, 0)
