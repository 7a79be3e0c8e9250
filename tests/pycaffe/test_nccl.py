"""Training in two processes as Caffe's train.py does it."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from caffe_port import pycaffe as caffe
from caffe_port.proto.weights import read_weights
from tests.shared import ROOT
from tests.solver.make import copy_case

WORKER = """
import json, sys
import caffe

uid, rank, rule = sys.argv[1], int(sys.argv[2]), sys.argv[3]
caffe.set_mode_cpu()
caffe.set_solver_count(2)
caffe.set_solver_rank(rank)
caffe.set_multiprocess(True)
solver = caffe.SGDSolver("solver.prototxt")
if rank == 0:
    solver.net.copy_from("init.caffemodel")
nccl = caffe.NCCL(solver, uid.encode())
nccl.bcast()
solver.add_callback(nccl)
if rule == "layer_wise":
    solver.net.after_backward(nccl)
solver.step(3)
weights = {name: [float(abs(b.data).sum()) for b in blobs] for name, blobs in solver.net.params.items()}
print(json.dumps([solver.iter, len(solver.test_nets), weights]))
if rank == 0:
    solver.net.save("two.caffemodel")
"""


def test_uids_differ():
    assert isinstance(caffe.NCCL.new_uid(), bytes)
    assert caffe.NCCL.new_uid() != caffe.NCCL.new_uid()
    assert caffe.has_nccl() == (torch.cuda.is_available() and torch.distributed.is_nccl_available())


@pytest.mark.parametrize("rule", ["plain", "layer_wise"])
def test_two_processes_train_on_the_means_of_their_gradients(tmp_path, rule):
    """A batch dealt out to two processes is a batch of twice the size in one, whose mean gradient is the same."""
    folder = copy_case("sgd_fixed", tmp_path)
    (folder / "worker.py").write_text(WORKER)
    with (folder / "solver.prototxt").open("a") as file:
        file.write("test_iter: 1 test_interval: 1000 test_initialization: false\n")
    uid = caffe.NCCL.new_uid().decode()
    started = [
        subprocess.Popen(
            [sys.executable, "-m", "caffe_port.pycaffe", "worker.py", uid, str(rank), rule],
            cwd=folder,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "PATH": ""},
        )
        for rank in range(2)
    ]
    results = []
    for process in started:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        results.append(json.loads(out.splitlines()[-1]))
    (first, tests, weights), (second, no_tests, same_weights) = results
    assert first == second == 3
    assert tests
    assert not no_tests
    assert weights == same_weights

    net = (folder / "net.prototxt").read_text()
    size = int(net.partition("batch_size:")[2].split()[0])
    (folder / "net.prototxt").write_text(net.replace(f"batch_size: {size}", f"batch_size: {2 * size}"))
    alone = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from caffe_port import pycaffe as c; s = c.get_solver('solver.prototxt'); "
            "s.net.copy_from('init.caffemodel'); s.step(3); s.net.save('one.caffemodel')",
        ],
        cwd=folder,
        text=True,
        capture_output=True,
        env={"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )
    assert alone.returncode == 0, alone.stderr
    start = {w.name: w.blobs for w in read_weights(folder / "init.caffemodel")}
    for one, two in zip(*(read_weights(folder / f"{name}.caffemodel") for name in ("one", "two"))):
        for index, (a, b) in enumerate(zip(one.blobs, two.blobs)):
            np.testing.assert_allclose(b, a, atol=1e-3 * np.abs(a - start[one.name][index]).max(), err_msg=one.name)
