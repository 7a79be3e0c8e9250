"""Arms side by side, in processes of this machine and as tasks of a local Ray: the results of one after the other."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest

from caffe_port.errors import StudyError
from caffe_port.proto.weights import read_weights
from caffe_port.study.folder import read_table
from tests.cli.process import ENVIRONMENT
from tests.shared import ROOT

ARMS = ("conv1-ip1", "ip1", "scratch")


def results(study):
    found = {}
    for arm in study.arms:
        folder = study.folder.arm(arm.name)
        blobs = [blob.tolist() for layer in read_weights(folder / "best.caffemodel") for blob in layer.blobs]
        found[arm.name] = json.loads((folder / "done.json").read_text())["validation_auc"], blobs
        found[arm.name + " scores"] = read_table(folder / "scores.csv")
    return found


@pytest.fixture
def expected(make_study):
    study = make_study("alone", arms=ARMS)
    study.train()
    study.evaluate()
    return results(study)


def test_two_processes_give_what_one_gives(make_study, expected, monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    counted = {}

    @contextmanager
    def bars(what):
        yield lambda done, total: counted.setdefault(what, []).append((done, total))

    study = make_study("beside", arms=ARMS, how={"workers": 2, "bars": bars})
    study.train()
    study.evaluate()
    assert results(study) == expected
    assert counted["Training 3 arms"][-1] == (9, 9)
    assert counted["Testing 3 arms"][-1] == (3, 3)
    for arm in ARMS:
        assert "Solver scaffolding done." in (study.folder.arm(arm) / "log.txt").read_text()


def test_ray_gives_what_one_process_gives(make_study, expected, monkeypatch):
    """A Ray of this machine: a worker for each of its cores, and at least two of them."""
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_OVERRIDE_RESOURCES", '{"CPU": 2}')
    study = make_study("ray", arms=ARMS, how={"ray": "local"})
    study.train()
    study.evaluate()
    assert results(study) == expected


def test_a_cluster_that_is_not_there(make_study):
    pytest.importorskip("ray")
    study = make_study(how={"ray": "no-address"})
    with pytest.raises(StudyError, match="Cannot reach the Ray cluster at 'no-address'"):
        study.train()


def test_without_ray(make_study, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    study = make_study(how={"ray": "auto"})
    with pytest.raises(StudyError, match=r"Ray is not installed.*caffe_port\[ray\]"):
        study.train()


def test_an_arm_that_fails_does_not_keep_the_others(make_study):
    study = make_study(arms=ARMS)
    (study.folder.arm("ip1")).mkdir(parents=True)
    (study.folder.arm("ip1") / "snapshot_iter_99.solverstate").write_bytes(b"")
    with pytest.raises(StudyError, match=r"^ip1: .*history.csv"):
        study.train()
    for arm in ("conv1-ip1", "scratch"):
        assert (study.folder.arm(arm) / "done.json").exists()


@pytest.mark.parametrize("ended", [signal.SIGKILL, signal.SIGINT])
def test_workers_end_with_the_process_that_they_work_for(make_study, tmp_path, ended):
    """Killed, it cannot tell them. Ctrl-C interrupts all of them: it ends them, and they say nothing."""
    study = make_study(arms=("scratch", "conv1-ip1"), epochs=4000, patience=4000)
    line = [sys.executable, "-m", "tests.study.command", "study", "train", "tiny", "--jobs", "2"]
    line += ["--out", str(study.folder.root)]
    process = subprocess.Popen(
        line, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    logs = [study.folder.arm(arm) / "history.csv" for arm in ("scratch", "conv1-ip1")]
    until = time.monotonic() + 60
    while time.monotonic() < until and not all(path.exists() for path in logs):
        time.sleep(0.1)
    assert all(path.exists() for path in logs), "both arms are at work"
    (os.kill if ended == signal.SIGKILL else os.killpg)(process.pid, ended)
    process.wait(timeout=20)
    until = time.monotonic() + 20
    while time.monotonic() < until and _alive(process.pid):
        time.sleep(0.1)
    assert not _alive(process.pid)
    text = process.communicate()[1]
    assert "Traceback" not in text
    assert text.endswith("Aborted!\n") == (ended == signal.SIGINT)


def _alive(session):
    """Whether a process of this session is left (zombies apart)."""
    try:
        os.killpg(session, 0)
    except ProcessLookupError:
        return False
    shown = subprocess.run(
        ["ps", "-o", "stat=", "-g", str(session)], capture_output=True, text=True, check=False
    ).stdout
    return any(not line.strip().startswith("Z") for line in shown.splitlines())
