"""The training loop: what happens in which iteration, and what the log says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from caffe_port.errors import SnapshotError, SolverError
from caffe_port.proto import pb
from caffe_port.proto.text import parse_text
from caffe_port.solver import CONTINUE, SNAPSHOT, STOP, Solver
from tests.solver.make import LINE, copy_case, line_losses, line_solver, solver_messages, solver_param, weights_of


@pytest.fixture
def messages(caplog):
    """The log lines so far, as a function; the solver's own only (no net set-up)."""
    caplog.set_level("INFO", logger="caffe_port")
    return lambda: solver_messages(caplog)


def after(lines, start):
    return lines[lines.index(start) + 1 :]


def without_speed(lines):
    return [re.sub(r" \([^ ]+ iter/s, [^ ]+s/", " (... iter/s, ...s/", line) for line in lines]


# -- steps ------------------------------------------------------------------------------------------------------------


def test_step_trains_that_many_iterations():
    solver, seen = line_solver(), []
    solver.progress = lambda iteration, loss: seen.append((iteration, loss))
    solver.step(3)
    solver.step(4)
    assert solver.iteration == 7
    assert [iteration for iteration, _ in seen] == list(range(1, 8))
    np.testing.assert_allclose([loss for _, loss in seen], line_losses(7), rtol=1e-5)


def test_run_may_be_replaced_and_callbacks_stand_around_it():
    solver, seen = line_solver(), []
    solver.on_start.append(lambda: seen.append("start"))
    solver.on_gradients_ready.append(lambda: seen.append(solver.net.layer("ip").blobs[0].grad.item()))
    run = solver.run

    def watched(net, backward):
        blobs, loss = run(net, backward)
        seen.append(loss)
        return blobs, loss

    solver.run = watched
    solver.step(2)
    losses = line_losses(2)
    np.testing.assert_allclose([seen[1], seen[4]], losses, rtol=1e-6)
    assert seen[0] == seen[3] == "start"
    assert seen[2] == pytest.approx(-3)  # d/dw of mean((w x + b - target)^2) / 2 at w = b = 0, x = 1, target = 3


def test_apply_update_is_one_update():
    solver = line_solver()
    start = solver.net.layer("ip").blobs[0].item()
    solver.net.layer("ip").blobs[0].grad = torch.full((1, 1), 2.0)
    solver.apply_update()
    assert solver.iteration == 1
    assert solver.net.layer("ip").blobs[0].item() == pytest.approx(start - solver.param.base_lr * 2)


def test_solve_ends_at_max_iter_and_goes_on_from_where_it_is():
    solver = line_solver("max_iter: 5")
    solver.step(2)
    solver.solve()
    assert solver.iteration == 5
    solver.solve()
    assert solver.iteration == 5


@pytest.mark.parametrize("size", [2, 5])
def test_iter_size_averages_gradients(size):
    """The same batch ``size`` times: loss and gradient are those of one."""
    solver, losses = line_solver(f"iter_size: {size}"), []
    solver.progress = lambda _, loss: losses.append(loss)
    solver.step(6)
    np.testing.assert_allclose(losses, line_losses(6), rtol=1e-5)


def test_iter_size_consumes_a_batch_per_pass(tmp_path, monkeypatch):
    """Two passes over 8 rows learn what one over 16 rows does."""
    folder = copy_case("sgd_fixed", tmp_path)
    monkeypatch.chdir(folder)
    results = []
    for batch, size in ((8, 2), (16, 1)):
        text = (folder / "net.prototxt").read_text().replace("batch_size: 8", f"batch_size: {batch}")
        param = solver_param(f"iter_size: {size} momentum: 0.9", net=text, base_lr=0.02, snapshot_after_train=False)
        solver = Solver(param)
        solver.load_weights("init.caffemodel")
        solver.step(5)
        results.append(weights_of(solver.net))
    for name, value in results[0].items():
        np.testing.assert_allclose(value, results[1][name], rtol=1e-4, atol=1e-5)


