"""pycaffe's solvers (Caffe: python/caffe/test/test_solver.py), against real Caffe's first update and closed forms."""

from __future__ import annotations

import gc
import shutil

import numpy as np
import pytest

from caffe_port import pycaffe as caffe
from caffe_port.errors import CaffeError, SolverError
from tests.net.make import inputs, ip, layer
from tests.shared import ORACLE

NET = inputs(data=(4, 3), label=(4, 2)) + ip("ip", "data", "ip", 2)
NET += layer("EuclideanLoss", "loss", "ip label", "loss")
SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" momentum: 0.5 max_iter: 100 snapshot_prefix: "snap"
test_iter: 2 test_interval: 1000 test_initialization: false
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    caffe.set_mode_cpu()
    monkeypatch.setattr(caffe.mode, "_seed", 1)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)


@pytest.fixture
def solver() -> caffe.Solver:
    solver = caffe.get_solver("solver.prototxt")
    feed(solver)
    return solver


def feed(solver) -> None:
    generator = np.random.default_rng(0)
    solver.net.blobs["data"].data[...] = generator.standard_normal((4, 3))
    solver.net.blobs["label"].data[...] = generator.standard_normal((4, 2))


def params(solver) -> list[np.ndarray]:
    return [blob.data.copy() for blob in solver.net.params["ip"]]


