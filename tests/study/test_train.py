"""Training an arm: the AUC that stops it, an exact resume after a kill, features that are computed once."""

from __future__ import annotations

import gc
import json
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from caffe_port import Net
from caffe_port.data.database import open_database
from caffe_port.data.datum import decode_record
from caffe_port.errors import CaffeError, StudyError
from caffe_port.proto import pb
from caffe_port.proto.files import read_net, read_solver
from caffe_port.proto.text import parse_text
from caffe_port.proto.weights import read_weights
from caffe_port.study.arms import Arm, Feed, train_val
from caffe_port.study.body import Body
from caffe_port.study.folder import RunFolder, read_table
from caffe_port.study.heads import exact_cut
from caffe_port.study.train import train_arm, write_arm
from tests.cli.process import ENVIRONMENT, caffe_port
from tests.study import tiny


def train(study, name=None, **how):
    body = study.settings.base.body()
    arm = Arm.parse(name, body) if name else study.arms[0]
    return train_arm(study.folder, study.app, study.settings, arm, **how)


def weights(folder):
    return {layer.name: [blob.copy() for blob in layer.blobs] for layer in read_weights(folder / "best.caffemodel")}


def assert_same(ours, theirs, **tolerance):
    assert list(ours) == list(theirs)
    for name, blobs in ours.items():
        for a, b in zip(blobs, theirs[name], strict=True):
            np.testing.assert_allclose(a, b, err_msg=name, **{"rtol": 0, "atol": 0, **tolerance})


def auc_by_hand(study, folder):
    """Of the kept weights on the validation patches, by the deploy net and scikit-learn."""
    path = study.folder.root / "lmdb" / "val"
    database = open_database(path)
    found = [decode_record(*database.get(i), file=path)[:2] for i in range(len(database))]
    net = Net(folder / "deploy.prototxt", folder / "best.caffemodel")
    with torch.no_grad():
        images = study.settings.base.preprocess([pixels.transpose(1, 2, 0) for pixels, _ in found])
        prob = net(data=images)["prob"].numpy()
    return roc_auc_score([label > 0 for _, label in found], prob[:, 1:].sum(1))


@pytest.mark.parametrize("app", [tiny.Tiny(), tiny.Tiny3()], ids=lambda app: app.name)
def test_it_keeps_the_epoch_with_the_best_auc(make_study, app):
    study = make_study(app=app, data="data" if app.classes == 2 else "data3", arms=("scratch",), epochs=8, base_lr=0.1)
    done = train(study)
    folder = study.folder.arm("scratch")
    history = read_table(folder / "history.csv")
    aucs = [float(row["validation_auc"]) for row in history]
    assert done["validation_auc"] == aucs
    assert done["epochs"] == len(aucs)
    assert done["best_epoch"] == 1 + int(np.argmax(aucs))
    assert len(set(aucs)) > 2, "it learns something, or nothing is tested here"
    assert auc_by_hand(study, folder) == pytest.approx(max(aucs), abs=1e-9)
    assert [float(row["seconds"]) for row in history] == sorted(float(row["seconds"]) for row in history)
    assert json.loads((folder / "done.json").read_text())["seconds"] == float(history[-1]["seconds"])
    assert not list(folder.glob("snapshot*"))
    assert "Solving" not in (folder / "log.txt").read_text()
    assert "Finetuning" not in (folder / "log.txt").read_text()
    assert "loss = " in (folder / "log.txt").read_text()


def test_its_threads_end_with_it(make_study):
    gc.collect()  # those of nets that other tests have left to the collector
    gc.disable()
    try:
        train(make_study())
        assert not [thread for thread in threading.enumerate() if thread.name.startswith("prefetch")]
    finally:
        gc.enable()


def test_patience(make_study):
    """A rate of almost nothing: every epoch ranks the patches alike, so the first one stays the best."""
    study = make_study(epochs=9, patience=3, base_lr=1e-12)
    done = train(study)
    assert (done["epochs"], done["best_epoch"]) == (4, 1)


def test_trained_twice_is_trained_once(make_study):
    study = make_study()
    done = train(study)
    before = (study.folder.arm("ip1") / "best.caffemodel").stat().st_mtime_ns
    assert train(study) == done
    assert (study.folder.arm("ip1") / "best.caffemodel").stat().st_mtime_ns == before


def test_the_files_run_by_hand_and_give_the_same(make_study):
    """``caffe-port train`` in the folder of the run: the same weights after the last epoch, if that one is the best."""
    study = make_study(arms=("conv2-ip1",), epochs=1, features=False)
    train(study)
    root, folder = study.folder.root, study.folder.arm("conv2-ip1")
    assert caffe_port("train", "--solver", "arms/conv2-ip1/solver.prototxt", cwd=root).returncode == 0
    (by_hand,) = folder.glob("snapshot_iter_*.caffemodel")
    trained = {layer.name: layer.blobs for layer in read_weights(by_hand) if layer.blobs}
    assert_same({name: blobs for name, blobs in weights(folder).items() if blobs}, trained)


