"""One arm's training: its solver file run epoch by epoch, stopped by the AUC on the validation set (section IV)."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sklearn.metrics import roc_auc_score

from caffe_port.errors import StudyError
from caffe_port.files import working_directory
from caffe_port.log import log_to
from caffe_port.net import Net
from caffe_port.proto.files import read_net, read_solver, write_text
from caffe_port.solver import Solver
from caffe_port.solver.evaluate import share_weights
from caffe_port.solver.passes import zero_inputs
from caffe_port.solver.sidecar import sidecar_path
from caffe_port.study.arms import SCRATCH, Arm, Feed, Schedule, deploy, solver, train_val
from caffe_port.study.body import Body
from caffe_port.study.cases import Application
from caffe_port.study.folder import RunFolder, read_made, read_table, write_record, write_table
from caffe_port.study.heads import exact_cut, pays, write_head
from caffe_port.study.prepare import Bars, read_prepared, silent
from caffe_port.study.settings import Settings

HISTORY = ("epoch", "seconds", "train_loss", "validation_auc")
DONE = ("epochs", "best_epoch", "seconds", "validation_auc")
#: Patches per batch of the validation set: BVLC's.
TEST_BATCH = 50
#: Called with the iterations that are done, that of all, and the loss of the last one.
Watch = Callable[[int, int, float], None]


def read_done(folder: RunFolder, settings: Settings, arm: Arm) -> dict[str, Any] | None:
    """What a finished training says of itself (:data:`DONE`); None while it is not finished.

    :raises StudyError: it was made with other settings, or its weights are gone.
    """
    path = folder.arm(arm.name) / "done.json"
    done = read_made(path, settings.digest(), DONE)
    if done is not None and not (path.parent / "best.caffemodel").is_file():
        raise StudyError("best.caffemodel is missing beside it.", file=path, remedy="Remove it to train this arm anew.")
    return done


def write_arm(folder: RunFolder, app: Application, settings: Settings, body: Body, arm: Arm) -> Schedule:
    """Write the arm's files: ``train_val.prototxt``, ``solver.prototxt`` and ``deploy.prototxt``.

    They can be run by hand in the folder of the run: ``caffe-port train --solver arms/<arm>/solver.prototxt``.

    :raises StudyError: its patches are not prepared.
    """
    counts = read_prepared(folder, settings, arm.subset)
    if counts is None:
        raise StudyError(
            f"The patches of {arm.name} are not there.",
            file=folder.root,
            remedy="Run 'caffe-port study prepare' first.",
        )
    training = settings.training
    batch = min(training.batch_size, counts["train"])
    schedule = Schedule(
        counts["train"], counts["val"], batch, min(TEST_BATCH, counts["val"]), training.epochs,
        training.base_lr, training.momentum, training.gamma, training.weight_decay,
    )  # fmt: skip
    base, place = settings.base, f"arms/{arm.name}"
    feed = Feed(base.transform, *folder.databases(arm.subset), batch, schedule.test_batch, training.mirror)
    weights = "" if arm.depth == SCRATCH else base.weights
    files = {
        "train_val": train_val(body, arm, app.classes, feed, training.last_layer_multiplier),
        "solver": solver(schedule, f"{place}/train_val.prototxt", f"{place}/snapshot", weights, settings.seed),
        "deploy": deploy(body, app.classes, (1, base.channels, *base.size)),
    }
    folder.arm(arm.name).mkdir(parents=True, exist_ok=True)
    for name, message in files.items():
        write_text(message, folder.arm(arm.name) / f"{name}.prototxt")
    return schedule


def train_arm(
    folder: RunFolder,
    app: Application,
    settings: Settings,
    arm: Arm,
    *,
    device: str = "cpu",
    watch: Watch = lambda done, total, loss: None,
    bars: Bars = silent,
) -> dict[str, Any]:
    """Train ``arm``, or go on where a former process was stopped, and return what :func:`read_done` does.

    Ends in its folder: ``history.csv``, ``log.txt``, ``best.caffemodel`` (the weights of the best epoch, whole net),
    ``done.json``. A training that was stopped, however, ends with the weights of one that was not.

    :raises StudyError: the training diverges, or its folder is damaged.
    """
    done = read_done(folder, settings, arm)
    if done is not None:
        return done
    folder = RunFolder(folder.root.resolve())
    body = settings.base.body()
    schedule = write_arm(folder, app, settings, body, arm)
    log = folder.arm(arm.name) / "log.txt"
    with working_directory(folder.root), open(log, "a", encoding="utf-8") as file, log_to(file):
        param = _solver_param(folder, settings, body, arm, schedule, device, bars)
        training = _Training(log.parent, Solver(param, device=device), schedule, settings, app, body)
        training.whole_net(settings.base.weights if arm.depth != SCRATCH else None)
        try:
            return training.run(watch)
        finally:
            for net in (training.solver.net, *training.solver.test_nets):
                net.close()


def _solver_param(
    folder: RunFolder, settings: Settings, body: Body, arm: Arm, schedule: Schedule, device: str, bars: Bars
) -> Any:
    """The solver file, on the head alone where that trains the same; tests and snapshots are left to the study, as
    the ends of epochs are no multiples of one number."""
    place = folder.arm(arm.name).relative_to(folder.root)
    param = read_solver(place / "solver.prototxt")
    param.snapshot, param.snapshot_after_train, param.test_initialization = 0, False, False
    param.test_interval = param.max_iter + 1
    if settings.training.features:
        net = read_net(place / "train_val.prototxt")
        blob = exact_cut(net, body, arm)
        if blob is not None and pays(Net(place / "deploy.prototxt"), blob):
            counts = {"TRAIN": schedule.samples, "TEST": schedule.validation}
            head = write_head(folder, place / "train_val.prototxt", arm, blob, counts, param.weights[0], device, bars)
            param.net = str(head)
            if blob == next(layer.bottom[0] for layer in body.layers if layer.name == body.learnable[-1]):
                param.ClearField("weights")  # the new layer alone is left, of which they have nothing
    return param


@dataclass
class _Training:
    """A solver at work on one arm."""

    folder: Path
    solver: Solver
    schedule: Schedule
    settings: Settings
    app: Application
    body: Body

    def whole_net(self, weights: str | None) -> None:
        """Make the net that is saved: the deploy net, whose layers share the solver's weights where it has them."""
        self.whole = Net(str(self.folder / "deploy.prototxt"), weights, missing="log").to(self.solver.device)
        share_weights(self.solver.net, self.whole, gradients=False)

    def run(self, watch: Watch) -> dict[str, Any]:
        """Epoch after epoch until the last one, or until ``patience`` epochs brought nothing better.

        In every epoch the snapshot comes last: a process that ends in between repeats the epoch, with the same result.
        """
        ends, history = self.schedule.ends, self._resume()
        while not self._over(history):
            row = self._epoch(ends[len(history)], watch)
            row["seconds"] += history[-1]["seconds"] if history else 0.0
            history.append({"epoch": len(history) + 1, **row})
            if _best(history) == len(history):
                self.whole.save(self.folder / "best.caffemodel")
            write_table(self.folder / "history.csv", HISTORY, history)
            self._snapshot()
        done = {
            "digest": self.settings.digest(),
            "epochs": len(history),
            "best_epoch": _best(history),
            "seconds": history[-1]["seconds"],
            "validation_auc": [row["validation_auc"] for row in history],
        }
        write_record(self.folder / "done.json", done)
        self._remove_snapshots()
        return done

    def _over(self, history: list[dict[str, Any]]) -> bool:
        finished = len(history) == self.schedule.epochs
        return finished or (bool(history) and len(history) - _best(history) >= self.settings.training.patience)

    def _epoch(self, end: int, watch: Watch) -> dict[str, float]:
        started, losses = time.monotonic(), []

        def progress(iteration: int, loss: float) -> None:
            losses.append(loss)
            watch(iteration, self.schedule.ends[-1], loss)

        self.solver.progress = progress
        self.solver.step(end - self.solver.iteration)
        loss = float(np.mean(losses))
        auc = self._validation_auc() if math.isfinite(loss) else math.nan
        if not math.isfinite(auc):
            raise StudyError(
                f"The training of {self.folder.name} diverged before iteration {end}: loss {loss:g}.",
                file=self.folder,
                remedy="Choose a smaller --set training.base_lr in a new folder.",
            )
        return {"seconds": time.monotonic() - started, "train_loss": loss, "validation_auc": auc}

    def _validation_auc(self) -> float:
        """The area under the ROC curve of all validation patches, the positive classes merged.

        The data layer goes on where it was: any ``validation`` records in a row are all of them.
        """
        net, output = self.solver.test_nets[0], self.body.output
        scores: list[np.ndarray] = []
        labels: list[np.ndarray] = []
        with torch.no_grad():
            for _ in range(self.schedule.test_iter):
                blobs, _ = net.run(zero_inputs(net), keep=[output, "label"])
                scores.append(torch.softmax(blobs[output].flatten(1).double(), 1).cpu().numpy())
                labels.append(blobs["label"].flatten().cpu().numpy().astype(int))
        count = self.schedule.validation
        probabilities = np.concatenate(scores)[:count][:, list(self.app.positive)].sum(1)
        positive = np.isin(np.concatenate(labels)[:count], self.app.positive)
        return float(roc_auc_score(positive, probabilities)) if np.isfinite(probabilities).all() else math.nan

    # -- what a former process left -----------------------------------------------------------------------------------

    def _resume(self) -> list[dict[str, Any]]:
        """Restore the last snapshot; the history up to there."""
        states = {int(path.stem.rpartition("_")[2]): path for path in self.folder.glob("snapshot_iter_*.solverstate")}
        if not states:
            return []
        last = max(states)
        table = self.folder / "history.csv"
        rows = read_table(table, HISTORY) if table.exists() else []
        try:
            epoch = self.schedule.ends.index(last) + 1
            history = [{key: (int if key == "epoch" else float)(row[key]) for key in HISTORY} for row in rows[:epoch]]
        except ValueError:
            history, epoch = [], 1
        best = (self.folder / "best.caffemodel").is_file()
        if [row["epoch"] for row in history] != list(range(1, epoch + 1)) or not best:
            raise StudyError(
                f"The snapshot of iteration {last} does not fit history.csv and best.caffemodel.",
                file=self.folder,
                remedy="Remove this folder to train the arm anew.",
            )
        if not sidecar_path(states[last]).is_file():
            raise StudyError("Its .json is missing: no exact resume.", file=states[last], remedy="Remove the folder.")
        self.solver.restore(states[last])
        return history

    def _snapshot(self) -> None:
        former = list(self.folder.glob("snapshot_iter_*"))
        made = {path.stem.rpartition("_")[2] for path in self.solver.snapshot()}
        for path in former:
            if path.name.partition(".")[0].rpartition("_")[2] not in made:
                path.unlink()

    def _remove_snapshots(self) -> None:
        for path in self.folder.glob("snapshot_iter_*"):
            path.unlink()


def _best(history: list[dict[str, Any]]) -> int:
    """The first epoch with the highest AUC."""
    return max(history, key=lambda row: (row["validation_auc"], -row["epoch"]))["epoch"]
