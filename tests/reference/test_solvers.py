"""Training against real Caffe: the loss of every iteration, the first update and the final weights."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from caffe_port import pycaffe as caffe
from tests.shared import ORACLE

FOLDER = ORACLE / "solvers"
CASES = sorted(path.name for path in FOLDER.iterdir())


@pytest.fixture(params=CASES)
def case(request, tmp_path, monkeypatch):
    """A copy of the case's folder as working directory, and what real Caffe recorded."""
    folder = tmp_path / request.param
    shutil.copytree(FOLDER / request.param, folder)
    monkeypatch.chdir(folder)
    return dict(np.load("expected.npz"))


def weights(solver):
    return {f"{name}/{i}": b.data.copy() for name, blobs in solver.net.params.items() for i, b in enumerate(blobs)}


def group(expected, kind):
    return {key.partition("/")[2]: value for key, value in expected.items() if key.startswith(kind + "/")}


def assert_losses(ours, real):
    np.testing.assert_allclose(ours, real, rtol=1e-3)


def assert_final(solver, expected):
    final = group(expected, "final")
    ours = weights(solver)
    assert set(final) <= set(ours)
    for name, value in final.items():
        assert np.abs(ours[name] - value).max() <= 1e-2 * np.abs(value).max(), name


def test_trajectory(case):
    solver = caffe.get_solver("solver.prototxt")
    solver.net.copy_from("init.caffemodel")
    start = weights(solver)
    losses = []
    for iteration in range(len(case["loss"])):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
        if iteration == 0:
            after = weights(solver)
            for name, init in group(case, "init").items():
                np.testing.assert_array_equal(start[name], init)
                update = group(case, "after1")[name] - init
                error = np.abs((after[name] - start[name]) - update).max()
                assert error <= 1e-3 * np.abs(update).max(), name
    assert_losses(losses, case["loss"])
    assert_final(solver, case)


def test_resume_from_real_caffes_snapshot(case):
    solver = caffe.get_solver("solver.prototxt")
    (state,) = Path().glob("snap_iter_10.solverstate*")  # binary or HDF5, as the case has it
    solver.restore(state)
    assert solver.iter == 10
    losses = []
    for _ in range(10):
        solver.step(1)
        losses.append(float(solver.net.blobs["loss"].data))
    assert_losses(losses, case["loss"][10:])
    assert_final(solver, case)