def test_the_diff_left_after_a_step_is_the_update():
    solver = line_solver()
    solver.step(1)
    np.testing.assert_allclose(solver.net.params[0].blob.grad.numpy(), [[-0.3]], rtol=1e-6)


def test_same_seed_same_run(tmp_path, monkeypatch):
    monkeypatch.chdir(copy_case("sgd_fixed", tmp_path))
    runs = []
    for seed in (3, 3, 4):
        solver = Solver(solver_param(net=Path("net.prototxt").read_text(), random_seed=seed))
        solver.step(3)
        runs.append(weights_of(solver.net))
    assert all(np.array_equal(runs[0][name], runs[1][name]) for name in runs[0])
    assert not np.array_equal(runs[0]["conv1/0"], runs[2]["conv1/0"])


# -- display ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("window", [1, 3, 4, 20])
def test_average_loss_is_the_mean_of_the_last_losses(window):
    solver, smoothed = line_solver(f"average_loss: {window}"), []
    solver.progress = lambda _, loss: smoothed.append(loss)
    solver.step(12)
    losses = line_losses(12)
    expected = [np.mean(losses[max(0, i + 1 - window) : i + 1]) for i in range(12)]
    np.testing.assert_allclose(smoothed, expected, rtol=1e-5)


def test_smoothing_starts_anew_with_every_step_call():
    solver, smoothed = line_solver("average_loss: 10"), []
    solver.progress = lambda _, loss: smoothed.append(loss)
    solver.step(3)
    solver.step(1)
    np.testing.assert_allclose(smoothed[-1], line_losses(4)[-1], rtol=1e-5)


def test_display_lines(messages):
    solver = line_solver("display: 2 max_iter: 4 average_loss: 2", base_lr=0.5)  # powers of 2: no rounding
    solver.solve()
    loss = line_losses(5, rate=0.5)
    lines = without_speed(after(messages(), "Solving line"))
    assert lines == [
        "Learning Rate Policy: fixed",
        "Iteration 0 (... iter/s, ...s/2 iters), loss = 4.5",
        "    Train net output #0: loss = 4.5 (* 1 = 4.5 loss)",
        "Iteration 0, lr = 0.5",
        f"Iteration 2 (... iter/s, ...s/2 iters), loss = {(loss[1] + loss[2]) / 2:g}",
        f"    Train net output #0: loss = {loss[2]:g} (* 1 = {loss[2]:g} loss)",
        "Iteration 2, lr = 0.5",
        f"Iteration 4, loss = {(loss[3] + loss[4]) / 2:g}",
        "Optimization Done.",
    ]


def test_no_last_loss_unless_its_iteration_is_displayed(messages):
    line_solver("display: 2 max_iter: 3").solve()
    assert messages()[-2:] == ["Iteration 2, lr = 0.1", "Optimization Done."]


def test_every_value_of_every_output_is_shown(messages):
    net = LINE + 'layer { name: "s" type: "Power" bottom: "target" top: "also" power_param { shift: -1 } }'
    param = solver_param("display: 1", net.replace('top: "loss"', 'top: "loss" loss_weight: 0.5'))
    Solver(param).step(1)
    assert messages()[-4:-1] == [
        "    Train net output #0: also = 2",
        "    Train net output #1: also = 2",
        "    Train net output #2: loss = 4.5 (* 0.5 = 2.25 loss)",
    ]


# -- snapshots and requests -------------------------------------------------------------------------------------------


def snapshots(folder):
    return sorted(path.name for path in folder.iterdir() if path.suffix == ".solverstate")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_iter: 7 snapshot: 3", [3, 6, 7]),
        ("max_iter: 6 snapshot: 3", [3, 6]),
        ("max_iter: 7 snapshot: 3 snapshot_after_train: false", [3, 6]),
        ("max_iter: 4", [4]),
        ("max_iter: 4 snapshot_after_train: false", []),
    ],
)
def test_when_snapshots_happen(text, expected, tmp_path):
    Solver(solver_param(text, snapshot_prefix=str(tmp_path / "s"))).solve()
    assert snapshots(tmp_path) == sorted(f"s_iter_{i}.solverstate" for i in expected)


