"""Polyp detection (section VI-A): candidates of a handcrafted detector, and nets that classify them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.errors import StudyError
from caffe_port.files import atomic_write
from caffe_port.net import Net
from caffe_port.study.cases import Candidate, Case, Patch, Progress, Row
from caffe_port.study.detection import detection_metrics, rows_of, score_candidates
from caffe_port.study.polyps import loaders
from caffe_port.study.polyps.detector import find_candidates
from caffe_port.study.polyps.patches import SYMMETRIES, patches_of, symmetries
from caffe_port.study.polyps.pictures import sheet, telling
from caffe_port.study.polyps.working import read_frame
from caffe_port.study.settings import Settings


class PolypDetection:
    """The :class:`~caffe_port.study.cases.Detection` of section VI-A; README.md tells its settings."""

    name = "polyps"
    classes = 2
    class_names = ("no polyp", "polyp")
    positive = (1,)
    reduce_by = "patient"
    padding = True
    mean = (97.0,)  # of ten images of Kvasir-SEG
    training: Mapping[str, Any] = {"patches": 100_000}
    datasets: Mapping[str, Callable[[Path], list[Case]]] = loaders.DATASETS
    unit = "frame"
    operating_points = (0.001, 0.01)
    defaults: Mapping[str, Any] = {
        # candidate detector
        "width": 320,
        "edge_pixels": 3000,
        "boundary_pixels": 60_000,
        "trees": 40,
        "candidates": 6,
        # patches
        "scales": [1.0, 1.2, 1.5],
        "shift": 0.1,
        "augment_test": True,
    }

    def detect(self, data: Path) -> str:
        """The layout of the folder ``data``: see :func:`caffe_port.study.polyps.loaders.detect`."""
        return loaders.detect(data)

    def candidates(
        self, train: Sequence[Case], cases: Sequence[Case], settings: Settings, progress: Progress
    ) -> dict[str, list[Candidate]]:
        """See :func:`caffe_port.study.polyps.detector.find_candidates`."""
        _check(settings)
        return find_candidates(train, cases, settings.app, settings.seed, progress)

    def patches(self, cases: Sequence[Case], settings: Settings, seed: int, progress: Progress) -> Iterator[Patch]:
        """All patches of all candidates; those of a candidate that hits a polyp are positive. Nothing is drawn."""
        _check(settings)
        for done, case in enumerate(cases, 1):
            for candidate, images in _images(case, settings):
                for image in images:
                    yield Patch(image, int(bool(candidate.lesion)), case.id, case.patient, candidate.id)
            progress(done, len(cases))

    def score(self, net: Net, cases: Sequence[Case], settings: Settings, progress: Progress) -> list[Row]:
        """The probability of every candidate: the mean over its patches, or with ``augment_test`` off that of the
        first alone."""
        _check(settings)
        patches = partial(_test_patches, settings=settings)
        augment = {"augment": symmetries} if settings.app["augment_test"] else {}
        return score_candidates(net, cases, patches, settings, progress, **augment)

    def handcrafted(
        self, train: Sequence[Case], test: Sequence[Case], settings: Settings, progress: Progress
    ) -> list[Row]:
        """The probabilities that the candidate detector itself gave."""
        progress(len(test), len(test))
        return rows_of(test, [candidate.score for case in test for candidate in case.candidates])

    def metrics(self, rows: Sequence[Row], cases: Sequence[Case], settings: Settings) -> dict[str, Any]:
        """The FROC of polyps against false positives per frame."""
        return detection_metrics(rows, cases, self.operating_points)

    def pictures(self, net: Net, cases: Sequence[Case], settings: Settings, folder: Path) -> list[Path]:
        """One sheet of frames: see :mod:`caffe_port.study.polyps.pictures`."""
        chosen = telling(cases)
        rows = self.score(net, [case for some in chosen.values() for case in some], settings, lambda done, total: None)
        scores = {(str(row["case"]), str(row["candidate"])): float(row["score"]) for row in rows}
        path = folder / "polyps.png"
        with atomic_write(path, StudyError) as file:
            file.write(sheet(chosen, scores))
        return [path]


APPLICATION = PolypDetection()


def _images(case: Case, settings: Settings) -> Iterator[tuple[Candidate, Iterator[Callable[[], np.ndarray]]]]:
    """The candidates of a frame and their patches; the frame is read at most once."""
    frame = cache(partial(read_frame, case))
    for candidate in case.candidates:
        yield candidate, patches_of(frame, candidate.info["box"], settings.app, settings.base.size[0])


def _test_patches(case: Case, settings: Settings) -> Iterator[list[np.ndarray]]:
    """Of each candidate one patch per square, before the symmetries; or the first alone."""
    for _, images in _images(case, settings):
        yield [image() for image in islice(images, 0, None if settings.app["augment_test"] else 1, SYMMETRIES)]


def _check(settings: Settings) -> None:
    """Refuse settings that are out of range.

    :raises StudyError: names the first.
    """
    app = settings.app
    height, width = settings.base.size
    if height != width:
        raise StudyError(f"base.size is {height} x {width}; patches are square, for their symmetries.")
    allowed = {
        "width": 64 <= app["width"] <= 2048,
        "scales": bool(app["scales"]) and all(type(x) in (int, float) and 0 < x <= 4 for x in app["scales"]),
        "shift": 0 <= app["shift"] <= 1,
        "trees": 0 < app["trees"] <= 10_000,
        "candidates": app["candidates"] > 0,
        "edge_pixels": 0 < app["edge_pixels"] <= 30_000,
        "boundary_pixels": app["boundary_pixels"] > 1,
    }
    for name in (name for name, fits in allowed.items() if not fits):
        raise StudyError(
            f"app.{name} is {app[name]}: out of range.", remedy=f"Its default is {APPLICATION.defaults[name]}."
        )
