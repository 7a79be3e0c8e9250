"""Testing during training, and weights given in the solver."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_port.errors import CaffeError
from caffe_port.solver import Solver
from tests.solver.make import LINE, copy_case, line_losses, line_solver, solver_messages, solver_param, weights_of


@pytest.fixture
def messages(caplog):
    """The log lines so far, as a function; the solver's own only (no net set-up)."""
    caplog.set_level("INFO", logger="caffe_port")
    return lambda: solver_messages(caplog)


# -- tests during training --------------------------------------------------------------------------------------------


def iterations_tested(lines):
    return [int(line.split()[1].rstrip(",")) for line in lines if "Testing net (#0)" in line]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("max_iter: 6 test_interval: 2", [0, 2, 4, 6]),
        ("max_iter: 5 test_interval: 2", [0, 2, 4]),
        ("max_iter: 6 test_interval: 3 test_initialization: false", [3, 6]),
        ("max_iter: 2 test_interval: 10", [0]),
        ("max_iter: 2 test_interval: 10 test_initialization: false", []),
    ],
)
def test_when_tests_happen(text, expected, messages):
    line_solver(text + " test_iter: 1").solve()
    assert iterations_tested(messages()) == expected


def test_test_nets_share_the_weights():
    solver = line_solver("test_iter: 2 test_interval: 100")
    solver.step(3)
    np.testing.assert_allclose(solver.test(0)["loss"], line_losses(4)[-1:], rtol=1e-5)
    assert solver.iteration == 3


def test_test_lines(messages):
    solver = line_solver("test_iter: 2 test_iter: 1 test_interval: 5 test_compute_loss: true")
    results = solver.test_all()
    assert [result["loss"].tolist() for result in results] == [[4.5], [4.5]]
    assert messages()[-6:] == [
        line
        for index in range(2)
        for line in (
            f"Iteration 0, Testing net (#{index})",
            "Test loss: 4.5",
            "    Test net output #0: loss = 4.5 (* 1 = 4.5 loss)",
        )
    ]


def test_means_over_the_batches(tmp_path, monkeypatch):
    """Accuracy over 4 batches of 10 is the accuracy over the 40 rows."""
    folder = copy_case("sgd_fixed", tmp_path)
    monkeypatch.chdir(folder)
    text = (folder / "net.prototxt").read_text().replace("batch_size: 8", "batch_size: %d")
    results = []
    for batch in (10, 40):
        solver = Solver(solver_param(f"test_iter: {40 // batch} test_interval: 1", net=text % batch))
        solver.load_weights("init.caffemodel")
        results.append(solver.test(0)["loss"])
    np.testing.assert_allclose(*results, rtol=1e-5)


def test_no_batches_no_values(messages):
    assert line_solver("test_iter: 0 test_interval: 1").test(0) == {}
    assert messages()[-1] == "Iteration 0, Testing net (#0)"


def test_output_of_changing_size_is_refused():
    net = """
      layer { name: "data" type: "DummyData" top: "x" top: "keep" dummy_data_param { shape { dim: 64 } shape { dim: 64 }
        data_filler { type: "constant" value: 1 } data_filler { type: "uniform" min: -1 max: 1 } } }
      layer { name: "t" type: "Threshold" bottom: "keep" top: "mask" }
      layer { name: "f" type: "Filter" bottom: "x" bottom: "mask" top: "kept" }"""
    solver = Solver(solver_param("test_iter: 20 test_interval: 1", net=net))
    with pytest.raises(CaffeError, match=r"Output 'kept' has .* values in batch .*, .* before"):
        solver.test(0)


def test_a_layer_that_the_training_net_lacks_keeps_its_own_weights():
    extra = """layer { name: "only" type: "InnerProduct" bottom: "ip" top: "only" include { phase: TEST }
      inner_product_param { num_output: 1 weight_filler { type: "constant" value: 7 } } }"""
    solver = Solver(solver_param("test_iter: 1 test_interval: 1", LINE + extra))
    solver.net.layer("ip").blob(0).data.fill_(2)
    assert solver.test(0)["only"].tolist() == [14, 14]


def test_shapes_that_differ_between_the_nets_are_refused():
    layer = (
        'layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" %s inner_product_param { num_output: %d } }'
    )
    net = LINE.split('layer { name: "ip"')[0]
    net += layer % ("include { phase: TRAIN }", 1) + layer % ("include { phase: TEST }", 2)
    with pytest.raises(CaffeError, match=r"layer 'ip' \(InnerProduct\): Cannot share its weights"):
        Solver(solver_param("test_iter: 1 test_interval: 1", net))


# -- weights in the solver --------------------------------------------------------------------------------------------


def test_weights_of_the_solver_file(tmp_path, messages):
    first = line_solver()
    first.step(4)
    first.net.save(tmp_path / "w.caffemodel")
    solver = line_solver(f'weights: "{tmp_path}/w.caffemodel"')
    assert weights_of(solver.net) == weights_of(first.net)
    assert f"Finetuning from {tmp_path}/w.caffemodel" in messages()


def test_weights_reach_layers_that_only_testing_has(tmp_path):
    extra = """layer { name: "only" type: "InnerProduct" bottom: "ip" top: "only" %s
      inner_product_param { num_output: 1 weight_filler { type: "constant" value: %d } } }"""
    full = Solver(solver_param(net=LINE + extra % ("", 5)))
    full.net.save(tmp_path / "w.caffemodel")
    text = f'test_iter: 1 test_interval: 1 weights: "{tmp_path}/w.caffemodel"'
    solver = Solver(solver_param(text, LINE + extra % ("include { phase: TEST }", 0)))
    assert solver.test_nets[0].layer("only").blob(0).tolist() == [[5.0]]
    assert solver.test_nets[0].layer("ip").blobs[0] is solver.net.layer("ip").blobs[0]


def test_several_weights_in_order(tmp_path):
    for name, value in (("a", 1.0), ("b", 2.0)):
        solver = line_solver()
        solver.net.layer("ip").blob(0).data.fill_(value)
        solver.net.save(tmp_path / f"{name}.caffemodel")
    solver = line_solver()
    solver.load_weights(f"{tmp_path}/a.caffemodel, {tmp_path}/b.caffemodel")
    assert solver.net.layer("ip").blob(0).item() == 2
