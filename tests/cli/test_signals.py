"""SIGINT and SIGHUP sent to a real ``caffe-port train``, in training and in a test pass."""

from __future__ import annotations

import re
import signal
import subprocess
import time

import pytest

from tests.cli.process import ENVIRONMENT, command
from tests.solver.make import copy_case


class Training:
    """A training that would never end by itself; its log is read line by line."""

    def __init__(self, folder, *flags, solver=""):
        text = (folder / "solver.prototxt").read_text()
        text = re.sub(r"(?m)^(max_iter|snapshot): .*$", "", text) + "max_iter: 100000000\n" + solver
        (folder / "solver.prototxt").write_text(text)
        self.folder = folder
        self.process = subprocess.Popen(
            command("train", "--solver", "solver.prototxt", *flags),
            cwd=folder,
            env=ENVIRONMENT,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def wait_for(self, text):
        for line in self.process.stderr:
            if text in line:
                return line
        raise AssertionError(f"the log ended without '{text}'")

    def send(self, number):
        self.process.send_signal(number)

    def end(self):
        rest = self.process.communicate(timeout=60)[1]
        assert self.process.returncode == 0
        return rest

    def kill(self):
        self.process.kill()
        self.process.communicate()

    def states(self):
        return sorted(path.name for path in self.folder.glob("snap_iter_*.solverstate"))


@pytest.fixture
def folder(tmp_path):
    folder = copy_case("sgd_fixed", tmp_path)
    for old in folder.glob("snap_iter_*"):
        old.unlink()
    return folder


def test_sigint_stops_with_a_snapshot(folder):
    training = Training(folder)
    training.wait_for("Iteration 3 ")
    training.send(signal.SIGINT)
    rest = training.end()
    assert "Snapshotting solver state to binary proto file" in rest
    assert "Optimization stopped early." in rest
    (state,) = training.states()
    assert (folder / state.replace("solverstate", "caffemodel")).exists()


def test_sighup_takes_a_snapshot_and_goes_on(folder):
    training = Training(folder)
    training.wait_for("Iteration 3 ")
    training.send(signal.SIGHUP)
    training.wait_for("Snapshotting solver state")
    training.wait_for("Iteration ")
    assert len(training.states()) == 1
    training.send(signal.SIGINT)
    training.end()
    assert len(training.states()) == 2


def test_effects_can_be_exchanged(folder):
    training = Training(folder, "-sigint_effect=snapshot", "--sighup_effect", "stop")
    training.wait_for("Iteration 3 ")
    training.send(signal.SIGINT)
    training.wait_for("Snapshotting solver state")
    training.wait_for("Iteration ")
    training.send(signal.SIGHUP)
    assert "Optimization stopped early." in training.end()


def test_none_has_no_effect(folder):
    training = Training(folder, "-sigint_effect=none", "-sighup_effect=none")
    training.wait_for("Iteration 3 ")
    training.send(signal.SIGINT)
    training.send(signal.SIGHUP)
    number = int(re.search(r"Iteration (\d+)", training.wait_for("Iteration "))[1])
    training.wait_for(f"Iteration {number + 50} ")
    assert training.states() == []
    training.kill()


@pytest.mark.parametrize(("number", "ends"), [(signal.SIGHUP, False), (signal.SIGINT, True)])
def test_inside_a_test_pass(folder, number, ends):
    """The test pass is endless: only a request heard inside it can have an effect."""
    training = Training(folder, solver="test_iter: 100000000 test_interval: 5\n")
    training.wait_for("Iteration 0, Testing net (#0)")
    training.send(number)
    if ends:
        assert "Optimization stopped early." in training.end()
    else:
        until = time.monotonic() + 30
        while not training.states() and time.monotonic() < until:
            time.sleep(0.05)
        training.kill()
    assert training.states() == ["snap_iter_0.solverstate"]
