"""Settings of a solver: those without effect get one warning, and those that shape a snapshot or select layers work."""

from __future__ import annotations

import warnings

import h5py
import numpy as np
import pytest

from caffe_port.errors import CaffeWarning
from caffe_port.proto import pb
from caffe_port.proto.weights import read_weights
from caffe_port.solver import Solver
from tests.solver.make import LINE, line_solver, solver_param, weights_of

RULES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")
#: Which rule reads which setting (Caffe: sgd_solver.cpp and its siblings).
OF_RULES = {
    "momentum": ("SGD", "Nesterov", "AdaDelta", "Adam"),
    "momentum2": ("Adam",),
    "rms_decay": ("RMSProp",),
    "delta": ("AdaGrad", "RMSProp", "AdaDelta", "Adam"),
}
#: Which policy reads which setting (Caffe: GetLearningRate).
OF_POLICIES = {
    "gamma": ("step", "exp", "inv", "multistep", "sigmoid"),
    "power": ("inv", "poly"),
    "stepsize": ("step", "sigmoid"),
    "stepvalue": ("multistep",),
}
POLICIES = ("fixed", "step", "exp", "inv", "multistep", "poly", "sigmoid")


def warned(text, **settings):
    """The warnings of a solver with these settings."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        line_solver(text, **settings)
    assert all(warning.category is CaffeWarning for warning in caught)
    return [str(warning.message) for warning in caught]


@pytest.mark.parametrize("rule", RULES)
def test_settings_of_other_rules(rule):
    refused = ("momentum",) if rule in ("AdaGrad", "RMSProp") else ()  # an error there, as in Caffe
    given = [name for name in OF_RULES if name not in refused]
    text = " ".join(f"{name}: 0.5" for name in given)
    unused = [name for name in given if rule not in OF_RULES[name]]
    assert warned(text, type=rule) == [f"'{name}' has no effect on a {rule} solver." for name in unused]
    assert warned("", type=rule) == []


@pytest.mark.parametrize("policy", POLICIES)
def test_settings_of_other_policies(policy):
    text = "gamma: 0.5 power: 2 stepsize: 3 stepvalue: 4 max_iter: 9"
    unused = [name for name, policies in OF_POLICIES.items() if policy not in policies]
    assert warned(text, lr_policy=policy) == [f"'{name}' has no effect under lr_policy '{policy}'." for name in unused]


def test_unset_and_zero_settings_say_nothing():
    assert warned("gamma: 0 power: 0 stepsize: 0 momentum: 0 rms_decay: 0") == []


@pytest.mark.parametrize("policy", POLICIES)
def test_a_setting_that_is_reported_is_really_not_read(policy):
    """Rates with and without the reported settings are the same; with others they differ."""
    base = {"gamma": 0.5, "power": 2.0, "stepsize": 3, "stepvalue": [4, 6], "max_iter": 50, "lr_policy": policy}

    def rates(settings):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            schedule = line_solver(**settings).learning_rate
        return [schedule.rate(iteration) for iteration in range(12)]

    for name, other in (("gamma", 0.25), ("power", 3.0), ("stepsize", 5), ("stepvalue", [5, 7])):
        same = rates({**base, name: other}) == rates(base)
        assert same == (policy not in OF_POLICIES[name]), name


@pytest.mark.parametrize("form", ["BINARYPROTO", "HDF5"])
@pytest.mark.parametrize("rule", RULES)
def test_snapshot_diff_is_the_applied_update(rule, form, tmp_path):
    param = solver_param(f"snapshot_format: {form} snapshot_diff: true", type=rule, snapshot_prefix=str(tmp_path / "s"))
    solver = Solver(param)
    solver.step(2)
    before = weights_of(solver.net)["ip/0"]
    solver.step(1)
    after = weights_of(solver.net)["ip/0"]
    path, _ = solver.snapshot()
    assert np.abs(before - after).min() > 0
    np.testing.assert_allclose(stored_diff(path), (before - after).ravel(), rtol=1e-3)
    (weights,) = next(layer for layer in read_weights(path) if layer.name == "ip").blobs
    np.testing.assert_array_equal(np.ravel(weights), after.ravel())


def stored_diff(path):
    if path.suffix == ".h5":
        with h5py.File(path) as file:
            return file["diff/ip/0"][:].ravel()
    (blob,) = next(x for x in pb.NetParameter.FromString(path.read_bytes()).layer if x.name == "ip").blobs
    return blob.diff


def test_states_select_layers_of_train_and_test_nets():
    extra = "".join(
        f'layer {{ name: "{name}" type: "TanH" bottom: "ip" top: "{name}" include {{ {rule} }} }}\n'
        for name, rule in (
            ("deep", 'stage: "deep"'),
            ("high", "min_level: 3"),
            ("low", "max_level: 2"),
            ("shallow", 'not_stage: "deep"'),
        )
    )
    solver = Solver(
        solver_param(
            "test_iter: 1 test_iter: 1 test_interval: 5 train_state { level: 3 } "
            'test_state { stage: "deep" } test_state { level: 3 stage: "deep" stage: "other" }',
            net=LINE + extra,
        )
    )
    chosen = [
        {node.name for node in net.nodes} & {"deep", "high", "low", "shallow"}
        for net in (solver.net, *solver.test_nets)
    ]
    assert chosen == [{"high", "shallow"}, {"deep", "low"}, {"deep", "high"}]