# -- epochs -----------------------------------------------------------------------------------------------------------


def test_epochs_end_where_eq_2_says(make_study):
    """54 patches in batches of 16: 3.375 iterations an epoch."""
    study = make_study(arms=("scratch",), epochs=4)
    seen = []
    train(study, watch=lambda done, total, loss: seen.append((done, total)))
    assert seen == [(i, 14) for i in range(1, 15)]
    text = (study.folder.arm("scratch") / "log.txt").read_text()
    steps = [line.rpartition("Iteration ")[2] for line in text.splitlines() if "MultiStep Status" in line]
    assert steps == ["4, step = 1", "7, step = 2", "11, step = 3"]


def test_a_training_set_smaller_than_a_batch(make_study):
    study = make_study(batch_size=128)
    assert train(study)["epochs"] == 3
    assert read_net(study.folder.arm("ip1") / "train_val.prototxt").layer[0].data_param.batch_size == 54


# -- features ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("arm", "blob"), [("ip1", "conv2"), ("conv2-ip1", "pool1")])
def test_features_train_as_the_whole_net_does(make_study, arm, blob):
    """With a Dropout right above the cut, whose masks must be the same. Convolutions of other batch sizes may round
    otherwise, so the last bits are left open."""
    runs = [make_study(str(f), arms=(arm,), features=f, epochs=5) for f in (True, False)]
    dones = [train(study) for study in runs]
    assert (runs[0].folder.root / "features" / f"{blob}_train").is_dir()
    assert not (runs[1].folder.root / "features").exists()
    np.testing.assert_allclose(dones[0]["validation_auc"], dones[1]["validation_auc"], atol=1e-6)
    ours, theirs = (weights(study.folder.arm(arm)) for study in runs)
    assert_same(ours, theirs, atol=1e-6, rtol=1e-5)
    base = {layer.name: layer.blobs for layer in read_weights(runs[0].settings.base.weights)}
    np.testing.assert_array_equal(ours["conv1"][0], base["conv1"][0])
    losses = [[float(row["train_loss"]) for row in read_table(s.folder.arm(arm) / "history.csv")] for s in runs]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)
    assert len(set(losses[0])) == 5


def test_arms_share_features(make_study):
    study = make_study(arms=("ip1", "ip1@0.5"))
    study.train()
    names = sorted(path.name for path in (study.folder.root / "features").iterdir())
    assert names == ["conv2@0.5_test", "conv2@0.5_train", "conv2_test", "conv2_train"]
    counts = [len(open_database(study.folder.root / "features" / name / "features")) for name in names]
    assert counts == [18, 18, 18, 54]


def test_no_features_below_what_is_random(make_study):
    """Mirrored patches, and a Dropout in the middle of the frozen layers."""
    study = make_study(mirror=True)
    train(study)
    assert not (study.folder.root / "features").exists()
    text = tiny.BASE.replace("ip1", "ip2").replace(
        'layer { name: "ip2"',
        'layer { name: "ip1" type: "InnerProduct" bottom: "conv2" top: "ip1" inner_product_param { num_output: 7 } }\n'
        'layer { name: "ip2"',
    ).replace('bottom: "conv2" top: "ip2"', 'bottom: "ip1" top: "ip2"')  # fmt: skip
    body = Body.of(parse_text(text, pb.NetParameter))
    feed = Feed(pb.TransformationParameter(), "a", "b", 1, 1)
    cuts = {name: exact_cut(train_val(body, Arm(name), 2, feed), body, Arm(name)) for name in ("ip2", "ip1-ip2")}
    assert cuts == {"ip2": "conv2", "ip1-ip2": "conv2"}, "below drop2, whose masks differ from epoch to epoch"
    whole = Arm("conv1-ip2")
    assert exact_cut(train_val(body, whole, 2, feed), body, whole) is None


# -- stopped and resumed ----------------------------------------------------------------------------------------------


class _Stop(Exception):
    pass


@pytest.mark.parametrize("arm", ["scratch", "ip1"])
@pytest.mark.parametrize("iteration", [2, 5, 13])
def test_stopped_anywhere_it_ends_the_same(make_study, arm, iteration):
    whole = make_study("whole", arms=(arm,), epochs=4, mirror=arm == "scratch")
    expected = train(whole)

    def stop(done, total, loss):
        if done == iteration:
            raise _Stop

    study = make_study("stopped", arms=(arm,), epochs=4, mirror=arm == "scratch")
    with pytest.raises(_Stop):
        train(study, watch=stop)
    resumed = []
    done = train(study, watch=lambda done, total, loss: resumed.append(done))
    first = max([0, *(end for end in (4, 7, 11) if end < iteration)])
    assert resumed[0] == first + 1, "the finished epochs are not repeated"
    assert done["validation_auc"] == expected["validation_auc"]
    assert_same(weights(study.folder.arm(arm)), weights(whole.folder.arm(arm)))
    rows = [read_table(s.folder.arm(arm) / "history.csv") for s in (study, whole)]
    assert [row["train_loss"] for row in rows[0]] == [row["train_loss"] for row in rows[1]]


