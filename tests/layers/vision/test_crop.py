import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run

SHAPE, REFERENCE = (2, 4, 7, 8), (2, 3, 5, 6)


@checks("Crop", "numeric")
@pytest.mark.parametrize(
    ("fields", "offsets", "shape"),
    [
        ("", (0, 0, 0, 0), (2, 4, 5, 6)),
        ("offset: 1", (0, 0, 1, 1), (2, 4, 5, 6)),
        ("axis: 2 offset: 1 offset: 2", (0, 0, 1, 2), (2, 4, 5, 6)),
        ("axis: 1 offset: 1", (0, 1, 1, 1), (2, 3, 5, 6)),
        ("axis: -1 offset: 2", (0, 0, 0, 2), (2, 4, 7, 6)),
        ("axis: 0 offset: [0, 1, 2, 0]", (0, 1, 2, 0), (2, 3, 5, 6)),
    ],
)
def test_crop_copies_each_element_from_its_offset(fields, offsets, shape):
    x = rng().standard_normal(SHAPE)
    (y,) = run(make_layer(f'type: "Crop" crop_param {{ {fields} }}', SHAPE, REFERENCE), x, np.zeros(REFERENCE))
    assert y.shape == shape
    for at in np.ndindex(shape):
        assert y[at] == x[tuple(a + o for a, o in zip(at, offsets))]


@checks("Crop", "gradient")
def test_crop_gradient_is_zero_outside_the_cut():
    layer = make_layer('type: "Crop" crop_param { offset: 1 }', SHAPE, REFERENCE)
    gradcheck(layer, rng().standard_normal(SHAPE), np.zeros(REFERENCE))
    dy = rng().standard_normal((2, 4, 5, 6))
    (dx, dreference), _ = gradients(layer, [np.zeros(SHAPE), np.zeros(REFERENCE)], [dy], bottoms=(0, 1))
    expected = np.zeros(SHAPE)
    expected[:, :, 1:6, 1:7] = dy
    np.testing.assert_array_equal(dx, expected)
    np.testing.assert_array_equal(dreference, np.zeros(REFERENCE))


@checks("Crop", "errors")
@pytest.mark.parametrize(
    ("fields", "shapes", "message"),
    [
        ("axis: 4", (SHAPE, REFERENCE), "axis 4 out of range"),
        ("offset: [1, 2, 3]", (SHAPE, REFERENCE), "offset is given 3 times for the 2 axes"),
        ("offset: 3", (SHAPE, REFERENCE), "axis 2 to size 5 at offset 3 exceeds its size 7"),
        ("", (REFERENCE, SHAPE), "axis 2 to size 7 at offset 0 exceeds its size 5"),
        ("axis: 1", (SHAPE, (2, 3)), "no axis 2 in its second bottom"),
    ],
)
def test_what_crop_refuses(fields, shapes, message):
    with pytest.raises(LayerError, match=message):
        make_layer(f'type: "Crop" crop_param {{ {fields} }}', *shapes)
