"""The demonstration: the study in small, from images to report, in a folder of its own.

A small net learns coloured shapes, as AlexNet learned ImageNet. Then it is fine-tuned to another task, the interfaces
of the carotid artery in phantoms, to three depths and from scratch, and the study's report compares them. All images
are procedural.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffe_port import resources
from caffe_port.demo.images import SHAPES, write_images, write_sheet
from caffe_port.demo.phantoms import write_phantoms
from caffe_port.errors import CaffeError
from caffe_port.files import working_directory
from caffe_port.log import log_to
from caffe_port.net import Net
from caffe_port.solver import Solver, evaluate
from caffe_port.study.applications import application
from caffe_port.study.base import open_base
from caffe_port.study.prepare import Bars, silent
from caffe_port.study.report import write_report
from caffe_port.study.run import Study
from caffe_port.study.settings import ArmChoice, Data, Settings, Training

#: Told what trains, the iterations that are done, those of all, and the loss of the last one.
Watch = Callable[[str, int, int, float], None]

ABOUT, BASE, PHANTOMS, STUDY = "README.md", "base", "phantoms", "study"
#: In the folder of the base.
NET, SOLVER, LOG, SHEET, WEIGHTS = (
    "train_val.prototxt", "solver.prototxt", "train.log", "images.png", "shapes_iter_400.caffemodel",
)  # fmt: skip
#: The databases and their numbers of images; those of a test batch.
SHAPE_IMAGES = {"shapes_train_lmdb": 6000, "shapes_test_lmdb": 1000}
TEST_BATCH = 100
#: Exams of phantoms, images of each.
EXAMS, IMAGES = 16, 2
#: Three depths of fine-tuning and training from scratch.
ARMS = ("conv1-ip", "conv3-ip", "ip", "scratch")
TRAINING = Training(base_lr=0.01, batch_size=64, epochs=8, patience=8, validation=0.25)
APP = {"patches_per_interface": 24, "calliper_px": 0.0}
SEED = 1
#: How the README of a demo begins.
_HEADING = b"# caffe-port demo"


@dataclass(frozen=True)
class DemoResult:
    """What came out.

    :param report: the page.
    :param accuracy: of the base on shapes that it has not seen, 0 to 1.
    :param metrics: the content of the study's metrics.json.
    """

    folder: Path
    report: Path
    accuracy: float
    metrics: Mapping[str, Any]


def run_demo(
    folder: str | Path,
    announce: Callable[[str], None] = lambda text: None,
    watch: Watch = lambda what, done, total, loss: None,
    bars: Bars = silent,
) -> DemoResult:
    """Train the base on shapes, then carry out the study on phantoms; everything lands in ``folder``.

    A former demo in ``folder`` is made anew; other files there are left alone.

    :param announce: told, in a sentence, what begins.
    :raises CaffeError: ``folder`` is a file, or holds something other than a former demo.
    """
    folder = Path(folder).resolve()
    _prepare(folder)
    announce(f"Drawing {sum(SHAPE_IMAGES.values()):,} images of {len(SHAPES)} shapes.")
    with working_directory(folder / BASE):
        for name, count in SHAPE_IMAGES.items():
            write_images(name, count)
        write_sheet(SHEET)
        announce("Training a net on them: the base that is fine-tuned afterwards.")
        accuracy = _train_base(watch)
    announce(f"Making {EXAMS * IMAGES} phantoms of a carotid artery.")
    write_phantoms(folder / PHANTOMS, EXAMS, IMAGES, SEED)
    announce(f"The study on them: {', '.join(ARMS)}.")
    study = Study.open(folder / STUDY, study_settings(folder), bars=bars, watch=watch)
    study.prepare()
    study.train()
    metrics = study.evaluate()
    return DemoResult(folder, write_report(folder / STUDY), accuracy, metrics)


def study_settings(folder: Path) -> Settings:
    """The study's settings for a demo in ``folder``, whose base is trained."""
    base = open_base(str(folder / BASE / NET), str(folder / BASE / WEIGHTS))
    app = application("interfaces")
    return Settings(
        app.name, SEED, Data(str(folder / PHANTOMS), dataset="cyprus"), base, ArmChoice(ARMS, app.reduce_by),
        TRAINING, {**app.defaults, **APP},
    )  # fmt: skip


def _prepare(folder: Path) -> None:
    """Make ``folder`` with the base's prototxt files, without what a former demo made."""
    if folder.exists() and not folder.is_dir():
        raise CaffeError("is a file; the demo needs a folder.", remedy="Choose another one.", file=folder)
    if folder.is_dir() and any(folder.iterdir()) and not _is_demo(folder):
        raise CaffeError(
            "The folder is not empty and holds no former demo.", remedy="Choose a new or an empty one.", file=folder
        )
    for room in (BASE, PHANTOMS, STUDY):
        shutil.rmtree(folder / room, ignore_errors=True)
    (folder / BASE).mkdir(parents=True)
    shutil.copyfile(resources.prototxt(f"demo/{ABOUT}"), folder / ABOUT)
    for name in (NET, SOLVER):
        shutil.copyfile(resources.prototxt(f"demo/{name}"), folder / BASE / name)


def _is_demo(folder: Path) -> bool:
    about = folder / ABOUT
    return about.is_file() and about.read_bytes().startswith(_HEADING)


def _train_base(watch: Watch) -> float:
    """Train by the solver file in the working directory; the accuracy on the test images, as ``caffe-port test``."""
    with open(LOG, "w", encoding="utf-8") as file, log_to(file):
        solver = Solver(SOLVER)
        total = solver.param.max_iter
        solver.progress = lambda iteration, loss: watch("the base", iteration, total, loss)
        solver.solve()
    result = evaluate(Net(NET, WEIGHTS), SHAPE_IMAGES["shapes_test_lmdb"] // TEST_BATCH)
    return float(result.means["accuracy"][0])
