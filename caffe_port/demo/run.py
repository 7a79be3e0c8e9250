"""The demonstration from images to plot: two small trainings in a folder of their own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from caffe_port import resources
from caffe_port.demo.images import OTHER_SHAPES, SHAPES, write_images, write_sheet
from caffe_port.errors import CaffeError
from caffe_port.log import log_to
from caffe_port.logs import plot_log, read_log
from caffe_port.net import Net
from caffe_port.solver import Solver, evaluate

#: What shows the progress of a training: made for a number of iterations, called after each with its loss.
ProgressFactory = Callable[[int], AbstractContextManager[Callable[[int, float], None]]]


@dataclass(frozen=True)
class Task:
    """One of the two trainings. Paths are meant from the demo's folder; ``train`` and ``test`` count images."""

    name: str
    title: str
    shapes: tuple[str, ...]
    train: int
    test: int
    net: str
    solver: str
    log: str
    weights: str
    start: str | None = None

    #: Images per test batch in both nets.
    BATCH = 100

    @property
    def databases(self) -> dict[str, int]:
        """The databases and their numbers of images."""
        return {f"{self.name}_train_lmdb": self.train, f"{self.name}_test_lmdb": self.test}

    @property
    def test_iterations(self) -> int:
        """Batches that make one pass over the test images."""
        return self.test // self.BATCH

    @property
    def chance(self) -> float:
        """Accuracy of guessing."""
        return 1 / len(self.shapes)


TASK = Task(
    name="shapes",
    title="From scratch",
    shapes=SHAPES,
    train=8000,
    test=1000,
    net="train_val.prototxt",
    solver="solver.prototxt",
    log="train.log",
    weights="shapes_iter_600.caffemodel",
)
FINETUNE = Task(
    name="other_shapes",
    title="Fine-tuned",
    shapes=OTHER_SHAPES,
    train=800,
    test=1000,
    net="finetune_train_val.prototxt",
    solver="finetune_solver.prototxt",
    log="finetune.log",
    weights="other_shapes_iter_200.caffemodel",
    start=TASK.weights,
)
PLOT, SHEET, ABOUT = "plot.png", "images.png", "README.md"
#: How the README of a demo begins.
_HEADING = b"# caffe-port demo"


@dataclass(frozen=True)
class DemoResult:
    """Where everything is, and the two test accuracies (0 to 1)."""

    folder: Path
    accuracy: float
    finetuned_accuracy: float


def run_demo(
    folder: str | Path,
    announce: Callable[[str], None] = lambda text: None,
    progress: ProgressFactory = lambda total: nullcontext(lambda iteration, loss: None),
) -> DemoResult:
    """Make the images, train, fine-tune, test both nets and plot; everything lands in ``folder``.

    The working directory is ``folder`` meanwhile, because the databases are named relative to it as Caffe's users do.
    A former demo in ``folder`` is made anew; other files there are left alone.

    :param announce: told, in a sentence, what begins.
    :raises CaffeError: ``folder`` is a file, or holds something other than a former demo.
    """
    folder = Path(folder)
    _prepare(folder)
    tasks = (TASK, FINETUNE)
    with _working_directory(folder):
        for task in tasks:
            announce(f"Drawing {task.train + task.test:,} images, labelled {', '.join(task.shapes)}.")
            for path, count in task.databases.items():
                write_images(path, task.shapes, count)
        write_sheet(SHEET, TASK.shapes + FINETUNE.shapes)
        for task in tasks:
            start = f", starting from {task.start}" if task.start else ""
            announce(f"Training by {task.solver} on {task.train:,} images{start}.")
            _train(task, progress)
        announce("Testing both nets and plotting both logs.")
        accuracies = [_accuracy(task) for task in tasks]
        titles = [f"{task.title}: {len(task.shapes)} shapes, {task.train:,} images" for task in tasks]
        plot_log([read_log(task.log) for task in tasks], PLOT, titles)
    return DemoResult(folder, *accuracies)


def _prepare(folder: Path) -> None:
    """Make ``folder`` with the prototxt files, without the databases of a former demo."""
    if folder.exists() and not folder.is_dir():
        raise CaffeError("is a file; the demo needs a folder.", remedy="Choose another one.", file=folder)
    if folder.is_dir() and any(folder.iterdir()) and not _is_demo(folder):
        raise CaffeError(
            "The folder is not empty and holds no former demo.", remedy="Choose a new or an empty one.", file=folder
        )
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(resources.prototxt(f"demo/{ABOUT}"), folder / ABOUT)
    for task in (TASK, FINETUNE):
        for name in (task.net, task.solver):
            shutil.copyfile(resources.prototxt(f"demo/{name}"), folder / name)
        for path in task.databases:
            shutil.rmtree(folder / path, ignore_errors=True)


def _is_demo(folder: Path) -> bool:
    about = folder / ABOUT
    return about.is_file() and about.read_bytes().startswith(_HEADING)


@contextmanager
def _working_directory(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _train(task: Task, progress: ProgressFactory) -> None:
    with open(task.log, "w", encoding="utf-8") as file, log_to(file):
        solver = Solver(task.solver)
        if task.start:
            solver.load_weights(task.start)
        with progress(solver.param.max_iter) as solver.progress:
            solver.solve()


def _accuracy(task: Task) -> float:
    """What ``caffe-port test`` would say of the snapshot."""
    result = evaluate(Net(task.net, task.weights), task.test_iterations)
    return float(result.means["accuracy"][0])
