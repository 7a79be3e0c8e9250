import numpy as np
import pytest

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, make_layer, rng, run
from tests.layers.vision import naive
from tests.layers.vision.test_convolution import blobs_of, layer_of

# fields, bottom shape, (kernel, stride, pad, dilation, group)
CASES = [
    ("kernel_size: 3 stride: 2 pad: 1", (2, 2, 5), ((3,), (2,), (1,), (1,), 1)),
    ("kernel_size: 2 stride: 3", (2, 1, 3, 2), ((2, 2), (3, 3), (0, 0), (1, 1), 1)),
    ("kernel_size: 4 stride: 2 pad: 1 group: 2", (1, 4, 3, 3), ((4, 4), (2, 2), (1, 1), (1, 1), 2)),
    ("kernel_h: 3 kernel_w: 2 pad_h: 2 pad_w: 1 dilation: 2", (1, 3, 4, 4), ((3, 2), (1, 1), (2, 1), (2, 2), 1)),
    ("kernel_size: 1 pad: 2", (1, 2, 6, 6), ((1, 1), (1, 1), (2, 2), (1, 1), 1)),
    ("kernel_size: 2 stride: 2", (1, 2, 2, 3, 2), ((2,) * 3, (2,) * 3, (0,) * 3, (1,) * 3, 1)),
    ("kernel_size: 2 stride: 2 pad: 1 group: 2", (2, 2, 2, 3, 2, 2), ((2,) * 4, (2,) * 4, (1,) * 4, (1,) * 4, 2)),
]


@checks("Deconvolution", "numeric")
@pytest.mark.parametrize(("fields", "shape", "window"), CASES)
@pytest.mark.parametrize("bias", ["true", "false"])
def test_deconvolution_is_the_literal_loop(fields, shape, window, bias):
    layer = layer_of(f"{fields} bias_term: {bias}", shape, kind="Deconvolution")
    x = rng().standard_normal(shape)
    kernel, *rest = window
    assert tuple(layer.blobs[0].shape) == (shape[1], 4 // rest[-1], *kernel)
    (y,) = run(layer, x)
    np.testing.assert_allclose(y, naive.deconvolve(x, *blobs_of(layer), *rest), rtol=1e-9, atol=1e-12)


@checks("Deconvolution", "numeric")
def test_batch_axes_and_no_spatial_axes():
    layer = layer_of("kernel_size: 2 stride: 2 axis: 2", (2, 3, 2, 3, 3), kind="Deconvolution")
    x = rng().standard_normal((2, 3, 2, 3, 3))
    (y,) = run(layer, x)
    expected = naive.deconvolve(x.reshape(6, 2, 3, 3), *blobs_of(layer), (2, 2), (0, 0), (1, 1), 1)
    np.testing.assert_allclose(y, expected.reshape(2, 3, 4, 6, 6), rtol=1e-9, atol=1e-12)
    layer = layer_of("kernel_size: 1", (3, 5), kind="Deconvolution")
    x = rng().standard_normal((3, 5))
    weight, bias = blobs_of(layer)
    np.testing.assert_allclose(run(layer, x)[0], x @ weight + bias, rtol=1e-12)


@checks("Deconvolution", "numeric")
def test_two_bottoms_give_two_tops():
    layer = layer_of("kernel_size: 2", (1, 2, 3, 3), (1, 2, 3, 3), kind="Deconvolution")
    a, b = rng().standard_normal((2, 1, 2, 3, 3))
    for x, y in zip((a, b), run(layer, a, b)):
        expected = naive.deconvolve(x, *blobs_of(layer), (1, 1), (0, 0), (1, 1), 1)
        np.testing.assert_allclose(y, expected, rtol=1e-9, atol=1e-12)


@checks("Deconvolution", "gradient")
@pytest.mark.parametrize(
    ("fields", "shape"),
    [("kernel_size: 3 stride: 2 pad: 1 group: 2", (2, 4, 3, 2)), ("kernel_size: 2 stride: 2", (1, 2, 1, 2, 1, 2))],
)
def test_deconvolution_gradient(fields, shape):
    gradcheck(layer_of(fields, shape, kind="Deconvolution"), rng().standard_normal(shape))


@checks("Deconvolution", "errors")
@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("num_output: 0 kernel_size: 2", "num_output must be at least 1"),
        ("num_output: 4 kernel_size: 2 group: 2", "channels 3 is not a multiple of group 2"),
        ("num_output: 4 kernel_size: 1 pad: 3", "does not fit"),
        ("num_output: 4 kernel_size: 2 stride: 0", "Stride dimensions must be nonzero"),
        ('num_output: 4 kernel_size: 2 kernel_w: 2 weight_filler { type: "bilinear" }', "together with kernel_size"),
    ],
)
def test_what_deconvolution_refuses(fields, message):
    with pytest.raises(LayerError, match=message):
        make_layer(f'type: "Deconvolution" convolution_param {{ {fields} }}', (1, 3, 5, 5))
