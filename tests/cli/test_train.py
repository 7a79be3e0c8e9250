"""``caffe-port train`` in a process of its own."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch

from caffe_port.proto import pb
from tests.cli.process import Here, caffe_port, error_line, messages
from tests.shared import ORACLE
from tests.solver.make import copy_case, copy_log_case

NUMBER = re.compile(r"-?(\d+\.?\d*(e[+-]?\d+)?|inf|nan)")


def shape(text):
    """The messages of a training log from the solver's point of view: measured numbers become N.

    Iterations, learning rates and output numbers stay. What nets log while they are built is left out, but for the
    lines that say which net it is.
    """
    kept = []
    inside = False
    for line in messages(text):
        if line.startswith(("Creating training net", "Creating test net")):
            kept.append(line)
            inside = True
        elif line.startswith("Network initialization done"):
            inside = False
        elif not inside:
            kept.append(measured(line))
    return kept


def measured(line):
    head, sign, tail = line.partition("(" if "iter/s" in line else "loss = " if "loss = " in line else "accuracy = ")
    return head + sign + NUMBER.sub("N", tail)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The run of which real Caffe's log is: its folder and its result."""
    folder = copy_log_case(tmp_path_factory.mktemp("train"))
    return folder, caffe_port("train", "--solver", "solver.prototxt", cwd=folder)


def test_the_log_is_real_caffes(run):
    _, result = run
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""
    real = shape((ORACLE / "logs" / "train_classic.log").read_text())
    assert len(real) > 35
    assert shape(result.stderr) == real


def test_it_learns_what_real_caffe_learned(run):
    def values(text, pattern):
        return [float(value) for value in re.findall(pattern, text)]

    ours, real = run[1].stderr, (ORACLE / "logs" / "train_classic.log").read_text()
    assert values(ours, r"lr = (.*)") == values(real, r"lr = (.*)")
    assert values(ours, r"accuracy = (.*)")[-1] >= 0.95 <= values(real, r"accuracy = (.*)")[-1]
    assert values(ours, r"Iteration 50, loss = (.*)")[0] < 0.05


def test_files_that_it_leaves(run):
    folder, _ = run
    left = sorted(path.name for path in folder.glob("lognet*"))
    kinds = ("caffemodel", "solverstate", "solverstate.json")
    assert left == [f"lognet_iter_{i}.{kind}" for i in (25, 50) for kind in kinds]


def test_resume(run):
    folder, _ = run
    result = caffe_port("train", "--solver", "solver.prototxt", "--snapshot", "lognet_iter_25.solverstate", cwd=folder)
    assert result.returncode == 0, result.stderr
    lines = shape(result.stderr)
    start = lines.index("Solver scaffolding done.")
    assert lines[start + 1 : start + 6] == [
        "Resuming from lognet_iter_25.solverstate",
        "SGDSolver: restoring history",
        "Starting Optimization",
        "Solving LogNet",
        "Learning Rate Policy: step",
    ]
    assert lines[start + 6].startswith("Iteration 30 ")
    assert lines[-1] == "Optimization Done."


def weights(path):
    net = pb.NetParameter.FromString(path.read_bytes())
    return {layer.name: [np.array(blob.data) for blob in layer.blobs] for layer in net.layer if layer.blobs}


def test_fine_tuning_with_a_renamed_last_layer(run, tmp_path):
    folder, _ = run
    net = (folder / "net.prototxt").read_text()
    (folder / "tuned.prototxt").write_text(net.replace('"ip1"', '"fresh"'))
    (folder / "tune.prototxt").write_text(
        'net: "tuned.prototxt" base_lr: 0 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "tuned" random_seed: 1'
    )
    result = caffe_port("train", "--solver", "tune.prototxt", "--weights", "lognet_iter_50.caffemodel", cwd=folder)
    assert result.returncode == 0, result.stderr
    lines = messages(result.stderr)
    assert "Finetuning from lognet_iter_50.caffemodel" in lines
    assert "Ignoring source layer ip1" in lines
    assert "Layer fresh is not in lognet_iter_50.caffemodel: it starts from its filler" in lines
    before, after = weights(folder / "lognet_iter_50.caffemodel"), weights(folder / "tuned_iter_1.caffemodel")
    assert set(after) == {"conv1", "fresh"}
    np.testing.assert_array_equal(after["conv1"][0], before["conv1"][0])
    assert np.ptp(after["fresh"][0]) > 0


