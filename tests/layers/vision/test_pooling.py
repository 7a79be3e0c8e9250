import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run
from tests.layers.vision import naive

LOWEST = -float(np.finfo(np.float32).max)

# fields, bottom shape, (kernel, stride, pad, ceil)
CASES = [
    ("kernel_size: 3 stride: 2", (2, 2, 6, 7), ((3, 3), (2, 2), (0, 0), True)),
    ("kernel_size: 3 stride: 2 round_mode: FLOOR", (2, 2, 6, 7), ((3, 3), (2, 2), (0, 0), False)),
    ("kernel_size: 2 stride: 2 pad: 1", (1, 2, 5, 6), ((2, 2), (2, 2), (1, 1), True)),
    ("kernel_size: 3 stride: 2 pad: 1 round_mode: FLOOR", (1, 2, 6, 5), ((3, 3), (2, 2), (1, 1), False)),
    # pad above kernel / 2, which torch's own pooling refuses
    ("kernel_size: 3 stride: 1 pad: 2", (1, 2, 4, 5), ((3, 3), (1, 1), (2, 2), True)),
    ("kernel_h: 3 kernel_w: 2 stride_h: 2 stride_w: 3 pad_h: 2 pad_w: 1", (2, 1, 7, 6), ((3, 2), (2, 3), (2, 1), True)),
    # a last window that starts in the far padding is dropped ...
    ("kernel_size: 2 stride: 3 pad: 1", (1, 1, 4, 7), ((2, 2), (3, 3), (1, 1), True)),
    # ... but without padding a window may lie wholly outside
    ("kernel_size: 1 stride: 3", (1, 2, 3, 5), ((1, 1), (3, 3), (0, 0), True)),
    ("kernel_size: 2 stride: 4", (1, 1, 7, 3), ((2, 2), (4, 4), (0, 0), True)),
    ("kernel_size: 1 stride: 3 round_mode: FLOOR", (1, 2, 3, 5), ((1, 1), (3, 3), (0, 0), False)),
    # a kernel larger than the input by less than the stride
    ("kernel_size: 4 stride: 2", (1, 2, 3, 3), ((4, 4), (2, 2), (0, 0), True)),
    ("global_pooling: true", (2, 3, 4, 5), ((4, 5), (1, 1), (0, 0), True)),
]


def layer_of(fields, shape, tops=1, **options):
    text = " ".join(f'top: "y{i}"' for i in range(tops))
    return make_layer(f'type: "Pooling" {text} pooling_param {{ {fields} }}', shape, **options)


@checks("Pooling", "numeric")
@pytest.mark.parametrize(("fields", "shape", "window"), CASES)
@pytest.mark.parametrize("ties", [False, True])
def test_max_pooling_is_the_literal_loop(fields, shape, window, ties):
    x = rng().integers(0, 3, shape).astype(float) if ties else rng().standard_normal(shape)
    y, mask, counts = naive.max_pool(x, *window)
    tops = run(layer_of(fields, shape, tops=2), x)
    np.testing.assert_array_equal(tops[0], y)
    np.testing.assert_array_equal(tops[1], mask)
    (alone,) = run(layer_of(fields, shape), x)
    np.testing.assert_array_equal(alone, y)
    # Each window passes its diff to its first maximum; a window outside the input to nothing.
    (dx,), _ = gradients(layer_of(fields, shape, tops=2), [x], [np.ones_like(y)])
    np.testing.assert_array_equal(dx, counts)


@checks("Pooling", "numeric")
@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last])
def test_first_of_equal_maxima_wins_in_both_memory_formats(format):
    x = torch.zeros(2, 16, 5, 5).contiguous(memory_format=format).requires_grad_()
    layer = layer_of("kernel_size: 3 stride: 2", x.shape, tops=2)
    y, mask = layer(x)
    assert not mask.requires_grad
    np.testing.assert_array_equal(mask, np.broadcast_to([[0, 2], [10, 12]], (2, 16, 2, 2)))
    y.sum().backward()
    expected = np.zeros((5, 5))
    expected[::2, ::2][:2, :2] = 1
    np.testing.assert_array_equal(x.grad, np.broadcast_to(expected, x.shape))


