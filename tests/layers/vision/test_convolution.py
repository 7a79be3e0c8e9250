import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run
from tests.layers.vision import naive

FILLER = 'weight_filler { type: "gaussian" std: 1 } bias_filler { type: "gaussian" std: 1 }'

# fields, bottom shape, (kernel, stride, pad, dilation, group)
CASES = [
    ("kernel_size: 3", (2, 3, 7), ((3,), (1,), (0,), (1,), 1)),
    ("kernel_size: 3 stride: 2 pad: 1 dilation: 2", (2, 2, 9), ((3,), (2,), (1,), (2,), 1)),
    ("kernel_size: 3 stride: 2 pad: 1", (2, 3, 6, 7), ((3, 3), (2, 2), (1, 1), (1, 1), 1)),
    (
        "kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 1 pad_h: 0 pad_w: 2",
        (1, 2, 6, 5),
        ((3, 2), (2, 1), (0, 2), (1, 1), 1),
    ),
    (
        "kernel_size: 3 kernel_size: 2 stride: 1 stride: 2 pad: 2 pad: 0 dilation: 2 dilation: 1 group: 2",
        (2, 4, 6, 5),
        ((3, 2), (1, 2), (2, 0), (2, 1), 2),
    ),
    ("kernel_size: 1 pad: 2 group: 4", (1, 4, 3, 2), ((1, 1), (1, 1), (2, 2), (1, 1), 4)),
    ("kernel_size: 2 stride: 2 pad: 1", (1, 2, 3, 4, 3), ((2,) * 3, (2,) * 3, (1,) * 3, (1,) * 3, 1)),
    (
        "kernel_size: 2 stride: 2 pad: 1 dilation: 2 group: 2",
        (2, 2, 3, 2, 3, 2),
        ((2,) * 4, (2,) * 4, (1,) * 4, (2,) * 4, 2),
    ),
    # One position although the kernel is one too long: C's division of a negative number truncates.
    ("kernel_size: 4 stride: 2", (1, 2, 3, 5), ((4, 4), (2, 2), (0, 0), (1, 1), 1)),
    ("kernel_size: 4 stride: 3", (1, 1, 2, 2, 2, 2), ((4,) * 4, (3,) * 4, (0,) * 4, (1,) * 4, 1)),
]


def layer_of(fields, *shapes, kind="Convolution"):
    return make_layer(f'type: "{kind}" convolution_param {{ num_output: 4 {fields} {FILLER} }}', *shapes)


def blobs_of(layer):
    arrays = [blob.detach().numpy() for blob in layer.blobs]
    return arrays if len(arrays) == 2 else [*arrays, None]


