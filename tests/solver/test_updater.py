"""SGD by hand: numpy in double precision, in Caffe's order."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from caffe_port.errors import SolverError
from caffe_port.proto import pb
from caffe_port.solver.updater import Updater


class FakeParam:
    """A learnable parameter without a net: what the updater reads of :class:`caffe_port.net.graph.Param`."""

    def __init__(self, values, lr_mult=None, decay_mult=None):
        self.blob = torch.nn.Parameter(torch.tensor(values, dtype=torch.float32))
        self.lr_mult, self.decay_mult = lr_mult, decay_mult


#: lr_mult and decay_mult of three parameters; the first leaves both at Caffe's default 1.
MULTIPLIERS = [(None, None), (2.0, 0.0), (0.5, 3.0)]
RATES = [0.1, 0.1, 0.03, 0.03]


def params(seed=0):
    random = np.random.default_rng(seed)
    return [FakeParam(random.normal(size=(4, 3)), *mult) for mult in MULTIPLIERS]


def gradients(step, seed=1):
    random = np.random.default_rng([seed, step])
    return [random.normal(size=(4, 3)).astype(np.float32) for _ in MULTIPLIERS]


def by_hand(start, *, momentum=0.0, weight_decay=0.0, l1=False, clip=None, iter_size=1):
    """Weights after the four steps of RATES, and the last applied updates."""
    weights = [w.astype(np.float64) for w in start]
    history = [np.zeros_like(w) for w in weights]
    for step, rate in enumerate(RATES):
        grads = [g.astype(np.float64) for g in gradients(step)]
        norm = np.sqrt(sum((g**2).sum() for g in grads))
        if clip is not None and norm > clip:
            grads = [g * (clip / norm) for g in grads]
        for i, (lr_mult, decay_mult) in enumerate(MULTIPLIERS):
            grad = grads[i] / iter_size
            decay = weight_decay * (1 if decay_mult is None else decay_mult)
            grad = grad + decay * (np.sign(weights[i]) if l1 else weights[i])
            history[i] = momentum * history[i] + rate * (1 if lr_mult is None else lr_mult) * grad
            weights[i] = weights[i] - history[i]
    return weights, history


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"momentum": 0.9},
        {"weight_decay": 0.05},
        {"momentum": 0.9, "weight_decay": 0.05},
        {"momentum": 0.9, "weight_decay": 0.05, "regularization_type": "L1"},
        {"momentum": 0.9, "weight_decay": 0.05, "clip_gradients": 0.7},
        {"momentum": 0.9, "weight_decay": 0.05, "clip_gradients": 0.7, "iter_size": 4},
        {"momentum": 0.9, "clip_gradients": 1e6},
        {"momentum": 0.9, "weight_decay": 0.05, "clip_gradients": 0.0},
    ],
    ids=str,
)
def test_steps_by_hand(settings):
    ours = params()
    start = [p.blob.detach().numpy().copy() for p in ours]
    updater = Updater(pb.SolverParameter(type="SGD", **settings), ours)
    for step, rate in enumerate(RATES):
        updater.clear()
        for param, grad in zip(ours, gradients(step)):
            param.blob.grad = torch.from_numpy(grad)
        updater.apply(rate, step)
    updater.show_steps()
    weights, updates = by_hand(
        start,
        momentum=settings.get("momentum", 0),
        weight_decay=settings.get("weight_decay", 0),
        l1=settings.get("regularization_type") == "L1",
        clip=settings.get("clip_gradients"),
        iter_size=settings.get("iter_size", 1),
    )
    for param, (history,), weight, update in zip(ours, updater.histories, weights, updates):
        np.testing.assert_allclose(param.blob.detach(), weight, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(param.blob.grad, update, rtol=1e-5, atol=1e-6)  # diff holds the applied update
        np.testing.assert_allclose(history, update, rtol=1e-5, atol=1e-6)


def test_differs_from_torch_when_the_rate_changes():
    """Caffe keeps the rate inside the history: after a cut to a tenth the first step goes on at nearly its old size."""
    param = FakeParam([0.0])
    updater = Updater(pb.SolverParameter(type="SGD", momentum=0.9), [param])
    for step, rate in enumerate([1.0, 0.1]):
        param.blob.grad = torch.ones(1)
        updater.apply(rate, step)
    assert param.blob.item() == pytest.approx(-(1 + 0.9 * 1 + 0.1))  # torch.optim.SGD: -(1 + 0.1 * 1.9)


def test_clipping_says_so(caplog):
    param = FakeParam([0.0, 0.0])
    updater = Updater(pb.SolverParameter(type="SGD", clip_gradients=1), [param])
    with caplog.at_level("INFO", logger="caffe_port"):
        param.blob.grad = torch.tensor([3.0, 4.0])
        updater.apply(1.0, 0)
        param.blob.grad = torch.tensor([0.0, 1.0])  # not above the limit
        updater.apply(1.0, 1)
    expected = "Gradient clipping: scaling down gradients (L2 norm 5 > 1) by scale factor 0.2"
    assert caplog.messages == [expected]
    np.testing.assert_allclose(param.blob.detach(), [-0.6, -1.8], rtol=1e-6)


def test_iter_size_divides_after_clipping():
    """Caffe clips the sum over the micro-batches, then divides."""
    param = FakeParam([0.0])
    updater = Updater(pb.SolverParameter(type="SGD", clip_gradients=2, iter_size=4), [param])
    param.blob.grad = torch.tensor([8.0])
    updater.apply(1.0, 0)
    assert param.blob.item() == -0.5


def test_l1_leaves_zero_weights_alone():
    param = FakeParam([0.0, 2.0, -3.0])
    updater = Updater(pb.SolverParameter(type="SGD", weight_decay=0.5, regularization_type="L1"), [param])
    param.blob.grad = torch.zeros(3)
    updater.apply(1.0, 0)
    assert param.blob.tolist() == [0.0, 1.5, -2.5]


def test_a_parameter_without_gradient_still_decays_and_coasts():
    """Its diff is 0 in Caffe: decay and momentum act on it; with lr_mult 0 nothing moves."""
    moving, frozen = FakeParam([1.0]), FakeParam([1.0], lr_mult=0.0)
    updater = Updater(pb.SolverParameter(type="SGD", momentum=0.5, weight_decay=0.1), [moving, frozen])
    expected, velocity = 1.0, 0.0
    for step in range(3):
        updater.clear()
        updater.apply(1.0, step)
        velocity = 0.5 * velocity + 0.1 * expected
        expected -= velocity
        assert moving.blob.item() == pytest.approx(expected, rel=1e-6)
    assert frozen.blob.item() == 1.0


def test_clear_forgets_the_update():
    param = FakeParam([1.0])
    updater = Updater(pb.SolverParameter(type="SGD"), [param])
    param.blob.grad = torch.ones(1)
    updater.clear()
    assert param.blob.grad is None


def test_unknown_regularization():
    with pytest.raises(SolverError, match=r"Unknown regularization type: 'L3'.*Known: L1, L2"):
        Updater(pb.SolverParameter(type="SGD", regularization_type="L3"), [])


def test_unknown_solver_type():
    with pytest.raises(SolverError, match=r"Unknown solver type: 'sgd'.*Known: .*SGD"):
        Updater(pb.SolverParameter(type="sgd"), [])


def test_a_rate_of_zero_between_others():
    """A parameter without a gradient decays on: with rate 0 its velocity still moves it, once it has one."""
    (param,) = params()[:1]
    weight = param.blob.detach().numpy().astype(np.float64)
    velocity = np.zeros_like(weight)
    updater = Updater(pb.SolverParameter(type="SGD", momentum=0.5, weight_decay=0.1), [param])
    for step, rate in enumerate([0.0, 0.2, 0.0, 0.0]):
        updater.clear()
        updater.apply(rate, step)
        velocity = 0.5 * velocity + rate * np.float32(0.1) * weight
        weight = weight - velocity
        np.testing.assert_allclose(param.blob.detach().numpy(), weight, rtol=1e-5)


@pytest.mark.parametrize("rule", ["SGD", "Nesterov", "Adam"])
def test_a_gradient_of_another_memory_layout(rule):
    """Convolutions give gradients whose channels lie innermost."""
    random = np.random.default_rng(0)
    start, grad = (random.normal(size=(4, 3, 2, 2)) for _ in range(2))
    found = []
    for layout in (torch.contiguous_format, torch.channels_last):
        param = FakeParam(start)
        updater = Updater(pb.SolverParameter(type=rule, momentum=0.9, weight_decay=0.01), [param])
        for _ in range(2):
            param.blob.grad = torch.tensor(grad, dtype=torch.float32).contiguous(memory_format=layout)
            updater.apply(0.1, 0)
        found.append(param.blob.detach().numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)
