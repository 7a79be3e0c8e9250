"""A run from its settings: the stages one after the other, each of which skips what is done."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffe_port.errors import CaffeError, CaffeWarning, StudyError
from caffe_port.net import Net
from caffe_port.study.applications import APPLICATIONS, application
from caffe_port.study.arms import SCRATCH, Arm, deploy
from caffe_port.study.base import Base
from caffe_port.study.body import Body
from caffe_port.study.cases import Application
from caffe_port.study.evaluate import read_measures, score_handcrafted, write_metrics
from caffe_port.study.folder import RunFolder
from caffe_port.study.jobs import Job, run_jobs
from caffe_port.study.prepare import Bars, prepare, read_prepared, silent
from caffe_port.study.settings import Settings, read_settings, versions
from caffe_port.study.train import read_done


@dataclass
class Study:
    """A run folder at work. ``arms`` are those to work on, of all that the settings name.

    :param workers: processes side by side, or tasks of the Ray cluster at ``ray``.
    :param new: whether this is the process that has begun the run.
    """

    folder: RunFolder
    app: Application
    settings: Settings
    arms: Sequence[Arm]
    device: str = "cpu"
    workers: int = 1
    ray: str | None = None
    bars: Bars = silent
    watch: Callable[[str, int, int, float], None] = lambda arm, done, total, loss: None
    new: bool = False

    @classmethod
    def open(cls, root: str | Path, settings: Settings, names: Sequence[str] = (), **how: Any) -> Study:
        """Begin or go on with the run in the folder ``root``.

        :param names: arms of the settings to work on; none: all.
        :param how: as the class.
        :raises StudyError: the folder has a run of other settings (it says which), is in use for something else, or
            the settings name no such arm.
        """
        folder = RunFolder(root)
        app = application(settings.application)
        new = not folder.settings.exists()
        if not new:
            check_same(folder.settings, read_settings(folder.settings, app), settings)
        else:
            _check_apart(folder.root, settings)
            if folder.root.exists() and (not folder.root.is_dir() or any(folder.root.iterdir())):
                raise StudyError("is not empty and holds no study.", file=root, remedy="Choose a new folder as --out.")
        body = settings.base.body()
        arms = [Arm.parse(name, body) for name in settings.arms.list]
        chosen = [arm for arm in arms if not names or arm.name in names]
        if new:
            _check_scores(settings.base, body, app.classes)
            if any(arm.depth != SCRATCH for arm in arms):
                settings.base.check_weights()
            folder.root.mkdir(parents=True, exist_ok=True)
            settings.write(folder.settings)
        return cls(folder, app, settings, chosen, new=new, **how)

    def prepare(self) -> None:
        """Split the data and store patches. A new run that cannot even do that leaves nothing behind."""
        with self.folder.locked():
            self.folder.clear_unfinished()
            try:
                prepare(self.folder, self.app, self.settings, self.arms, self.bars)
            except CaffeError:
                if self.new and not any(read_prepared(self.folder, self.settings, arm.subset) for arm in self.arms):
                    self.folder.forget()
                raise

    def train(self) -> dict[str, dict[str, Any]]:
        """Train every arm; what each says of itself (see :data:`caffe_port.study.train.DONE`)."""
        if any(arm.depth != SCRATCH for arm in self.arms):
            self.settings.base.check_weights()
        done = {arm: read_done(self.folder, self.settings, arm) for arm in self.arms}
        with self.folder.locked():
            self._run("train", [arm for arm in self.arms if done[arm] is None])
        return {arm.name: done[arm] or read_done(self.folder, self.settings, arm) or {} for arm in self.arms}

    def evaluate(self) -> dict[str, Any]:
        """Test every arm and the handcrafted competitor; the content of ``metrics.json``."""
        with self.folder.locked():
            score_handcrafted(self.folder, self.app, self.settings, self.bars)
            tested = [read_measures(self.folder.arm(arm.name), self.settings) is not None for arm in self.arms]
            self._run("evaluate", [arm for arm, done in zip(self.arms, tested) if not done])
            body = self.settings.base.body()
            every = [Arm.parse(name, body) for name in self.settings.arms.list]
            return write_metrics(self.folder, self.app, self.settings, every)

    def _run(self, stage: str, arms: Sequence[Arm]) -> None:
        name = self.settings.application
        root, module = str(self.folder.root.resolve()), APPLICATIONS[name]
        jobs = [Job(root, name, module, stage, arm.name, self.device) for arm in arms]
        run_jobs(jobs, workers=self.workers, ray=self.ray, watch=self.watch, bars=self.bars)


def _check_apart(root: Path, settings: Settings) -> None:
    """Refuse a folder among the images: the next look at the data would find it there.

    :raises StudyError: it is.
    """
    for data in filter(None, (settings.data.train, settings.data.test)):
        if root.resolve().is_relative_to(Path(data).resolve()):
            raise StudyError(f"lies within the data, {data}.", file=root, remedy="Choose a folder elsewhere as --out.")


def _check_scores(base: Base, body: Body, classes: int) -> None:
    """Refuse a base that does not give one score per class for an image of its size."""
    shape = Net(deploy(body, classes, (1, base.channels, *base.size))).blob_shapes["prob"]
    if math.prod(shape) != classes:
        height, width = base.size
        raise StudyError(
            f"gives scores of shape {tuple(shape)} for an image of {height} x {width} pixels, not one for each class.",
            file=base.net,
            remedy="A net that classifies whole images is wanted; where it only needs another input, give --size.",
        )


def check_same(path: Path, former: Settings, settings: Settings) -> None:
    """Refuse settings other than those of the run; other software gets a warning.

    :raises StudyError: names the first setting that differs.
    """
    there, here = former.flat(), settings.flat()
    for name in dict.fromkeys([*there, *here]):
        if not name.startswith("versions.") and there.get(name) != here.get(name):
            raise StudyError(
                f"This run has {name} = {there.get(name)!r}, not {here.get(name)!r}.",
                file=path,
                remedy="Leave the flag out to go on with this run, or choose a new folder as --out.",
            )
    now = versions()
    for name, version in former.versions.items():
        if now.get(name) != version:
            text = f"{path}: this run began with {name} {version}; it goes on with {now.get(name)}."
            warnings.warn(text, CaffeWarning, stacklevel=3)