@checks("Pooling", "numeric")
@pytest.mark.parametrize("fields", ["kernel_size: 2 stride: 2", "kernel_size: 3 stride: 2 pad: 2"])
def test_nan_and_minus_infinity_are_never_the_maximum(fields):
    x = rng().standard_normal((1, 2, 6, 6))
    x[0, 0, 0, 1] = x[0, 1, 2:4, 2:4] = np.nan
    x[0, 0, 2:, 2:] = -np.inf
    x[0, 1, 5, 5] = np.inf
    window = ((2, 2), (2, 2), (0, 0)) if "2 stride" in fields else ((3, 3), (2, 2), (2, 2))
    y, mask, counts = naive.max_pool(x, *window)
    assert (y == LOWEST).any()
    layer = layer_of(fields, x.shape, tops=2)
    tops = run(layer, x)
    np.testing.assert_array_equal(tops[0], y)
    np.testing.assert_array_equal(tops[1], mask)
    (dx,), _ = gradients(layer, [x], [np.ones_like(y)])
    np.testing.assert_array_equal(dx, counts)


@checks("Pooling", "numeric")
@pytest.mark.parametrize(("fields", "shape", "window"), CASES)
def test_average_pooling_is_the_literal_loop(fields, shape, window):
    x = rng().standard_normal(shape)
    y = naive.average_pool(x, *window)
    (top,) = run(layer_of(f"pool: AVE {fields}", shape), x)
    np.testing.assert_allclose(top, y, rtol=1e-12, atol=1e-14)
    # Each element gets 1 / area from every window it is in; a window without elements (NaN or 0) gives nothing.
    expected = np.zeros(shape)
    for _, inside, area in naive.pooling_windows(shape, *window):
        for at in inside:
            expected[at] += 1 / area
    (dx,), _ = gradients(layer_of(f"pool: AVE {fields}", shape), [x], [np.ones_like(y)])
    np.testing.assert_allclose(dx, expected, rtol=1e-12)


@checks("Pooling", "numeric")
def test_average_of_a_window_outside_the_input_is_nan_at_the_edge_and_zero_beyond():
    (y,) = run(
        layer_of("pool: AVE kernel_h: 1 kernel_w: 1 stride_h: 3 stride_w: 1", (1, 1, 3, 1)), np.ones((1, 1, 3, 1))
    )
    np.testing.assert_array_equal(y.ravel(), [1, np.nan])
    (y,) = run(
        layer_of("pool: AVE kernel_h: 1 kernel_w: 1 stride_h: 4 stride_w: 1", (1, 1, 3, 1)), np.ones((1, 1, 3, 1))
    )
    np.testing.assert_array_equal(y.ravel(), [1, 0])


@checks("Pooling", "numeric")
def test_stochastic_pooling_tests_with_the_weighted_mean():
    x = rng().uniform(-0.2, 1, (2, 2, 6, 7))
    x[0, 0, :3, :3] = 0
    x[0, 1, :3, :3] = -1
    (y,) = run(layer_of("pool: STOCHASTIC kernel_size: 3 stride: 2", x.shape, phase="TEST"), x)
    for out, inside, _ in naive.pooling_windows(x.shape, (3, 3), (2, 2), (0, 0)):
        values = np.array([x[at] for at in inside])
        expected = (values**2).sum() / values.sum() if values.sum() > 0 else 0
        np.testing.assert_allclose(y[out], expected, rtol=1e-9)


@checks("Pooling", "numeric")
def test_stochastic_pooling_samples_in_proportion():
    x = np.tile([[1.0, 2.0], [3.0, 4.0]], (1000, 2, 1, 1))
    layer = layer_of("pool: STOCHASTIC kernel_size: 2 stride: 2", x.shape)
    (first,) = run(layer, x)
    (second,) = run(layer, x)
    assert (first != second).any()
    drawn = np.concatenate([first.ravel(), second.ravel()])
    for value in (1, 2, 3, 4):
        p = value / 10
        assert abs((drawn == value).mean() - p) < 5 * np.sqrt(p * (1 - p) / drawn.size)
    (again,) = run(layer_of("pool: STOCHASTIC kernel_size: 2 stride: 2", x.shape), x)
    np.testing.assert_array_equal(again, first)


