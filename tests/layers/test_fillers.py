"""Fillers: distributions against their closed forms, over samples large enough for five standard errors."""

import math

import numpy as np
import pytest
import torch

from caffe_port import rng
from caffe_port.errors import LayerError
from caffe_port.layers.fillers import FILLERS, fill
from caffe_port.proto import pb
from tests.layers.harness import make_layer

SHAPE = (40, 50, 10, 10)
COUNT = math.prod(SHAPE)


def filled(shape=SHAPE, seed=1, **setting):
    blob = torch.full(shape, math.nan)
    fill(blob, pb.FillerParameter(**setting), rng.torch_generator(seed))
    return blob.double().numpy()


def check_moments(values, mean, std, kurtosis):
    """``kurtosis``: fourth central moment over std ** 4."""
    assert abs(values.mean() - mean) < 5 * std / math.sqrt(values.size)
    assert abs(values.std() - std) < 5 * std * math.sqrt((kurtosis - 1) / 4 / values.size)
    fourth = (((values - mean) / std) ** 4).mean()
    assert abs(fourth - kurtosis) < 5 * math.sqrt(96 / values.size)  # 96: variance of z ** 4 for a normal z


def check_uniform(values, low, high):
    check_moments(values, (low + high) / 2, (high - low) / math.sqrt(12), 1.8)
    assert low <= values.min() < low + (high - low) * 1e-3
    assert high - (high - low) * 1e-3 < values.max() <= high


def test_constant():
    np.testing.assert_array_equal(filled((2, 3), type="constant", value=0.5), np.full((2, 3), 0.5))
    np.testing.assert_array_equal(filled((2, 3)), np.zeros((2, 3)))
    assert filled((), value=3) == 3


def test_without_a_filler_a_blob_is_zero():
    blob = torch.full((2, 3), math.nan)
    fill(blob, None, rng.torch_generator(1))
    np.testing.assert_array_equal(blob, np.zeros((2, 3)))


def test_uniform():
    check_uniform(filled(type="uniform"), 0, 1)
    check_uniform(filled(type="uniform", min=-3, max=2), -3, 2)
    np.testing.assert_array_equal(filled((4,), type="uniform", min=2, max=2), [2, 2, 2, 2])


def test_gaussian():
    check_moments(filled(type="gaussian"), 0, 1, 3)
    check_moments(filled(type="gaussian", mean=-4, std=0.5), -4, 0.5, 3)


@pytest.mark.parametrize("sparse", [0, 5, 40])
def test_sparse_gaussian_keeps_that_many_weights_per_output_on_average(sparse):
    values = filled(type="gaussian", std=2, sparse=sparse)
    keep = sparse / SHAPE[0]
    assert abs((values != 0).mean() - keep) <= 5 * math.sqrt(keep * (1 - keep) / COUNT)
    if sparse:
        check_moments(values[values != 0], 0, 2, 3)


def test_positive_unitball_rows_are_positive_and_sum_to_one():
    values = filled((5, 100, 200), type="positive_unitball").reshape(5, -1)
    np.testing.assert_allclose(values.sum(axis=1), 1, rtol=1e-5)
    check_uniform(values[0] / values[0].max(), 0, 1)


@pytest.mark.parametrize(
    ("norm", "n"),
    [("FAN_IN", 50 * 100), ("FAN_OUT", 40 * 100), ("AVERAGE", 45 * 100)],
)
def test_xavier_and_msra_scale_with_the_fan(norm, n):
    setting = {"variance_norm": pb.FillerParameter.VarianceNorm.Value(norm)}
    check_uniform(filled(type="xavier", **setting), -math.sqrt(3 / n), math.sqrt(3 / n))
    check_moments(filled(type="msra", **setting), 0, math.sqrt(2 / n), 3)


