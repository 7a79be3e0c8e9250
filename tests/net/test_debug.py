"""What debug_info logs, against the same sums by hand."""

from __future__ import annotations

import logging
import math

import numpy as np
import pytest

from caffe_port import Net
from caffe_port.net.debug import DebugInfo
from caffe_port.solver import Solver
from tests.net.make import build, inputs, ip, layer, random_inputs
from tests.solver.make import LINE, line_solver, solver_param, weights_of

NET = (
    'name: "two"\n'
    + inputs(x=(4, 3), y=(4, 2))
    + ip("ip1", "x", "a", 5, 'param { name: "shared" } param { lr_mult: 0 }')
    + layer("ReLU", "relu", "a", "a")
    + ip("ip2", "a", "b", 2)
    + layer("EuclideanLoss", "loss", "b y", "loss")
)


@pytest.fixture
def lines(caplog):
    """The lines of debug_info so far, as a function."""
    caplog.set_level("INFO", logger="caffe_port")
    return lambda: [record.getMessage() for record in caplog.records if record.filename == "debug.py"]


def one_pass(net: Net, feed, lines):
    """A pass forward and backward with debug_info on: the blobs and the lines."""
    net.debug_info = DebugInfo(net)
    blobs, loss = net.run(feed, traced={})
    loss.backward()
    net.debug_info.backward()
    return blobs, lines()


def parse(line):
    """``what: value``, split."""
    head, value = line.rsplit(" ", 1)
    return head, float(value)


def mean(array):
    return float(np.abs(array).sum() / array.size)


def test_every_number_by_hand(lines):
    net = build(NET)
    feed = random_inputs(net)
    w1, b1, w2, b2 = (param.blob.detach().numpy().astype(float) for param in net.params)
    x, y = (feed[name].numpy().astype(float) for name in ("x", "y"))
    a = x @ w1.T + b1
    h = np.maximum(a, 0)
    b = h @ w2.T + b2
    db = (b - y) / 4
    dh = db @ w2
    da = dh * (a > 0)
    dw1, dw2, db2 = da.T @ x, db.T @ h, db.sum(0)
    _, logged = one_pass(net, feed, lines)
    forward, back = "    [Forward] Layer ", "    [Backward] Layer "
    expected = [
        (f"{forward}x, top blob x data:", x),
        (f"{forward}y, top blob y data:", y),
        (f"{forward}ip1, top blob a data:", a),
        (f"{forward}ip1, param blob shared data:", w1),
        (f"{forward}ip1, param blob 1 data:", b1),
        (f"{forward}relu, top blob a data:", h),
        (f"{forward}ip2, top blob b data:", b),
        (f"{forward}ip2, param blob 0 data:", w2),
        (f"{forward}ip2, param blob 1 data:", b2),
        (f"{forward}loss, top blob loss data:", np.array([((b - y) ** 2).sum() / 8])),
        (f"{back}loss, bottom blob b diff:", db),
        (f"{back}ip2, bottom blob a diff:", dh),
        (f"{back}ip2, param blob 0 diff:", dw2),
        (f"{back}ip2, param blob 1 diff:", db2),
        (f"{back}relu, bottom blob a diff:", da),
        (f"{back}ip1, param blob 0 diff:", dw1),  # the frozen bias has no line
    ]
    assert [parse(line)[0] for line in logged[:-1]] == [head for head, _ in expected]
    np.testing.assert_allclose([parse(line)[1] for line in logged[:-1]], [mean(v) for _, v in expected], rtol=1e-5)
    data, diff = (np.concatenate([v.ravel() for v in group]) for group in ((w1, b1, w2, b2), (dw1, dw2, db2)))
    numbers = [float(word.strip("(),;")) for word in logged[-1].split() if word.strip("(),;")[0].isdigit()]
    np.testing.assert_allclose(
        numbers, [np.abs(data).sum(), np.abs(diff).sum(), math.hypot(*data), math.hypot(*diff)], rtol=1e-5
    )
    assert logged[-1].startswith("    [Backward] All net params (data, diff): L1 norm = (")


def test_the_norms_are_logged_as_an_error(caplog):
    with caplog.at_level(logging.ERROR, logger="caffe_port"):
        line_solver("debug_info: true display: 1").step(1)
    assert [record.levelname for record in caplog.records] == ["ERROR"]


