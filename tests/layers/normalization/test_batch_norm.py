import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run

SHAPES = [(4, 3), (3, 2, 5), (2, 3, 4, 5), (2, 2, 2, 3, 2)]
EPS = float(np.float32(1e-5))


def layer_of(fields, shape, **options):
    return make_layer(f'type: "BatchNorm" batch_norm_param {{ {fields} }}', shape, **options)


def set_blobs(layer, mean, variance, factor):
    for blob, values in zip(layer.blobs, (mean, variance, [factor])):
        blob.data = torch.tensor(values, dtype=torch.float64)


def channel_values(x, c):
    return np.array([x[at] for at in np.ndindex(x.shape) if at[1] == c])


@checks("BatchNorm", "numeric")
@pytest.mark.parametrize("shape", SHAPES)
def test_training_normalises_each_channel_and_adds_up_the_statistics(shape):
    layer = layer_of("moving_average_fraction: 0.75", shape)
    assert [tuple(b.shape) for b in layer.blobs] == [(shape[1],), (shape[1],), (1,)]
    assert not any(b.requires_grad for b in layer.blobs)
    sums, squares, factor = np.zeros(shape[1]), np.zeros(shape[1]), 0.0
    for seed in range(3):
        x = rng(seed).standard_normal(shape) * 3 + 7
        (y,) = run(layer, x)
        factor = 0.75 * factor + 1
        for c in range(shape[1]):
            values = channel_values(x, c)
            mean, variance = values.mean(), ((values - values.mean()) ** 2).mean()
            np.testing.assert_allclose(channel_values(y, c), (values - mean) / np.sqrt(variance + EPS), rtol=1e-9)
            sums[c] = 0.75 * sums[c] + mean
            squares[c] = 0.75 * squares[c] + variance * values.size / (values.size - 1)
        for blob, expected in zip(layer.blobs, (sums, squares, [factor])):
            np.testing.assert_allclose(blob.numpy(), expected, rtol=1e-9)


@checks("BatchNorm", "numeric")
@pytest.mark.parametrize(("fields", "phase"), [("", "TEST"), ("use_global_stats: true", "TRAIN")])
def test_global_statistics_are_the_blobs_over_the_scale_factor(fields, phase):
    layer = layer_of(f"{fields} eps: 0.25", (2, 2, 3), phase=phase)
    set_blobs(layer, [2.0, -4.0], [8.0, 3.0], 4.0)
    x = rng().standard_normal((2, 2, 3))
    (y,) = run(layer, x)
    np.testing.assert_allclose(y[:, 0], (x[:, 0] - 0.5) / np.sqrt(2.25), rtol=1e-12)
    np.testing.assert_allclose(y[:, 1], (x[:, 1] + 1) / np.sqrt(1), rtol=1e-12)
    np.testing.assert_array_equal(layer.blobs[2].numpy(), [4])
    (dx,), _ = gradients(layer, [x], [np.ones_like(x)])
    np.testing.assert_allclose(dx[:, 0], np.full((2, 3), 1 / 1.5), rtol=1e-12)


@checks("BatchNorm", "numeric")
def test_a_scale_factor_of_zero_means_statistics_of_zero():
    layer = layer_of("eps: 0.25", (2, 3), phase="TEST")
    set_blobs(layer, [1.0, 2.0, 3.0], [1.0, 2.0, 3.0], 0.0)
    x = rng().standard_normal((2, 3))
    np.testing.assert_allclose(run(layer, x)[0], x / 0.5, rtol=1e-12)


@checks("BatchNorm", "numeric")
def test_use_global_stats_false_updates_the_statistics_in_test_phase_too():
    layer = layer_of("use_global_stats: false", (4, 2), phase="TEST")
    x = rng().standard_normal((4, 2))
    run(layer, x)
    np.testing.assert_allclose(layer.blobs[0].numpy(), x.mean(axis=0), rtol=1e-9)
    np.testing.assert_array_equal(layer.blobs[2].numpy(), [1])


@checks("BatchNorm", "numeric")
def test_one_element_per_channel_gives_zero_and_an_uncorrected_variance():
    layer = layer_of("", (1, 3))
    (y,) = run(layer, [[5.0, -2.0, 0.5]])
    np.testing.assert_array_equal(y, np.zeros((1, 3)))
    np.testing.assert_array_equal(layer.blobs[0].numpy(), [5, -2, 0.5])
    np.testing.assert_array_equal(layer.blobs[1].numpy(), [0, 0, 0])


@checks("BatchNorm", "numeric")
def test_one_axis_is_one_channel():
    x = rng().standard_normal(6)
    (y,) = run(layer_of("", (6,)), x)
    np.testing.assert_allclose(y, (x - x.mean()) / np.sqrt(x.var() + EPS), rtol=1e-9)


@checks("BatchNorm", "numeric")
def test_values_far_from_zero_keep_their_precision():
    x = (rng().standard_normal((8, 1, 4, 4)) + 1000).astype(np.float32)
    (y,) = run(layer_of("", x.shape, dtype=torch.float32), x)
    exact = x.astype(np.float64)
    np.testing.assert_allclose(y, (exact - exact.mean()) / np.sqrt(exact.var() + EPS), atol=1e-4)


@checks("BatchNorm", "gradient")
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_batch_norm_gradient(shape, phase):
    layer = layer_of("eps: 0.1", shape, phase=phase)
    set_blobs(layer, [0.5] * shape[1], [2.0] * shape[1], 2.0)
    gradcheck(layer, rng().standard_normal(shape))


@checks("BatchNorm", "errors")
def test_what_batch_norm_refuses():
    for spec in ("param { }", "param { lr_mult: 0 } param { lr_mult: 0.5 }"):
        with pytest.raises(LayerError, match="cannot be learned"):
            make_layer(f'type: "BatchNorm" {spec}', (2, 3))
    layer = make_layer('type: "BatchNorm" param { lr_mult: 0 } param { lr_mult: 0 } param { lr_mult: 0 }', (2, 3))
    with pytest.raises(LayerError, match="4 channels, the layer was set up for 3"):
        layer.reshape([(2, 4)])
    with pytest.raises(LayerError, match="at least one axis"):
        layer.reshape([()])