def test_one_axis_has_fan_in_one_and_fan_out_its_length():
    norms = pb.FillerParameter.VarianceNorm
    check_uniform(filled((COUNT,), type="xavier"), -math.sqrt(3), math.sqrt(3))
    check_moments(filled((COUNT,), type="msra", variance_norm=norms.Value("FAN_OUT")), 0, math.sqrt(2 / COUNT), 3)


@pytest.mark.parametrize("width", [1, 2, 3, 4, 5, 16])
def test_bilinear_is_the_literal_loop(width):
    factor = math.ceil(width / 2)
    centre = (width - 1) / (2 * factor)
    expected = np.empty((2, 3, width, width))
    for n, c, y, x in np.ndindex(expected.shape):
        expected[n, c, y, x] = (1 - abs(x / factor - centre)) * (1 - abs(y / factor - centre))
    np.testing.assert_allclose(filled(expected.shape, type="bilinear"), expected, rtol=1e-6)


@pytest.mark.parametrize(
    ("shape", "setting", "message"),
    [
        ((2,), {"type": "glorot"}, "Unknown filler name: 'glorot'.*xavier"),
        ((2, 0), {"type": "constant"}, "nothing to fill"),
        ((2,), {"type": "uniform", "min": 1, "max": 0}, "no range from min 1 to max 0"),
        ((2,), {"type": "uniform", "min": -3e38, "max": 3e38}, "no range"),
        ((2,), {"type": "uniform", "max": math.nan}, "no range"),
        ((2,), {"type": "gaussian", "std": 0}, "positive std"),
        ((2,), {"type": "gaussian", "std": -1}, "positive std"),
        ((2,), {"type": "gaussian", "sparse": -2}, "sparse must be"),
        ((2,), {"type": "gaussian", "sparse": 3}, "more than the 2 outputs"),
        ((), {"type": "gaussian", "sparse": 1}, "at least one axis"),
        ((), {"type": "positive_unitball"}, "at least one axis"),
        ((), {"type": "xavier"}, "at least one axis"),
        ((), {"type": "msra"}, "at least one axis"),
        ((2, 3, 3), {"type": "bilinear"}, "4 axes"),
        ((1, 1, 2, 3), {"type": "bilinear"}, "square"),
    ],
)
def test_what_fillers_refuse(shape, setting, message):
    with pytest.raises(LayerError, match=message):
        filled(shape, **setting)


@pytest.mark.parametrize("name", [name for name in FILLERS if name != "gaussian"])
def test_only_gaussian_is_sparse(name):
    with pytest.raises(LayerError, match="Sparsity not supported"):
        filled((2, 2, 3, 3), type=name, sparse=1)


@pytest.mark.parametrize("name", ["uniform", "gaussian", "positive_unitball", "xavier", "msra"])
def test_the_seed_decides(name):
    np.testing.assert_array_equal(filled((3, 4), type=name), filled((3, 4), type=name))
    assert (filled((3, 4), type=name) != filled((3, 4), type=name, seed=2)).all()


def test_the_order_in_which_layers_are_made_does_not_matter_but_their_names_do():
    def weights(name, seed=1):
        text = f'name: "{name}" type: "InnerProduct" inner_product_param {{ num_output: 3 %s }}'
        fillers = 'weight_filler { type: "xavier" } bias_filler { type: "gaussian" }'
        return [b.detach().numpy() for b in make_layer(text % fillers, (2, 5), seed=seed).blobs]

    (a, a_bias), (b, _) = weights("a"), weights("b")
    (b_first, _), (a_second, a_bias_second) = weights("b"), weights("a")
    np.testing.assert_array_equal(a, a_second)
    np.testing.assert_array_equal(a_bias, a_bias_second)
    np.testing.assert_array_equal(b, b_first)
    assert (a != b).all()
    assert (a != weights("a", seed=2)[0]).all()


def test_an_error_names_the_layer():
    text = 'name: "fc" type: "InnerProduct" inner_product_param { num_output: 3 weight_filler { type: "magic" } }'
    with pytest.raises(LayerError, match=r"layer 'fc' \(InnerProduct\).*magic"):
        make_layer(text, (2, 5))
