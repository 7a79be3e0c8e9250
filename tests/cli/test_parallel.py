"""``caffe-port train`` in several processes: starting, signals, and how they end together."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import lmdb
import numpy as np
import pytest
import torch

from caffe_port.cli.options import choose_devices
from caffe_port.data.database import DatabaseWriter
from caffe_port.data.datum import array_to_datum
from caffe_port.errors import CaffeError
from caffe_port.net import Net
from caffe_port.proto import pb
from caffe_port.solver.parallel import Place
from tests.cli.process import ENVIRONMENT, Here, caffe_port, command, error_line, messages
from tests.cli.test_signals import Training
from tests.solver.make import copy_case, weights_of

TRAIN = ("train", "--solver", "solver.prototxt")
#: The first test pass, after two iterations, never ends.
ENDLESS_TEST = "test_iter: 100000000 test_interval: 2 test_initialization: false\n"
LMDB_NET = """
layer { name: "data" type: "Data" top: "data" top: "label" data_param { source: "db" batch_size: 2 backend: LMDB } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip" inner_product_param { num_output: 2 } }
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "ip" bottom: "label" top: "loss" }
"""


@pytest.fixture
def folder(tmp_path):
    folder = copy_case("sgd_fixed", tmp_path)
    for old in folder.glob("snap_iter_*"):
        old.unlink()
    return folder


@pytest.fixture
def training(folder):
    """Starts an endless training of two processes with further flags and solver lines; ends what is left of it."""
    started = []

    def start(*flags, solver=""):
        started.append(Training(folder, "--procs", "2", *flags, solver=solver))
        return started[0]

    yield start
    if started[0].process.poll() is None:
        started[0].kill()


def workers(process):
    """The processes that ``process`` has started."""
    listing = subprocess.run(["ps", "-A", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    pairs = [tuple(map(int, line.split())) for line in listing.splitlines()]
    return [pid for pid, parent in pairs if parent == process.pid]


def gone(pid):
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            os.kill(pid, 0)
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except OSError:
            return True
        if state == "Z":  # nobody is there to take note of its end
            return True
        time.sleep(0.05)
    return False


def test_two_processes_are_one_of_twice_the_batch(folder, monkeypatch):
    """One log, one snapshot, and the weights of a single process with a batch of 16 instead of 8."""
    text = (folder / "solver.prototxt").read_text().replace("max_iter: 20", "max_iter: 1")
    (folder / "solver.prototxt").write_text(text)
    result = caffe_port(*TRAIN, "-procs=2", cwd=folder)
    assert result.returncode == 0, result.stderr
    lines = messages(result.stderr)
    assert [line for line in lines if "lr = " in line] == ["Iteration 0, lr = 0.028506"]
    assert sorted(path.name for path in folder.glob("snap*")) == [
        f"snap_iter_1.{kind}" for kind in ("caffemodel", "solverstate", "solverstate.json")
    ]
    monkeypatch.chdir(folder)
    net = Path("net.prototxt").read_text()
    found = weights_of(Net("net.prototxt", "snap_iter_1.caffemodel", "TRAIN"))
    Path("net.prototxt").write_text(net.replace("batch_size: 8", "batch_size: 16"))
    assert caffe_port(*TRAIN, cwd=folder).returncode == 0
    wanted = weights_of(Net("net.prototxt", "snap_iter_1.caffemodel", "TRAIN"))
    largest = max(np.abs(w).max() for w in wanted.values())
    for name in wanted:
        np.testing.assert_allclose(found[name], wanted[name], rtol=0, atol=1e-6 * largest)


def test_ctrl_c_stops_all_with_one_snapshot(training):
    """A terminal sends SIGINT to every process of the group."""
    run = training()
    run.wait_for("Iteration 3 ")
    (worker,) = workers(run.process)
    os.killpg(run.process.pid, signal.SIGINT)
    rest = run.end()
    assert "Optimization stopped early." in rest
    assert len(run.states()) == 1
    assert gone(worker)


def test_hangup_takes_one_snapshot_and_goes_on(training):
    run = training()
    run.wait_for("Iteration 3 ")
    run.send(signal.SIGHUP)
    run.wait_for("Snapshotting solver state")
    run.wait_for("Iteration ")
    assert len(run.states()) == 1
    run.send(signal.SIGINT)
    run.end()
    assert len(run.states()) == 2


def test_stop_inside_a_test_pass(training):
    run = training(solver=ENDLESS_TEST)
    run.wait_for("Iteration 2, Testing net (#0)")
    run.send(signal.SIGINT)
    assert "Optimization stopped early." in run.end()
    assert run.states() == ["snap_iter_2.solverstate"]


def test_a_worker_that_is_killed(training):
    run = training()
    run.wait_for("Iteration 3 ")
    os.kill(workers(run.process)[0], signal.SIGKILL)
    rest = run.process.communicate(timeout=30)[1]
    result = subprocess.CompletedProcess([], run.process.returncode, "", rest)
    assert error_line(result) == "process 1 of 2 was ended by SIGKILL."


def test_a_worker_that_is_killed_while_the_first_process_does_something_else(training):
    run = training(solver=ENDLESS_TEST)
    run.wait_for("Iteration 2, Testing net (#0)")
    os.kill(workers(run.process)[0], signal.SIGKILL)
    rest = run.process.communicate(timeout=30)[1]
    result = subprocess.CompletedProcess([], run.process.returncode, "", rest)
    assert error_line(result) == "process 1 of 2 was ended by SIGKILL."


def test_workers_end_when_the_first_process_is_killed(training):
    run = training(solver=ENDLESS_TEST)  # for whose end the worker waits
    run.wait_for("Iteration 2, Testing net (#0)")
    (worker,) = workers(run.process)
    run.kill()
    assert gone(worker)


def test_the_error_of_a_worker(tmp_path):
    """Record 5 is damaged; with two processes it belongs to number 1."""
    with DatabaseWriter(tmp_path / "db", "LMDB") as database:
        for i in range(8):
            pixels = np.full((1, 3, 3), i, np.uint8)
            database.put(b"%08d" % i, array_to_datum(pixels, i % 2).SerializeToString())
        database.commit()
    with lmdb.open(str(tmp_path / "db")) as environment, environment.begin(write=True) as transaction:
        transaction.put(b"00000005", b"\xff\xff")
    (tmp_path / "net.prototxt").write_text(LMDB_NET)
    (tmp_path / "solver.prototxt").write_text(
        'net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 100 snapshot_prefix: "snap" random_seed: 1'
    )
    start = time.monotonic()
    line = error_line(caffe_port(*TRAIN, "--procs", "2", cwd=tmp_path, timeout=60))
    assert re.match(r"process 1 of 2: db, layer 'data' \(Data\): .*00000005", line), line
    assert time.monotonic() - start < 40
    assert not list(tmp_path.glob("snap*"))


def test_the_error_of_all(folder):
    """Told once."""
    (folder / "data.h5").unlink()
    line = error_line(caffe_port(*TRAIN, "--procs", "2", cwd=folder))
    assert re.match(r"(process 1 of 2: )?data\.h5, layer 'data' \(HDF5Data\): Failed opening HDF5 file", line)


def test_without_a_common_parent(folder, tmp_path):
    """As torchrun starts them; process 1 lacks a file."""
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(folder, elsewhere)
    (elsewhere / "data.h5").unlink()
    started = []
    for rank, cwd in enumerate((folder, elsewhere)):
        place = Place(rank, 2, 0, 1, (tmp_path / "store").as_uri()).environment()
        streams = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        run = subprocess.Popen(command(*TRAIN), cwd=cwd, env={**ENVIRONMENT, **place}, text=True, **streams)
        started.append(run)
    results = []
    for run in reversed(started):
        run.wait(60)
        results.append(subprocess.CompletedProcess([], run.returncode, run.stdout.read(), run.stderr.read()))
    assert "data.h5" in error_line(results[0])
    assert "I1" not in results[0].stderr  # it is no log of its own
    assert re.match(r"Process 0 of 2 cannot reach the others: \w.*\. If one of them failed", error_line(results[1]))


def test_torchrun(folder):
    text = (folder / "solver.prototxt").read_text().replace("max_iter: 20", "max_iter: 3")
    (folder / "solver.prototxt").write_text(text)
    starter = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m"]
    line = [*starter, *command(*TRAIN, "--iterations", 7)[2:]]
    result = subprocess.run(line, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)
    assert result.returncode == 0, result.stderr
    lines = messages(result.stderr)
    assert lines.count("Iteration 2, lr = 0.028506") == 1
    assert result.stderr.count("train ignores --iterations") == 1
    assert len(list(folder.glob("snap_iter_3.*"))) == 3


@pytest.fixture
def gpus(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)


@pytest.mark.parametrize(
    ("gpu", "procs", "mode", "local", "devices"),
    [
        ("0,2", None, "CPU", None, ["cuda:0", "cuda:2"]),
        ("all", None, "CPU", None, ["cuda:0", "cuda:1", "cuda:2"]),
        ("1", None, "CPU", None, ["cuda:1"]),
        (None, 3, "GPU", None, ["cpu"] * 3),
        (None, None, "CPU", None, ["cpu"]),
        (None, None, "GPU", None, ["cuda:0"]),
        (None, None, "GPU", 3, ["cuda:0", "cuda:1", "cuda:2"]),
        (None, None, "CPU", 2, ["cpu", "cpu"]),
        ("2,0", None, "CPU", 2, ["cuda:2", "cuda:0"]),
    ],
)
def test_devices(gpus, gpu, procs, mode, local, devices):
    param = pb.SolverParameter(solver_mode=pb.SolverParameter.SolverMode.Value(mode))
    place = None if local is None else Place(0, local, 0, local)
    assert list(map(str, choose_devices(gpu, procs, param, place))) == devices


@pytest.mark.parametrize(
    ("gpu", "procs", "local", "message"),
    [
        ("0", 2, None, "Both --gpu and --procs"),
        ("0,3", None, None, "GPUs 0 to 2 are usable"),
        ("1,1", None, None, "named twice"),
        ("0", None, 2, "for 1 processes; torchrun started 2"),
        (None, 3, 2, "for 3 processes; torchrun started 2"),
        (None, None, 4, "GPUs 0 to 2 are usable"),
    ],
)
def test_wrong_devices(gpus, gpu, procs, local, message):
    place = None if local is None else Place(0, local, 0, local)
    with pytest.raises(CaffeError, match=message):
        choose_devices(gpu, procs, pb.SolverParameter(solver_mode=pb.SolverParameter.GPU), place)


def test_both_flags(folder, monkeypatch, capsys):
    line = error_line(Here(monkeypatch, capsys)(*TRAIN, "--gpu", "0", "--procs", "2", cwd=folder))
    assert line == "Both --gpu and --procs are given. --procs is for training on the CPU."
