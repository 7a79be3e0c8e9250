import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, make_layer, rng, run
from tests.layers.vision import naive

# fields, bottom shape, (kernel, stride, pad, dilation)
CASES = [
    ("kernel_size: 3", (2, 2, 5), ((3,), (1,), (0,), (1,))),
    ("kernel_size: 2 pad: 1 dilation: 2", (2, 2, 5, 4), ((2, 2), (1, 1), (1, 1), (2, 2))),
    (
        "kernel_h: 3 kernel_w: 2 stride_h: 1 stride_w: 2 pad_h: 2 pad_w: 0",
        (1, 3, 4, 5),
        ((3, 2), (1, 2), (2, 0), (1, 1)),
    ),
    ("kernel_size: 2 stride: 2 force_nd_im2col: true", (1, 2, 3, 4, 2), ((2,) * 3, (2,) * 3, (0,) * 3, (1,) * 3)),
    ("kernel_size: 4 stride: 2", (1, 2, 3, 6), ((4, 4), (2, 2), (0, 0), (1, 1))),
]


@checks("Im2col", "numeric")
@pytest.mark.parametrize(("fields", "shape", "window"), CASES)
def test_im2col_is_the_literal_loop(fields, shape, window):
    x = rng().standard_normal(shape)
    (y,) = run(make_layer(f'type: "Im2col" convolution_param {{ {fields} }}', shape), x)
    np.testing.assert_array_equal(y, naive.unfold(x, *window))


@checks("Im2col", "numeric")
def test_axis_moves_the_channels():
    x = rng().standard_normal((2, 3, 2, 4, 4))
    (y,) = run(make_layer('type: "Im2col" convolution_param { kernel_size: 3 axis: 2 }', x.shape), x)
    expected = naive.unfold(x.reshape(6, 2, 4, 4), (3, 3), (1, 1), (0, 0), (1, 1))
    np.testing.assert_array_equal(y, expected.reshape(2, 3, 18, 2, 2))


@checks("Im2col", "gradient")
def test_im2col_gradient():
    shape = (2, 2, 4, 5)
    layer = make_layer('type: "Im2col" convolution_param { kernel_size: 3 stride: 2 pad: 1 }', shape)
    gradcheck(layer, rng().standard_normal(shape))


@checks("Im2col", "errors")
@pytest.mark.parametrize(
    ("fields", "shape", "message"),
    [
        ("kernel_size: 1", (2, 3), "at least one spatial axis"),
        ("", (1, 2, 4, 4), "kernel_size is given 0 times"),
        ("kernel_size: 5", (1, 2, 4, 4), "does not fit"),
        ("kernel_size: 2 stride: 0", (1, 2, 4, 4), "Stride dimensions must be nonzero"),
    ],
)
def test_what_im2col_refuses(fields, shape, message):
    with pytest.raises(LayerError, match=message):
        make_layer(f'type: "Im2col" convolution_param {{ {fields} }}', shape)
