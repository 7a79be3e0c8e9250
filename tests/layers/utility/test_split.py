import numpy as np
import pytest

from caffe_port.layers.registry import layer_types
from tests.layers.harness import checks, gradients, make_layer, rng, run


@checks("Split", "numeric")
@pytest.mark.parametrize("shape", [(2, 3), (), (1, 2, 3, 4, 5)])
def test_every_top_is_the_bottom(shape):
    x = rng().standard_normal(shape)
    tops = run(make_layer('type: "Split" top: "a" top: "b" top: "c"', shape), x)
    assert len(tops) == 3
    for top in tops:
        np.testing.assert_array_equal(top, x)


@checks("Split", "gradient")
def test_gradients_add_up():
    layer = make_layer('type: "Split" top: "a" top: "b"', (2,))
    (dx,), _ = gradients(layer, [np.zeros(2)], [np.array([1.0, 2.0]), np.array([10.0, 20.0])])
    np.testing.assert_array_equal(dx, [11, 22])


@checks("Split", "errors")
def test_split_takes_one_bottom_and_is_not_in_place():
    split = layer_types()["Split"]
    assert split.BOTTOMS == (1, 1)
    assert split.TOPS == (1, None)
    assert not split.IN_PLACE