def test_a_step_by_hand(solver):
    """loss = |xW' + b - y|^2 / 8; V = lr grad; W -= V; the next time V = 0.5 V + lr grad."""
    x, y = solver.net.blobs["data"].data.copy(), solver.net.blobs["label"].data.copy()
    (weight, bias), history = params(solver), [0, 0]
    for iteration in range(3):
        assert solver.iter == iteration
        solver.step(1)
        top = x @ weight.T + bias
        diff = (top - y) / 4
        history = [0.5 * history[0] + 0.1 * (diff.T @ x), 0.5 * history[1] + 0.1 * diff.sum(0)]
        net = solver.net
        np.testing.assert_allclose(net.blobs["ip"].data, top, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(net.blobs["loss"].data, ((top - y) ** 2).sum() / 8, rtol=1e-5)
        np.testing.assert_allclose(net.blobs["ip"].diff, diff, rtol=1e-4, atol=1e-6)
        for blob, update in zip(net.params["ip"], history):
            np.testing.assert_allclose(blob.diff, update, rtol=1e-4, atol=1e-6)  # the update that was applied
        weight, bias = weight - history[0], bias - history[1]
        np.testing.assert_allclose(net.params["ip"][0].data, weight, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(net.params["ip"][1].data, bias, rtol=1e-5, atol=1e-6)


def test_views_taken_before_a_step_see_it(solver):
    net = solver.net
    views = [net.blobs["ip"].data, net.blobs["ip"].diff, net.blobs["loss"].data]
    views += [net.params["ip"][0].data, net.params["ip"][0].diff]
    before = [view.copy() for view in views]
    for _ in range(2):
        solver.step(1)
        for view, old in zip(views, before):
            assert (view != old).any()
        assert np.shares_memory(views[3], net.params["ip"][0].data)
        np.testing.assert_array_equal(views[4], net.params["ip"][0].diff)
        before = [view.copy() for view in views]


def test_forward_and_backward_around_steps(solver):
    net = solver.net
    net.forward()
    net.backward()
    by_hand = net.params["ip"][0].diff.copy()
    start = params(solver)[0]
    solver.step(1)  # clears what was accumulated
    np.testing.assert_allclose(start - params(solver)[0], 0.1 * by_hand, rtol=1e-4, atol=1e-6)
    net.clear_param_diffs()
    net.backward()  # from the blobs of the step, on the weights of now
    np.testing.assert_allclose(net.params["ip"][0].diff, by_hand, rtol=1e-4, atol=1e-6)
    net.clear_param_diffs()
    net.forward()
    net.backward()
    x, top = net.blobs["data"].data, net.blobs["ip"].data
    expected = ((top - net.blobs["label"].data) / 4).T @ x
    np.testing.assert_allclose(net.params["ip"][0].diff, expected, rtol=1e-4, atol=1e-6)


def test_feeding_a_new_batch_before_every_step(solver):
    for value in (1.0, 2.0):
        solver.net.blobs["data"].data[...] = value
        weight, bias = params(solver)
        solver.step(1)
        np.testing.assert_allclose(
            solver.net.blobs["ip"].data, np.tile(value * weight.sum(1) + bias, (4, 1)), rtol=1e-5, atol=1e-6
        )


def test_feeding_another_batch_size(solver):
    for name, width in (("data", 3), ("label", 2)):
        solver.net.blobs[name].reshape(7, width)
        solver.net.blobs[name].data[...] = 1
    solver.step(1)
    assert solver.net.blobs["ip"].data.shape == solver.net.blobs["ip"].diff.shape == (7, 2)


def test_edited_parameters_count(solver):
    solver.net.params["ip"][0].data[...] = 0
    solver.net.params["ip"][1].data[...] = 0
    solver.step(1)
    y = solver.net.blobs["label"].data
    np.testing.assert_allclose(solver.net.blobs["loss"].data, (y**2).sum() / 8, rtol=1e-5)


def test_test_nets_share_the_weights(solver):
    (test_net,) = solver.test_nets
    for step in range(2):
        np.testing.assert_array_equal(test_net.params["ip"][0].data, solver.net.params["ip"][0].data)
        test_net.blobs["data"].data[...] = 1
        weight, bias = params(solver)
        np.testing.assert_allclose(test_net.forward(end="ip")["ip"][0], weight.sum(1) + bias, rtol=1e-5, atol=1e-6)
        solver.step(1 + step)
    solver.net.params["ip"][1].data[...] = 9
    assert (test_net.params["ip"][1].data == 9).all()
    solver.net.save("w.caffemodel")
    test_net.params["ip"][1].data[...] = 0
    solver.net.copy_from("w.caffemodel")
    assert (test_net.params["ip"][1].data == 9).all()


def test_snapshot_and_restore(solver):
    solver.step(2)
    solver.snapshot()
    solver.step(3)
    after = params(solver)
    view = solver.net.params["ip"][0].data
    solver.restore("snap_iter_2.solverstate")
    assert solver.iter == 2
    assert (view != after[0]).any()  # an old view sees it
    solver.step(3)
    for found, expected in zip(params(solver), after):
        np.testing.assert_array_equal(found, expected)
    fresh = caffe.get_solver("solver.prototxt")
    feed(fresh)
    fresh.restore("snap_iter_2.solverstate")
    fresh.step(3)
    for found, expected in zip(params(fresh), after):
        np.testing.assert_array_equal(found, expected)


def test_restore_of_something_else(solver):
    solver.net.save("w.caffemodel")
    before = params(solver)
    for path in ("absent.solverstate", "w.caffemodel"):
        with pytest.raises(CaffeError, match=path.replace(".", r"\.")):
            solver.restore(path)
    np.testing.assert_array_equal(params(solver)[0], before[0])


def test_solve(solver):
    before = params(solver)[0]
    solver.solve()
    assert solver.iter == 100
    assert (params(solver)[0] != before).any()
    assert float(solver.net.blobs["loss"].data) < 0.5


def test_nets_outlive_the_solver(solver):
    net, diff = solver.net, solver.net.params["ip"][0].diff
    solver.step(1)
    copy = diff.copy()
    del solver
    gc.collect()
    np.testing.assert_array_equal(diff, copy)
    assert net.forward()["loss"].shape == ()


@pytest.mark.parametrize("line", ["", "random_seed: -1"])
def test_set_random_seed_counts_where_the_file_has_none(line, tmp_path):
    (tmp_path / "solver.prototxt").write_text(SOLVER + line)
    found = []
    for seed in (3, 3, 4):
        caffe.set_random_seed(seed)
        found.append(params(caffe.get_solver("solver.prototxt"))[0])
    np.testing.assert_array_equal(found[0], found[1])
    assert (found[0] != found[2]).any()


def test_the_files_random_seed_wins(tmp_path):
    (tmp_path / "solver.prototxt").write_text(SOLVER + "random_seed: 12")
    found = []
    for seed in (3, 4):
        caffe.set_random_seed(seed)
        found.append(params(caffe.get_solver("solver.prototxt"))[0])
    np.testing.assert_array_equal(*found)


def test_force_backward_shows_the_diff_of_data(tmp_path):
    (tmp_path / "net.prototxt").write_text("force_backward: true\n" + NET)
    solver = caffe.get_solver("solver.prototxt")
    feed(solver)
    weight = params(solver)[0]
    solver.step(1)
    np.testing.assert_allclose(
        solver.net.blobs["data"].diff, solver.net.blobs["ip"].diff @ weight, rtol=1e-5, atol=1e-6
    )


def test_errors_name_the_file(tmp_path):
    with pytest.raises(CaffeError, match=r"absent\.prototxt"):
        caffe.get_solver("absent.prototxt")
    (tmp_path / "solver.prototxt").write_text(SOLVER + "iter_size: 0")
    with pytest.raises(SolverError, match=r"solver\.prototxt: iter_size is 0"):
        caffe.get_solver("solver.prototxt")
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    (tmp_path / "net.prototxt").write_text(NET.replace('bottom: "data"', 'bottom: "dta"'))
    with pytest.raises(CaffeError, match=r"net\.prototxt, layer 'ip' \(InnerProduct\): Unknown bottom blob 'dta'"):
        caffe.get_solver("solver.prototxt")


@pytest.mark.parametrize("case", ["sgd_fixed", "sgd_batchnorm", "sgd_shared"])
def test_diffs_after_a_step_are_real_caffes_update(case, tmp_path, monkeypatch):
    folder = tmp_path / case
    shutil.copytree(ORACLE / "solvers" / case, folder)
    monkeypatch.chdir(folder)
    recorded = np.load("expected.npz")
    solver = caffe.get_solver("solver.prototxt")
    solver.net.copy_from("init.caffemodel")
    views = {f"{name}/{i}": blob.diff for name, blobs in solver.net.params.items() for i, blob in enumerate(blobs)}
    solver.step(1)
    compared = 0
    for name, diff in views.items():
        if f"init/{name}" not in recorded:
            continue
        update = recorded[f"init/{name}"] - recorded[f"after1/{name}"]
        running_sums = case == "sgd_batchnorm" and solver.net.layer_dict[name.split("/")[0]].type == "BatchNorm"
        if not running_sums:  # they change in forward
            assert np.abs(diff - update).max() <= 1e-3 * np.abs(update).max() + 1e-7, name
            compared += 1
    assert compared >= 6
    np.testing.assert_allclose(solver.net.blobs["loss"].data, recorded["loss"][0], rtol=1e-4)


# -- the classes, callbacks and parts of a step -----------------------------------------------------------------------

CLASSES = ("SGD", "Nesterov", "AdaGrad", "RMSProp", "AdaDelta", "Adam")


@pytest.mark.parametrize("name", CLASSES)
def test_a_class_for_every_type(name):
    """A class trains by its own rule, whatever the file says; get_solver goes by the file."""
    with open("typed.prototxt", "w") as file:
        file.write(SOLVER.replace("momentum: 0.5", "") + f' type: "{name}"')
    with open("other.prototxt", "w") as file:
        file.write(SOLVER.replace("momentum: 0.5", "") + f' type: "{"Adam" if name == "SGD" else "SGD"}"')
    by_file = caffe.get_solver("typed.prototxt")
    by_class = getattr(caffe, f"{name}Solver")("other.prototxt")
    assert type(by_file) is type(by_class)
    assert isinstance(by_file, caffe.SGDSolver)
    for solver in (by_file, by_class):
        feed(solver)
        solver.step(3)
    for ours, theirs in zip(params(by_file), params(by_class)):
        np.testing.assert_array_equal(ours, theirs)


def test_an_unknown_type():
    with open("typed.prototxt", "w") as file:
        file.write(SOLVER + ' type: "LBFGS"')
    with pytest.raises(SolverError, match=r"typed\.prototxt: Unknown solver type: 'LBFGS'.*Known: SGD, Nesterov"):
        caffe.get_solver("typed.prototxt")


def test_callbacks(solver):
    seen = []

    def ready():
        seen.append(solver.net.params["ip"][1].diff.copy())
        solver.net.params["ip"][1].diff[...] = 1  # what a callback writes is what is applied

    solver.add_callback(lambda: seen.append(solver.iter), ready)
    bias = params(solver)[1]
    solver.step(1)
    expected = ((solver.net.blobs["ip"].data - solver.net.blobs["label"].data) / 4).sum(0)
    assert seen[0] == 0
    np.testing.assert_allclose(seen[1], expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(params(solver)[1], bias - 0.1, rtol=1e-5)
    with pytest.raises(SolverError, match="two functions"):
        solver.add_callback(lambda: None)


def test_hooks_run_in_a_step_and_change_nothing(solver):
    twin, seen = caffe.get_solver("solver.prototxt"), []
    feed(twin)
    solver.net.after_forward(lambda i: seen.append(i))
    solver.net.after_backward(lambda i: seen.append(-i))
    for one in (solver, twin):
        one.step(2)
    layers = range(len(solver.net.layers))
    assert seen == 2 * [*layers, *(-i for i in reversed(layers))]
    for ours, theirs in zip(params(solver), params(twin)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    for name in ("ip", "loss"):
        np.testing.assert_allclose(solver.net.blobs[name].data, twin.net.blobs[name].data, rtol=1e-5)


def test_forward_backward_apply_update_is_a_step(solver):
    """A training loop written out in Python."""
    twin = caffe.get_solver("solver.prototxt")
    feed(twin)
    for iteration in range(3):
        solver.net.clear_param_diffs()
        solver.net.forward()
        solver.net.backward()
        solver.apply_update()
        assert solver.iter == iteration + 1
    twin.step(3)
    for ours, theirs in zip(params(solver), params(twin)):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_param_and_lr():
    with open("steps.prototxt", "w") as file:
        file.write(SOLVER.replace('lr_policy: "fixed"', 'lr_policy: "multistep" gamma: 0.5 stepvalue: 1 stepvalue: 1'))
    solver = caffe.get_solver("steps.prototxt")
    feed(solver)
    rates = []
    for _ in range(4):
        rates.append([solver.lr, solver.lr])
        solver.step(1)
    np.testing.assert_allclose(rates, [[0.1] * 2, [0.05] * 2, [0.025] * 2, [0.025] * 2], rtol=1e-6)
    assert (solver.param.max_iter, solver.param.display, solver.param.layer_wise_reduce) == (100, 0, True)
    solver.param.base_lr = 0.4
    assert solver.lr == pytest.approx(0.1)
    bias = params(solver)[1]
    solver.net.params["ip"][1].diff[...] = 0
    solver.net.clear_param_diffs()
    history = solver._solver.updater.histories[1][0].numpy().copy()
    solver.apply_update()
    np.testing.assert_allclose(params(solver)[1], bias - 0.5 * history, rtol=1e-5, atol=1e-7)


def test_share_weights(solver):
    net = caffe.Net("net.prototxt", caffe.TEST)
    solver.share_weights(net)
    solver.step(1)
    np.testing.assert_array_equal(net.params["ip"][0].data, solver.net.params["ip"][0].data)


def test_test_nets_show_the_last_batch():
    with open("solver.prototxt", "w") as file:
        file.write(SOLVER.replace("test_initialization: false", ""))
    solver = caffe.get_solver("solver.prototxt")
    feed(solver)
    test = solver.test_nets[0]
    test.blobs["data"].data[...] = 1
    solver.step(1)  # tests first
    assert test.blobs["ip"].data.any()
    np.testing.assert_allclose(test.blobs["loss"].data, (test.blobs["ip"].data ** 2).sum() / 8, rtol=1e-5)
