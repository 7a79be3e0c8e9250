"""Learning rates against their closed forms."""

from __future__ import annotations

import math

import numpy as np
import pytest

from caffe_port.errors import SolverError
from caffe_port.proto import pb
from caffe_port.solver.lr_policy import POLICIES, LearningRate

#: one set of settings serves all policies
pytestmark = pytest.mark.filterwarnings("ignore:.* has no effect under lr_policy")

BASE, GAMMA, POWER = 0.0285, 0.9713, 0.75
ITERATIONS = 5000


def learning_rate(policy, **settings):
    return LearningRate(pb.SolverParameter(lr_policy=policy, **{"base_lr": BASE, "gamma": GAMMA, **settings}))


def single(value):
    """What a protobuf float keeps of ``value``, as a Python (double precision) number."""
    return float(np.float32(value))


def rounded(value):
    return float(np.float32(value))


def rates(policy, **settings):
    schedule = learning_rate(policy, **settings)
    return [schedule.rate(iteration) for iteration in range(ITERATIONS)]


def test_fixed():
    assert set(rates("fixed")) == {single(BASE)}


@pytest.mark.parametrize("gamma", [GAMMA, 0.1, 1.0, 1.0005, 0.0])
def test_step_to_the_bit(gamma):
    expected = [rounded(single(BASE) * single(gamma) ** (i // 7)) for i in range(ITERATIONS)]
    assert rates("step", gamma=gamma, stepsize=7) == expected


@pytest.mark.parametrize("gamma", [0.9995, GAMMA])
def test_exp_to_the_bit(gamma):
    assert rates("exp", gamma=gamma) == [rounded(single(BASE) * single(gamma) ** i) for i in range(ITERATIONS)]


@pytest.mark.parametrize("power", [POWER, 0.0, 2.0])
def test_inv(power):
    expected = [single(BASE) * (1 + single(1e-4) * i) ** -power for i in range(ITERATIONS)]
    np.testing.assert_allclose(rates("inv", gamma=1e-4, power=power), expected, rtol=5e-7)


@pytest.mark.parametrize("power", [POWER, 1.0, 2.0])
def test_poly(power):
    ours = rates("poly", power=power, max_iter=ITERATIONS)
    expected = [single(BASE) * (1 - i / ITERATIONS) ** power for i in range(ITERATIONS)]
    # 1 - i / max_iter is single precision in Caffe: an error of 6e-8 against what is left, at least 2e-4
    np.testing.assert_allclose(ours, expected, rtol=2 * 6e-8 * ITERATIONS)
    assert learning_rate("poly", power=power, max_iter=ITERATIONS).rate(ITERATIONS) == 0


@pytest.mark.parametrize("gamma", [0.01, 0.5, 0.0])
def test_sigmoid(gamma):
    expected = [single(BASE) / (1 + math.exp(min(-single(gamma) * (i - 600), 700))) for i in range(ITERATIONS)]
    # where exp overflows in single precision the rate is 0, as in Caffe
    np.testing.assert_allclose(rates("sigmoid", gamma=gamma, stepsize=600), expected, rtol=1e-4, atol=1e-38)


def test_multistep_to_the_bit():
    steps = [5, 100, 101, 4000]
    expected = [rounded(single(BASE) * single(GAMMA) ** sum(i >= s for s in steps)) for i in range(ITERATIONS)]
    assert rates("multistep", stepvalue=steps) == expected


def test_multistep_passes_one_value_per_iteration(caplog):
    schedule = learning_rate("multistep", stepvalue=[2, 2, 2], gamma=0.5, base_lr=1)
    with caplog.at_level("INFO", logger="caffe_port"):
        assert [schedule.rate(i) for i in range(6)] == [1, 1, 0.5, 0.25, 0.125, 0.125]
    assert caplog.messages == [f"MultiStep Status: Iteration {i + 1}, step = {i}" for i in (1, 2, 3)]


@pytest.mark.parametrize(("policy", "settings"), [("step", {"stepsize": 3}), ("multistep", {"stepvalue": [4, 9]})])
def test_current_step_carries_a_restored_run(policy, settings):
    straight, resumed = learning_rate(policy, **settings), learning_rate(policy, **settings)
    expected = [straight.rate(i) for i in range(20)]
    first = learning_rate(policy, **settings)
    [first.rate(i) for i in range(7)]
    resumed.current_step = first.current_step
    assert [resumed.rate(i) for i in range(7, 20)] == expected[7:]


@pytest.mark.parametrize("policy", ["step", "sigmoid"])
@pytest.mark.parametrize("stepsize", [0, -5])
def test_stepsize_must_be_positive(policy, stepsize):
    with pytest.raises(SolverError, match=f"'{policy}' has stepsize {stepsize}.*above 0"):
        learning_rate(policy, stepsize=stepsize)
    with pytest.raises(SolverError, match="stepsize 0"):
        learning_rate(policy)


@pytest.mark.parametrize("policy", ["step", "exp", "inv", "multistep", "sigmoid"])
def test_gamma_must_not_be_negative(policy):
    with pytest.raises(SolverError, match=f"'{policy}' has gamma -0.5"):
        learning_rate(policy, gamma=-0.5, stepsize=5)


@pytest.mark.parametrize("policy", ["fixed", "poly"])
def test_gamma_is_free_where_it_is_not_used(policy):
    assert learning_rate(policy, gamma=-0.5, max_iter=10, power=1).rate(0) == single(BASE)


@pytest.mark.parametrize("policy", ["", "Step", "cosine"])
def test_unknown_policy(policy):
    with pytest.raises(SolverError, match=f"Unknown learning rate policy: '{policy}'") as caught:
        learning_rate(policy)
    assert all(name in caught.value.remedy for name in POLICIES)


@pytest.mark.parametrize("policy", ["exp", "step"])
def test_overflow_is_infinite_not_an_exception(policy):
    schedule = learning_rate(policy, gamma=10.0, stepsize=1)
    assert schedule.rate(1000) == math.inf
