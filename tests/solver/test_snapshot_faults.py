"""A fault at any point of a snapshot leaves the last good one: kill -9, a full disk, a failing rename or sync."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

from caffe_port.errors import CaffeError
from caffe_port.solver import Solver
from tests.shared import ROOT
from tests.solver.make import copy_case

#: Take a good snapshot, then one that dies by SIGKILL at the n-th call of a function of ``os``.
KILLED = """
import os, signal, sys
from caffe_port.solver import Solver
solver = Solver("solver.prototxt")
solver.step(2)
solver.snapshot()
solver.step(1)
name, left = sys.argv[1], int(sys.argv[2])
real = getattr(os, name)
def dying(*args, **kwargs):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*args, **kwargs)
setattr(os, name, dying)
solver.snapshot()
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    folder = copy_case("sgd_fixed", tmp_path)
    for old in folder.glob("snap_iter_*"):
        old.unlink()
    text = (folder / "solver.prototxt").read_text()
    (folder / "solver.prototxt").write_text("\n".join(t for t in text.split("\n") if not t.startswith("snapshot:")))
    monkeypatch.chdir(folder)
    return folder


def resumable():
    """Iterations of all states in the folder; each must restore, with weights and sidecar, without a warning."""
    found = []
    for name in sorted(os.listdir()):
        if name.endswith(".solverstate"):
            solver = Solver("solver.prototxt")
            solver.restore(name)
            found.append(solver.iteration)
    return found


@pytest.mark.parametrize("call", ["fsync", "replace"])
@pytest.mark.parametrize("number", range(1, 7))
@pytest.mark.filterwarnings("error")
def test_killed_at_every_write(folder, call, number):
    result = subprocess.run(
        [sys.executable, "-c", KILLED, call, str(number)],
        env={**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
        check=False,
    )
    complete = result.returncode == 0  # fewer calls than that
    assert complete or result.returncode == -9
    assert resumable() in ([2], [2, 3]) if not complete else resumable() == [2, 3]
    if call == "replace" and number <= 3:
        assert not complete
        assert resumable() == [2]


@pytest.mark.parametrize(
    ("call", "number"),
    [("replace", 1), ("replace", 2), ("replace", 3), ("fsync", 1), ("fsync", 3), ("fsync", 5)],  # between: the folder
)
@pytest.mark.filterwarnings("error")
def test_a_failing_call(folder, monkeypatch, call, number):
    solver = Solver("solver.prototxt")
    solver.step(2)
    solver.snapshot()
    solver.step(1)
    left = number
    real = getattr(os, call)

    def failing(*args, **kwargs):
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(CaffeError, match="No space left"):
            solver.snapshot()
    assert 2 in resumable()
    assert not [name for name in os.listdir() if name.endswith(".part")]
    solver.step(1)  # the training itself goes on
    solver.snapshot()
    assert resumable()[-1] == 4


def test_a_full_disk(folder, monkeypatch):
    """A real one: every byte beyond a limit on file sizes is refused by the system."""
    resource = pytest.importorskip("resource")
    import signal

    solver = Solver("solver.prototxt")
    solver.step(2)
    solver.snapshot()
    solver.step(1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
        with pytest.raises(CaffeError, match="cannot be written"):
            solver.snapshot()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, former)
    assert resumable() == [2]
    assert not [name for name in os.listdir() if name.endswith(".part")]