def test_nothing_is_shown_where_nothing_flows(lines):
    """A frozen layer at the bottom gets no backward, and with force_backward all of it."""
    frozen = NET.replace('name: "shared"', "lr_mult: 0")
    heads = []
    for text in (frozen, frozen + "force_backward: true"):
        net = build(text)
        heads.append([parse(line)[0] for line in one_pass(net, random_inputs(net), lines)[1] if "[Backward] L" in line])
    assert [head.split("Layer ")[1] for head in heads[0]] == [
        "loss, bottom blob b diff:", "ip2, param blob 0 diff:", "ip2, param blob 1 diff:"
    ]  # fmt: skip
    added = [head.split("Layer ")[1] for head in heads[1][len(heads[0]) :]]
    assert {"relu, bottom blob a diff:", "ip1, bottom blob x diff:", "ip1, param blob 1 diff:"} <= set(added)


def test_split_blobs_have_lines_of_their_own(lines):
    """The diffs of the branches add up in the split's bottom: 3 + 2."""
    net = build(
        inputs(x=(1, 1))
        + layer("Power", "p3", "x", "a", "power_param { scale: 3 } loss_weight: 1")
        + layer("Power", "p2", "x", "b", "power_param { scale: 2 } loss_weight: 1")
        + "force_backward: true"
    )
    _, logged = one_pass(net, random_inputs(net), lines)
    diffs = dict(parse(line.split("Layer ")[1]) for line in logged if "bottom blob" in line)
    assert diffs == {
        "p3, bottom blob x_x_0_split_0 diff:": 3,
        "p2, bottom blob x_x_0_split_1 diff:": 2,
        "x_x_0_split, bottom blob x diff:": 5,
    }


def test_a_blob_without_values(lines):
    net = build(inputs(x=(0, 3)) + layer("TanH", "t", "x", "y") + "debug_info: true")
    net.run(random_inputs(net))
    assert lines()[1] == "    [Forward] Layer t, top blob y data: nan"


def test_a_net_may_ask_for_it_itself(lines):
    net = build(inputs(x=(1, 2)) + layer("TanH", "t", "x", "y") + "debug_info: true")
    net(x=random_inputs(net)["x"])
    assert [line.split(",")[0] for line in lines()] == ["    [Forward] Layer x", "    [Forward] Layer t"]
    build(inputs(x=(1, 2)) + layer("TanH", "t", "x", "y")).run(random_inputs(net))
    assert len(lines()) == 2


# -- in training ------------------------------------------------------------------------------------------------------


def test_only_displayed_iterations_are_shown(lines):
    line_solver("debug_info: true display: 2").step(3)
    assert sum("[Backward] All" in line for line in lines()) == 2
    line_solver("debug_info: true").step(3)
    line_solver("display: 1").step(3)
    assert sum("[Backward] All" in line for line in lines()) == 2


def test_diffs_grow_over_iter_size(lines):
    """dE/dw = w - 3 = -3 at w = 0, added up by the two passes."""
    line_solver("debug_info: true display: 1 iter_size: 2").step(1)
    assert [parse(line)[1] for line in lines() if "param blob 0 diff" in line] == [3, 6]


def test_test_nets_show_every_batch(lines):
    solver = Solver(solver_param("debug_info: true test_iter: 3 test_interval: 1", net=LINE + "debug_info: false"))
    solver.test(0)
    assert sum("Layer loss, top blob loss data: 4.5" in line for line in lines()) == 3
    assert not any("[Backward]" in line for line in lines())


def test_training_is_the_same_with_it():
    noisy = NET.replace('"Input"', '"DummyData"').replace("input_param", "dummy_data_param")
    noisy = noisy.replace("dim: 3 } }", 'dim: 3 } data_filler { type: "gaussian" } }')
    runs = []
    for text in ("", "debug_info: true display: 1"):
        solver = Solver(solver_param(text, net=noisy))
        solver.step(4)
        runs.append(weights_of(solver.net))
    assert runs[0].keys() == runs[1].keys()
    for name, values in runs[0].items():
        np.testing.assert_array_equal(runs[1][name], values)
