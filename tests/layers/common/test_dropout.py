import numpy as np
import pytest
import torch

from caffe_port.errors import LayerError
from tests.layers.activation.loops import channels_last, f32
from tests.layers.harness import checks, gradcheck, gradients, make_layer, rng, run


def make(ratio, shape, **options):
    return make_layer(f'type: "Dropout" dropout_param {{ dropout_ratio: {ratio} }}', shape, **options)


@checks("Dropout", "numeric")
@pytest.mark.parametrize("ratio", [0, 0.1, 0.5, 0.9])
def test_train_drops_with_the_ratio_and_scales_the_rest(ratio):
    x = rng().uniform(1, 2, (100, 1000))
    (y,) = run(make(ratio, x.shape), x)
    kept = y != 0
    np.testing.assert_allclose(y[kept], x[kept] / (1 - f32(ratio)), rtol=1e-12)
    # binomial: five standard deviations
    assert abs(kept.mean() - (1 - ratio)) <= 5 * np.sqrt(ratio * (1 - ratio) / x.size)
    # neither rows nor columns are dropped together
    for axis, n in ((0, 100), (1, 1000)):
        assert np.ptp(kept.mean(axis=axis)) <= 10 * np.sqrt(ratio * (1 - ratio) / n)


@checks("Dropout", "numeric")
def test_test_phase_is_the_identity_and_draws_nothing():
    x = rng().standard_normal((2, 3))
    layer = make(0.7, x.shape, phase="TEST")
    np.testing.assert_array_equal(run(layer, x)[0], x)
    assert layer.passes == 0


@checks("Dropout", "numeric")
def test_the_mask_depends_on_seed_and_pass_not_on_history_or_layout():
    x = np.ones((2, 3, 8, 8))
    layer = make(0.5, x.shape)
    first, second = run(layer, x)[0], run(layer, x)[0]
    assert (first != second).any()
    assert (run(make(0.5, x.shape, seed=2), x)[0] != first).any()
    again = make(0.5, x.shape)
    again.passes = 1
    np.testing.assert_array_equal(run(again, x)[0], second)
    other = make(0.5, x.shape, dtype=torch.float32)
    np.testing.assert_array_equal(other(channels_last(x))[0], first)
    assert run(make(0.5, ()), 1.0)[0] in (0, 2)


@checks("Dropout", "gradient")
@pytest.mark.parametrize("in_place", [False, True])
@pytest.mark.parametrize("phase", ["TRAIN", "TEST"])
def test_dropout_gradient(in_place, phase):
    x = rng().standard_normal((4, 5))
    gradcheck(make(0.4, x.shape, phase=phase, in_place=in_place), x)
    top_diff = rng(1).standard_normal((4, 5))
    (dx,), _ = gradients(make(0.4, x.shape, phase=phase), [np.ones((4, 5))], [top_diff])
    np.testing.assert_allclose(dx, top_diff * run(make(0.4, x.shape, phase=phase), np.ones((4, 5)))[0], rtol=1e-12)


@checks("Dropout", "errors")
@pytest.mark.parametrize("ratio", ["1", "-0.1", "1.5", "nan"])
def test_dropout_refuses_a_ratio_outside_zero_to_one(ratio):
    with pytest.raises(LayerError, match="dropout_ratio must lie in"):
        make(ratio, (2,))