@checks("Pooling", "numeric")
def test_stochastic_pooling_never_samples_a_zero_unless_all_are():
    x = np.zeros((50, 1, 3, 3))
    x[:, 0, 1, 2] = 5
    (y,) = run(layer_of("pool: STOCHASTIC kernel_size: 3", x.shape), x)
    np.testing.assert_array_equal(y, np.full((50, 1, 1, 1), 5.0))
    (dx,), _ = gradients(layer_of("pool: STOCHASTIC kernel_size: 3", x.shape), [x], [np.ones((50, 1, 1, 1))])
    np.testing.assert_array_equal(dx, x / 5)
    (y,) = run(layer_of("pool: STOCHASTIC kernel_size: 3", x.shape), -x)
    assert set(np.unique(y)) <= {0.0, -5.0}


@checks("Pooling", "gradient")
@pytest.mark.parametrize("pool", ["MAX", "AVE", "STOCHASTIC"])
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_pooling_gradient(pool, phase):
    x = rng().permutation(2 * 2 * 5 * 6).reshape(2, 2, 5, 6) / 50 + 0.1
    pad = "" if pool == "STOCHASTIC" else "pad: 1"
    layer = layer_of(f"pool: {pool} kernel_size: 3 stride: 2 {pad}", x.shape, phase=phase)
    if pool == "STOCHASTIC" and phase == "TRAIN":
        # A sample moves when the elements do; only its own diff is Caffe's gradient.
        (y,) = run(layer, x)
        layer.passes = 0
        (dx,), _ = gradients(layer, [x], [np.ones_like(y)])
        assert dx.sum() == y.size
        np.testing.assert_allclose((dx * x).sum(), y.sum(), rtol=1e-12)
    else:
        gradcheck(layer, x)


ERRORS = [
    ("", "either kernel_size, or kernel_h and kernel_w"),
    ("kernel_h: 3", "either kernel_size, or kernel_h and kernel_w"),
    ("kernel_size: 3 kernel_h: 3 kernel_w: 3", "either kernel_size, or kernel_h and kernel_w"),
    ("kernel_size: 0", "Filter dimensions cannot be zero"),
    ("kernel_h: 2 kernel_w: 0", "Filter dimensions cannot be zero"),
    ("kernel_size: 3 global_pooling: true", "no kernel may be given"),
    ("global_pooling: true pad: 1", "only pad 0 and stride 1"),
    ("global_pooling: true stride: 2", "only pad 0 and stride 1"),
    ("kernel_size: 3 pad: 1 pad_h: 1 pad_w: 1", "either pad, or pad_h and pad_w"),
    ("kernel_size: 3 pad_h: 1", "either pad, or pad_h and pad_w"),
    ("kernel_size: 3 stride: 1 stride_h: 1 stride_w: 1", "either stride, or stride_h and stride_w"),
    ("kernel_size: 3 stride_w: 1", "either stride, or stride_h and stride_w"),
    ("kernel_size: 3 stride: 0", "Stride cannot be zero"),
    ("kernel_size: 2 pad: 2", "must be smaller than the kernel"),
    ("pool: STOCHASTIC kernel_size: 3 pad: 1", "for average and max pooling only"),
    ("kernel_size: 8", "does not fit"),
]


@checks("Pooling", "errors")
@pytest.mark.parametrize(("fields", "message"), ERRORS)
def test_what_pooling_refuses(fields, message):
    with pytest.raises(LayerError, match=message):
        layer_of(fields, (1, 2, 5, 5))


@checks("Pooling", "errors")
def test_pooling_refuses_wrong_bottoms_and_tops():
    with pytest.raises(LayerError, match="must have 4 axes"):
        layer_of("kernel_size: 1", (2, 5, 5))
    with pytest.raises(LayerError, match="empty plane"):
        layer_of("global_pooling: true", (2, 5, 0, 5))
    with pytest.raises(LayerError, match="AVE pooling has one top"):
        layer_of("pool: AVE kernel_size: 1", (1, 2, 5, 5), tops=2)
