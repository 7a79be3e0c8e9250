import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, make_layer, rng, run

ACROSS = [
    ("", (1, 6, 3, 3), (5, 1.0, 0.75, 1.0)),
    ("local_size: 3 alpha: 0.5 beta: 0.5 k: 2", (2, 7, 2, 3), (3, 0.5, 0.5, 2.0)),
    ("local_size: 5 alpha: 2 beta: 0.75 k: 4", (2, 2, 3, 2), (5, 2.0, 0.75, 4.0)),  # fewer channels than local_size
    ("local_size: 9 alpha: 3 beta: 1.25", (1, 1, 2, 2), (9, 3.0, 1.25, 1.0)),
    ("local_size: 1 alpha: 2", (1, 3, 2, 2), (1, 2.0, 0.75, 1.0)),
]
WITHIN = [
    ("local_size: 3", (1, 2, 4, 5), (3, 1.0, 0.75)),
    ("local_size: 5 alpha: 3 beta: 0.5 k: 7", (2, 1, 3, 2), (5, 3.0, 0.5)),
    ("local_size: 1 alpha: 2 beta: 1.5", (1, 2, 3, 3), (1, 2.0, 1.5)),
]


def layer_of(fields, shape, **options):
    return make_layer(f'type: "LRN" lrn_param {{ {fields} }}', shape, **options)


def across(x, size, alpha, beta, k):
    y = np.zeros(x.shape)
    for n, c, h, w in np.ndindex(x.shape):
        near = range(max(0, c - size // 2), min(x.shape[1], c + size // 2 + 1))
        y[n, c, h, w] = x[n, c, h, w] / (k + alpha / size * sum(x[n, i, h, w] ** 2 for i in near)) ** beta
    return y


def within(x, size, alpha, beta):
    y, reach = np.zeros(x.shape), size // 2
    for n, c, h, w in np.ndindex(x.shape):
        square = x[n, c, max(0, h - reach) : h + reach + 1, max(0, w - reach) : w + reach + 1] ** 2
        y[n, c, h, w] = x[n, c, h, w] / (1 + alpha * square.sum() / size**2) ** beta
    return y


@checks("LRN", "numeric")
@pytest.mark.parametrize(("fields", "shape", "settings"), ACROSS)
def test_lrn_across_channels_is_the_literal_loop(fields, shape, settings):
    x = rng().standard_normal(shape)
    np.testing.assert_allclose(run(layer_of(fields, shape), x)[0], across(x, *settings), rtol=1e-12)


@checks("LRN", "numeric")
@pytest.mark.parametrize(("fields", "shape", "settings"), WITHIN)
def test_lrn_within_channel_is_the_literal_loop(fields, shape, settings):
    x = rng().standard_normal(shape)
    (y,) = run(layer_of(f"norm_region: WITHIN_CHANNEL {fields}", shape), x)
    np.testing.assert_allclose(y, within(x, *settings), rtol=1e-12)


@checks("LRN", "gradient")
@pytest.mark.parametrize(
    ("fields", "shape"),
    [case[:2] for case in ACROSS] + [(f"norm_region: WITHIN_CHANNEL {case[0]}", case[1]) for case in WITHIN],
)
def test_lrn_gradient(fields, shape):
    gradcheck(layer_of(fields, shape), rng().standard_normal(shape))


@checks("LRN", "numeric")
@pytest.mark.parametrize("region", ["ACROSS_CHANNELS", "WITHIN_CHANNEL"])
@pytest.mark.parametrize("format", [torch.contiguous_format, torch.channels_last])
def test_recording_a_gradient_and_the_memory_format_change_no_number(region, format):
    layer = layer_of(f"norm_region: {region} alpha: 2", (2, 8, 5, 5), dtype=torch.float32)
    x = torch.as_tensor(rng().standard_normal((2, 8, 5, 5)), dtype=torch.float32)
    (plain,) = layer(x)
    (recorded,) = layer(x.clone(memory_format=format).requires_grad_())
    assert recorded.is_contiguous(memory_format=format)
    torch.testing.assert_close(recorded.detach(), plain, rtol=1e-6, atol=1e-7)
    expected = across(x.numpy(), 5, 2, 0.75, 1) if region == "ACROSS_CHANNELS" else within(x.numpy(), 5, 2, 0.75)
    np.testing.assert_allclose(plain, expected, rtol=2e-6, atol=2e-6)


@checks("LRN", "numeric")
def test_lrn_exports_with_an_open_batch_size():
    layer = layer_of("alpha: 2", (2, 4, 3, 3), phase="TEST")
    x = torch.as_tensor(rng().standard_normal((5, 4, 3, 3)))
    batch = {0: torch.export.Dim("batch", min=1)}
    program = torch.export.export(layer, (x[:2],), dynamic_shapes=(batch,), strict=False)
    np.testing.assert_allclose(program.module()(x)[0], across(x.numpy(), 5, 2, 0.75, 1), rtol=1e-12)


@checks("LRN", "errors")
def test_what_lrn_refuses():
    with pytest.raises(LayerError, match="local_size 4 is even"):
        layer_of("local_size: 4", (1, 2, 3, 3))
    for shape in [(2, 3), (1, 2, 3), (1, 2, 3, 3, 3)]:
        with pytest.raises(LayerError, match="must have 4 axes"):
            layer_of("", shape)
