"""Gradients and updates through pycaffe, layer by layer, against those of the fast path, on every solver case."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from caffe_port import pycaffe as caffe
from caffe_port.solver import Solver
from tests.shared import ORACLE

FOLDER = ORACLE / "solvers"
CASES = sorted(path.name for path in FOLDER.iterdir())
#: of the largest value
TOLERANCE = 1e-6


def assert_close(ours, fast, name):
    assert np.abs(ours - fast).max() <= TOLERANCE * np.abs(fast).max(), name


@pytest.mark.parametrize("case", CASES)
def test_forward_backward_apply_update(case, tmp_path, monkeypatch):
    shutil.copytree(FOLDER / case, tmp_path / case)
    monkeypatch.chdir(tmp_path / case)
    fast = Solver("solver.prototxt")
    fast.load_weights("init.caffemodel")
    slow = caffe.get_solver("solver.prototxt")
    slow.net.copy_from("init.caffemodel")
    gradients = {}

    def keep():
        for p in fast.net.params:  # frozen ones have none
            grad = torch.zeros_like(p.blob) if p.blob.grad is None else p.blob.grad
            gradients[f"{p.owner.name}/{p.index}"] = grad.detach().numpy().copy()

    fast.on_gradients_ready.append(keep)
    for _ in range(3):
        fast.step(1)
        slow.net.clear_param_diffs()
        for _ in range(slow.param.iter_size):
            slow.net.forward()
            slow.net.backward()
        for param in fast.net.params:
            name = f"{param.owner.name}/{param.index}"
            assert_close(slow.net.params[param.owner.name][param.index].diff, gradients[name], f"gradient of {name}")
        slow.apply_update()
        for param in fast.net.params:
            ours = slow.net.params[param.owner.name][param.index].data
            assert_close(ours, param.blob.detach().numpy(), f"{param.owner.name}/{param.index} after the update")