@checks("Convolution", "numeric")
@pytest.mark.parametrize(("fields", "shape", "window"), CASES)
@pytest.mark.parametrize("bias", ["true", "false"])
def test_convolution_is_the_literal_loop(fields, shape, window, bias):
    layer = layer_of(f"{fields} bias_term: {bias}", shape)
    x = rng().standard_normal(shape)
    kernel, *rest = window
    assert tuple(layer.blobs[0].shape) == (4, shape[1] // rest[-1], *kernel)
    (y,) = run(layer, x)
    np.testing.assert_allclose(y, naive.convolve(x, *blobs_of(layer), *rest), rtol=1e-9, atol=1e-12)


@checks("Convolution", "numeric")
@pytest.mark.parametrize(("axis", "shape"), [(0, (4, 5, 5)), (2, (2, 3, 4, 5, 5)), (-3, (2, 3, 4, 5, 5))])
def test_axes_before_the_channel_axis_are_batch_axes(axis, shape):
    layer = layer_of(f"kernel_size: 3 pad: 1 axis: {axis}", shape)
    x = rng().standard_normal(shape)
    (y,) = run(layer, x)
    expected = naive.convolve(x.reshape(-1, 4, 5, 5), *blobs_of(layer), (1, 1), (1, 1), (1, 1), 1)
    np.testing.assert_allclose(y, expected.reshape(shape), rtol=1e-9, atol=1e-12)


@checks("Convolution", "numeric")
def test_without_spatial_axes_it_is_a_matrix_product():
    layer = layer_of("kernel_size: 1 group: 2", (3, 6))
    x = rng().standard_normal((3, 6))
    (y,) = run(layer, x)
    weight, bias = blobs_of(layer)
    assert weight.shape == (4, 3)
    np.testing.assert_allclose(y, np.hstack([x[:, :3] @ weight[:2].T, x[:, 3:] @ weight[2:].T]) + bias, rtol=1e-12)


@checks("Convolution", "numeric")
def test_bottoms_share_the_blobs_and_their_diffs_add_up():
    text = f'type: "Convolution" convolution_param {{ num_output: 2 kernel_size: 2 {FILLER} }}'
    pair = make_layer(text, (1, 2, 3, 3), (1, 2, 3, 3))
    single = make_layer(text, (1, 2, 3, 3))
    a, b = rng().standard_normal((2, 1, 2, 3, 3))
    tops = run(pair, a, b)
    np.testing.assert_array_equal(tops[0], run(single, a)[0])
    np.testing.assert_array_equal(tops[1], run(single, b)[0])
    ones = np.ones((1, 2, 2, 2))
    _, together = gradients(pair, [a, b], [ones, ones], bottoms=(0, 1))
    parts = [gradients(single, [x], [ones])[1] for x in (a, b)]
    for both, first, second in zip(together, *parts):
        np.testing.assert_allclose(both, first + second, rtol=1e-12)


@checks("Convolution", "gradient")
@pytest.mark.parametrize(
    ("fields", "shape"),
    [
        ("kernel_size: 3 stride: 2 pad: 1 group: 2", (2, 4, 4, 5)),
        ("kernel_size: 2 stride: 2 pad: 1", (1, 2, 2, 3, 1, 2)),
        ("kernel_size: 4 stride: 2", (1, 2, 3, 3)),  # too long by less than its stride
        ("kernel_size: 2 axis: 2", (2, 2, 2, 3, 3)),
    ],
)
def test_convolution_gradient(fields, shape):
    gradcheck(layer_of(fields, shape), rng().standard_normal(shape))


@checks("Convolution", "numeric")
def test_channels_last_input_gives_the_same_channels_last_output():
    layer = layer_of("kernel_size: 3 pad: 1", (2, 3, 5, 5))
    x = torch.as_tensor(rng().standard_normal((2, 3, 5, 5)))
    (y,) = layer(x.contiguous(memory_format=torch.channels_last))
    assert y.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(y, layer(x)[0], rtol=1e-12, atol=1e-12)


# fields, bottom shapes, part of the message
ERRORS = [
    ("num_output: 0 kernel_size: 3", [(1, 3, 5, 5)], "num_output must be at least 1"),
    ("num_output: 4", [(1, 3, 5, 5)], "kernel_size is given 0 times"),
    ("num_output: 4 kernel_size: 0", [(1, 3, 5, 5)], "Filter dimensions must be nonzero"),
    ("num_output: 4 kernel_h: 3", [(1, 3, 5, 5)], "Filter dimensions must be nonzero"),
    ("num_output: 4 kernel_size: [3, 3, 3]", [(1, 3, 5, 5)], "kernel_size is given 3 times for 2"),
    ("num_output: 4 kernel_size: 3 kernel_h: 3 kernel_w: 3", [(1, 3, 5, 5)], "together with kernel_size"),
    ("num_output: 4 kernel_h: 3 kernel_w: 3", [(1, 3, 5)], "for two spatial axes, this bottom has 1"),
    ("num_output: 4 kernel_size: 3 stride: 0", [(1, 3, 5, 5)], "Stride dimensions must be nonzero"),
    ("num_output: 4 kernel_size: 3 stride_h: 2", [(1, 3, 5, 5)], "Stride dimensions must be nonzero"),
    ("num_output: 4 kernel_size: 3 stride: 1 stride_h: 2 stride_w: 2", [(1, 3, 5, 5)], "together with stride"),
    ("num_output: 4 kernel_size: 3 stride: [1, 1, 1]", [(1, 3, 5, 5)], "stride is given 3 times"),
    ("num_output: 4 kernel_size: 3 pad: 1 pad_h: 1", [(1, 3, 5, 5)], "together with pad"),
    ("num_output: 4 kernel_size: 3 pad: [1, 1, 1]", [(1, 3, 5, 5)], "pad is given 3 times"),
    ("num_output: 4 kernel_size: 3 dilation: 0", [(1, 3, 5, 5)], "Dilation must be nonzero"),
    ("num_output: 4 kernel_size: 3 dilation: [1, 1, 1]", [(1, 3, 5, 5)], "dilation is given 3 times"),
    ("num_output: 4 kernel_size: 3 group: 0", [(1, 3, 5, 5)], "group must be at least 1"),
    ("num_output: 4 kernel_size: 3 group: 2", [(1, 3, 5, 5)], "channels 3 is not a multiple of group 2"),
    ("num_output: 4 kernel_size: 3 group: 3", [(1, 3, 5, 5)], "num_output 4 is not a multiple of group 3"),
    ("num_output: 4 kernel_size: 3 axis: 4", [(1, 3, 5, 5)], "axis 4 out of range"),
    ("num_output: 4 kernel_size: 3", [(1, 3, 5, 5), (1, 3, 5, 6)], "All bottoms must have one shape"),
    ('num_output: 4 kernel_size: 3 weight_filler { type: "nought" }', [(1, 3, 5, 5)], "Unknown filler name"),
]


@checks("Convolution", "errors")
@pytest.mark.parametrize(("fields", "shapes", "message"), ERRORS)
def test_what_convolution_refuses(fields, shapes, message):
    with pytest.raises(LayerError, match=message) as error:
        make_layer(f'name: "c1" type: "Convolution" convolution_param {{ {fields} }}', *shapes)
    assert "layer 'c1' (Convolution)" in str(error.value)


@checks("Convolution", "errors")
def test_shapes_that_a_set_up_layer_refuses():
    layer = layer_of("kernel_size: 3", (1, 3, 5, 5))
    for shape, message in [
        ((1, 3, 5, 2), "does not fit"),
        ((1, 4, 5, 5), "4 channels"),
        ((1, 3, 5), "3; that may not"),
    ]:
        with pytest.raises(LayerError, match=message):
            layer.reshape([shape])
    assert layer.reshape([(7, 3, 9, 3)]) == [(7, 4, 7, 1)]