def test_several_weights(run):
    folder, _ = run
    both = "lognet_iter_25.caffemodel,lognet_iter_50.caffemodel"
    (folder / "still.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0 lr_policy: "fixed" max_iter: 1 snapshot_prefix: "still"'
    )
    result = caffe_port("train", "--solver", "still.prototxt", "--weights", both, cwd=folder)
    assert [line for line in messages(result.stderr) if "Finetuning" in line] == [
        "Finetuning from lognet_iter_25.caffemodel",
        "Finetuning from lognet_iter_50.caffemodel",
    ]
    after, last = weights(folder / "still_iter_1.caffemodel"), weights(folder / "lognet_iter_50.caffemodel")
    assert all(np.array_equal(a, b) for name in last for a, b in zip(after[name], last[name]))


@pytest.mark.parametrize("flag", ["--weights", "--snapshot"])
def test_the_flags_override_weights_in_the_solver(run, flag):
    folder, _ = run
    text = (folder / "solver.prototxt").read_text().replace("max_iter: 50", "max_iter: 25")
    (folder / "own.prototxt").write_text(text + 'weights: "gone.caffemodel" snapshot_after_train: false')
    file = "lognet_iter_25." + ("caffemodel" if flag == "--weights" else "solverstate")
    result = caffe_port("train", "--solver", "own.prototxt", flag, file, cwd=folder)
    assert result.returncode == 0, result.stderr
    assert "gone.caffemodel" not in " ".join(messages(result.stderr))


def test_real_caffes_snapshot_resumes(tmp_path):
    folder = copy_case("sgd_fixed", tmp_path)
    result = caffe_port("train", "--solver", "solver.prototxt", "--snapshot", "snap_iter_10.solverstate", cwd=folder)
    assert result.returncode == 0, result.stderr
    losses = [float(x) for x in re.findall(r"Train net output #0: loss = (\S+)", result.stderr)]
    np.testing.assert_allclose(losses, np.load(folder / "expected.npz")["loss"][10:], rtol=1e-3)


# -- devices ----------------------------------------------------------------------------------------------------------


def test_solver_mode_gpu_without_one_warns_once(tmp_path):
    folder = copy_case("sgd_fixed", tmp_path)
    text = (folder / "solver.prototxt").read_text()
    (folder / "solver.prototxt").write_text(text.replace("solver_mode: CPU", "solver_mode: GPU"))
    result = caffe_port("train", "--solver", "solver.prototxt", cwd=folder)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("warning:") == 1
    assert "caffe-port: warning: The solver asks for solver_mode: GPU, but there is none: using the CPU." in (
        result.stderr
    )
    assert "Use CPU." in messages(result.stderr)


@pytest.mark.parametrize("gpu", ["0", "all", "0,1", "-1", "x", ""])
def test_gpu_without_one_is_an_error(gpu, tmp_path, monkeypatch, capsys):
    folder = copy_case("sgd_fixed", tmp_path)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    line = error_line(Here(monkeypatch, capsys)("train", "--solver", "solver.prototxt", "--gpu", gpu, cwd=folder))
    assert line == f"--gpu {gpu}: no usable GPU was found. Leave --gpu out to compute on the CPU."


# -- the terminal -----------------------------------------------------------------------------------------------------


def test_snapshot_and_weights_together(tmp_path):
    line = error_line(caffe_port("train", "--solver", "s.prototxt", "--snapshot", "a", "--weights", "b", cwd=tmp_path))
    assert line == (
        "Both --snapshot and --weights are given. Give a snapshot to resume training or weights to fine-tune, not both."
    )


def test_usage(tmp_path):
    without = caffe_port("train", cwd=tmp_path)
    assert without.returncode == 2
    assert "Missing option '--solver'" in without.stderr
    explained = caffe_port("train", "--help", cwd=tmp_path)
    assert explained.returncode == 0
    for word in ("--solver", "--snapshot", "--weights", "--gpu", "--allow-unknown", "Example: caffe-port train"):
        assert word in explained.stdout


def test_the_program_lists_its_commands(tmp_path):
    result = caffe_port("--help", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    for name in ("train", "test", "upgrade", "demo"):
        assert re.search(rf"^  {name} +\S", result.stdout, re.MULTILINE), name