def test_stop_snapshots_and_ends(tmp_path, messages):
    solver = Solver(solver_param("max_iter: 9 test_iter: 1 test_interval: 9", snapshot_prefix=str(tmp_path / "s")))
    solver.action = lambda: STOP if solver.iteration == 3 else CONTINUE
    solver.solve()
    assert solver.iteration == 3
    assert snapshots(tmp_path) == ["s_iter_3.solverstate"]
    assert messages()[-1] == "Optimization stopped early."
    assert solver.stopped_early
    solver.action = lambda: CONTINUE
    solver.solve()
    assert (solver.iteration, solver.stopped_early) == (9, False)


def test_stop_inside_a_test(messages):
    solver = line_solver("max_iter: 9 test_iter: 5 test_interval: 3")
    requests = iter([CONTINUE] * (5 + 3 + 2) + [STOP])  # the first test, three iterations, two batches of the next test
    solver.action = lambda: next(requests)
    solver.solve()
    assert solver.iteration == 3
    assert messages()[-2:] == ["Test interrupted.", "Optimization stopped early."]


def test_snapshot_on_request(tmp_path):
    solver = Solver(solver_param("max_iter: 5", snapshot_prefix=str(tmp_path / "s"), snapshot_after_train=False))
    solver.action = lambda: SNAPSHOT if solver.iteration == 2 else CONTINUE
    solver.solve()
    assert snapshots(tmp_path) == ["s_iter_2.solverstate"]


# -- refusals ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("average_loss: 0", "average_loss is 0"),
        ("iter_size: 0", "iter_size is 0"),
        ("snapshot: 5", "snapshot is given but snapshot_prefix is not"),
        ("lr_policy: 'slow'", "Unknown learning rate policy: 'slow'"),
        ("type: 'Newton'", "Unknown solver type: 'Newton'"),
        ("regularization_type: 'L3'", "Unknown regularization type: 'L3'"),
        ("test_iter: 1", "test_interval is 0"),
    ],
)
def test_refusals_name_the_file(text, expected, tmp_path):
    with pytest.raises(SolverError, match=expected) as caught:
        Solver(solver_param(text), source=tmp_path / "solver.prototxt")
    assert str(caught.value).startswith(f"{tmp_path}/solver.prototxt: ")


@pytest.mark.parametrize("prefix", ["gone/s", "gone/", "file/s"])
def test_unwritable_prefix_is_refused_before_training(prefix, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(SnapshotError, match=f"Cannot write to snapshot prefix '{tmp_path}/{prefix}'"):
        Solver(solver_param("snapshot: 5", snapshot_prefix=f"{tmp_path}/{prefix}"))
    solver = Solver(solver_param("max_iter: 5", snapshot_prefix=f"{tmp_path}/{prefix}"))
    with pytest.raises(SnapshotError, match="Cannot write to snapshot prefix"):  # the one after training
        solver.solve()
    assert solver.iteration == 0


def test_scaffolding_lines(tmp_path, messages, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(LINE)
    text = "test_iter: 1 test_iter: 1 test_interval: 1 test_state { } test_state { }"
    (tmp_path / "solver.prototxt").write_text(f'net: "net.prototxt" base_lr: 1 lr_policy: "fixed" {text}')
    Solver("solver.prototxt")
    lines = messages()
    assert lines[0].startswith("Initializing solver from parameters: \n")
    shown = parse_text(lines[0].partition("\n")[2].encode(), pb.SolverParameter)
    assert (shown.net, shown.base_lr, list(shown.test_iter)) == ("net.prototxt", 1, [1, 1])
    assert lines[1:] == [
        "Creating training net from net file: net.prototxt",
        "Creating test net (#0) specified by net file: net.prototxt",
        "Creating test net (#1) specified by net file: net.prototxt",
        "Solver scaffolding done.",
    ]


def test_scaffolding_lines_of_a_net_inside_the_solver(messages):
    line_solver()
    assert "Creating training net specified in net_param" in messages()