def test_sigkill(make_study, material, tmp_path):
    """A real process, killed in its third epoch at the earliest, and started again."""
    whole = make_study("whole", arms=("conv1-ip1",), epochs=40, patience=40, mirror=True)
    expected = train(whole)
    study = make_study("killed", arms=("conv1-ip1",), epochs=40, patience=40, mirror=True)
    line = [sys.executable, "-m", "tests.study.command", "study", "train", "tiny", "--out", str(study.folder.root)]
    folder = study.folder.arm("conv1-ip1")
    process = subprocess.Popen(line, cwd=tmp_path, env=ENVIRONMENT, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while time.monotonic() < until and process.poll() is None:
        if (folder / "history.csv").exists() and len(read_table(folder / "history.csv")) >= 3:
            break
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "it was killed in the middle"
    assert not (folder / "done.json").exists()
    result = subprocess.run(line, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    done = json.loads((folder / "done.json").read_text())
    assert done["validation_auc"] == expected["validation_auc"]
    assert_same(weights(folder), weights(whole.folder.arm("conv1-ip1")))


# -- what goes wrong --------------------------------------------------------------------------------------------------


@pytest.fixture
def stopped(make_study):
    """A run that was stopped in its third epoch."""
    study = make_study(arms=("scratch",), epochs=4)

    def stop(done, total, loss):
        if done == 8:
            raise _Stop

    with pytest.raises(_Stop):
        train(study, watch=stop)
    return study


def _cut(path):
    path.write_bytes(path.read_bytes()[:10])


@pytest.mark.parametrize(
    ("damage", "cause"),
    [
        (lambda f: (f / "history.csv").unlink(), "does not fit history.csv"),
        (lambda f: (f / "history.csv").write_text("epoch,seconds\n1,2\n"), "column 'train_loss' is missing"),
        (lambda f: (f / "history.csv").write_text("epoch,seconds,train_loss,validation_auc\n1,2,3\n"), "A row is"),
        (
            lambda f: (f / "history.csv").write_text("epoch,seconds,train_loss,validation_auc\n1,2,3,x\n"),
            "does not fit",
        ),
        (
            lambda f: (f / "history.csv").write_text("epoch,seconds,train_loss,validation_auc\n1,2,3,0\n"),
            "does not fit",
        ),
        (lambda f: (f / "best.caffemodel").unlink(), "does not fit history.csv and best.caffemodel"),
        (lambda f: (f / "snapshot_iter_7.solverstate.json").unlink(), "no exact resume"),
        (lambda f: (f / "done.json").write_text("{"), "done.json: cannot be read"),
        (lambda f: (f / "done.json").write_text("{}"), "done.json: has not digest"),
    ],
)
def test_damaged_folders(stopped, damage, cause):
    damage(stopped.folder.arm("scratch"))
    with pytest.raises(StudyError, match=cause) as error:
        train(stopped)
    assert error.value.remedy


def test_a_damaged_snapshot_is_no_fresh_start(stopped):
    _cut(stopped.folder.arm("scratch") / "snapshot_iter_7.solverstate")
    with pytest.raises(CaffeError, match="snapshot_iter_7"):
        train(stopped)


def test_weights_that_are_gone(make_study):
    study = make_study()
    train(study)
    (study.folder.arm("ip1") / "best.caffemodel").unlink()
    with pytest.raises(StudyError, match=r"best\.caffemodel is missing"):
        train(study)


def test_settings_that_were_changed_by_hand(make_study):
    study = make_study()
    train(study)
    study.settings = study.settings.changed("training.base_lr", 0.5)
    with pytest.raises(StudyError, match=r"done\.json: was made with other settings"):
        train(study)
    shutil.rmtree(study.folder.arm("ip1"))
    with pytest.raises(StudyError, match=r"prepared\.json: was made with other settings"):
        train(study)


def test_patches_that_are_not_prepared(make_settings, tmp_path):
    settings = make_settings()
    with pytest.raises(StudyError, match=r"patches of ip1 are not there.*prepare"):
        write_arm(RunFolder(tmp_path), tiny.APPLICATION, settings, settings.base.body(), Arm("ip1"))


def test_a_training_that_diverges(make_study):
    study = make_study(arms=("scratch",), base_lr=1e6)
    with pytest.raises(StudyError, match=r"training of scratch diverged before iteration \d+.*base_lr"):
        train(study)
    assert not (study.folder.arm("scratch") / "done.json").exists()


def test_the_solver_file_says_what_the_settings_say(make_study):
    study = make_study(arms=("conv2-ip1",), momentum=0.8, gamma=0.9, weight_decay=0.001)
    train(study)
    param = read_solver(study.folder.arm("conv2-ip1") / "solver.prototxt")
    assert [param.momentum, param.gamma, param.weight_decay] == [np.float32(x) for x in (0.8, 0.9, 0.001)]
    assert param.random_seed == 1
    assert list(param.weights) == [study.settings.base.weights]
