"""Frame classification (section VI-C): is a frame informative or not?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from caffe_port.errors import DataError
from caffe_port.files import atomic_write
from caffe_port.net import Net
from caffe_port.study.apply import class_probabilities
from caffe_port.study.cases import Case, Patch, Progress, Row
from caffe_port.study.frames import handcrafted, loaders, subimages
from caffe_port.study.frames.layouts import LABELS
from caffe_port.study.settings import Settings
from caffe_port.study.statistics.roc import FPR, auc, tpr_at_fpr

_COLUMNS, _ROWS = 4, 3


class FrameClassification:
    """The :class:`~caffe_port.study.cases.Application` of section VI-C.

    Its settings: ``frame_width`` and ``frame_height`` that every frame is brought to; ``sub_image`` the side of a
    sub-image, which the base then resizes to its own input where that is another size; ``sub_images`` how many per
    frame; ``mask_overlay`` whether the scope's position is blackened where the data set shows it.

    The paper's numbers do not agree with each other: 200 sub-images of each of about 2,000 frames are 400,000, not
    "approximately 40,000". ``sub_images = 20`` gives its 40,000; 200 of 2,000 frames make a training set of 60 GB.
    """

    name = "frames"
    classes = 2
    class_names = LABELS
    positive = (1,)
    reduce_by = "case"
    padding = True
    mean = (97.0,)  # of ten images of Kvasir-SEG
    training: Mapping[str, Any] = {}
    datasets: Mapping[str, Callable[[Path], list[Case]]] = loaders.DATASETS
    defaults: Mapping[str, Any] = {
        "frame_width": 500,
        "frame_height": 350,
        "sub_image": 227,
        "sub_images": 200,
        "mask_overlay": True,
    }

    def detect(self, data: Path) -> str:
        """The layout of the folder ``data``: see :func:`caffe_port.study.frames.loaders.detect`."""
        return loaders.detect(data)

    def patches(self, cases: Sequence[Case], settings: Settings, seed: int, progress: Progress) -> Iterator[Patch]:
        """The sub-images of every frame, each with the frame's label."""
        for done, case in enumerate(cases, 1):
            if case.label is None:
                raise DataError(f"Frame {case.id} has no label.", file=case.info["path"])
            for place, image in _sub_images(case, settings, seed):
                yield Patch(image, case.label, case.id, case.patient, place)
            progress(done, len(cases))

    def score(self, net: Net, cases: Sequence[Case], settings: Settings, progress: Progress) -> list[Row]:
        """The probability of being informative of every frame: the mean over its sub-images."""
        rows = []
        for done, case in enumerate(cases, 1):
            rows.append(_row(case, _probability(net, case, settings)))
            progress(done, len(cases))
        return rows

    def handcrafted(
        self, train: Sequence[Case], test: Sequence[Case], settings: Settings, progress: Progress
    ) -> list[Row]:
        """What the competitor of :mod:`caffe_port.study.frames.handcrafted` gives, on frames of the same size."""
        vectors = []
        for done, case in enumerate([*train, *test], 1):
            vectors.append(handcrafted.features(_frame(case, settings)))
            progress(done, len(train) + len(test))
        labels = np.array([case.label for case in train])
        forest = handcrafted.fit(np.array(vectors[: len(train)]), labels, settings.seed)
        scores = forest.predict_proba(np.array(vectors[len(train) :]))[:, list(forest.classes_).index(1)]
        return [_row(case, float(score)) for case, score in zip(test, scores, strict=True)]

    def metrics(self, rows: Sequence[Row], cases: Sequence[Case], settings: Settings) -> dict[str, Any]:
        """AUC by frame with DeLong's interval, and TPR at the paper's false positive rates.

        Frames count as independent, as in the paper. Those of one video are not quite: with few videos the intervals
        are too narrow for what another video would give.

        :raises StatisticsError: a class has fewer than two test frames.
        """
        scores, labels = [float(row["score"]) for row in rows], [int(row["label"]) for row in rows]
        area = auc(scores, labels)
        rates = zip(FPR, tpr_at_fpr(scores, labels), strict=True)
        return {
            "auc": area.estimate,
            "auc_ci95": [area.low, area.high],
            "tpr_at_fpr": {f"{fpr:g}": {"tpr": tpr.estimate, "ci95": [tpr.low, tpr.high]} for fpr, tpr in rates},
        }

    def pictures(self, net: Net, cases: Sequence[Case], settings: Settings, folder: Path) -> list[Path]:
        """One sheet of frames, by what ``net`` says of them: see :func:`_sheet`."""
        some = [cases[i] for i in np.unique(np.linspace(0, len(cases) - 1, _COLUMNS * _ROWS).astype(int))]
        path = folder / "frames.png"
        with atomic_write(path, DataError) as file:
            file.write(_sheet([(_probability(net, case, settings), case) for case in some], settings))
        return [path]


APPLICATION = FrameClassification()


def _frame(case: Case, settings: Settings) -> np.ndarray:
    app = settings.app
    return subimages.read_frame(case, (app["frame_width"], app["frame_height"]), app["mask_overlay"])


def _sub_images(case: Case, settings: Settings, seed: int) -> Iterator[tuple[str, np.ndarray]]:
    """The places and the pixels of a frame's sub-images."""
    app = settings.app
    size, side = (app["frame_width"], app["frame_height"]), app["sub_image"]
    at = subimages.places(case, app["sub_images"], size, side, seed)
    for (left, top), image in zip(at.tolist(), subimages.cut(_frame(case, settings), at, side), strict=True):
        yield f"x={left},y={top}", image


def _probability(net: Net, case: Case, settings: Settings) -> float:
    images = (image for _, image in _sub_images(case, settings, settings.seed))
    return float(class_probabilities(net, images, settings.base)[:, 1].mean())


def _row(case: Case, score: float) -> Row:
    return {"case": case.id, "patient": case.patient, "label": str(case.label), "score": score}


def _sheet(scored: Sequence[tuple[float, Case]], settings: Settings) -> bytes:
    """A PNG of frames from the least to the most likely informative, row by row; the frame around each is green where
    the expert calls it informative and red where not."""
    tiles = []
    for score, case in sorted(scored, key=lambda item: (item[0], item[1].id)):
        width = 200
        height = round(width * settings.app["frame_height"] / settings.app["frame_width"])
        tile = cv2.resize(_frame(case, settings), (width, height), interpolation=cv2.INTER_AREA)
        for colour, thickness in ((0, 0, 0), 3), ((255, 255, 255), 1):
            cv2.putText(tile, f"{score:.2f}", (8, 18), cv2.FONT_HERSHEY_SIMPLEX, 0.5, colour, thickness, cv2.LINE_AA)
        border = (80, 180, 60) if case.label == 1 else (60, 60, 220)
        tiles.append(cv2.copyMakeBorder(tile, 5, 5, 5, 5, cv2.BORDER_CONSTANT, value=border))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % _COLUMNS)
    rows = [np.concatenate(tiles[start : start + _COLUMNS], axis=1) for start in range(0, len(tiles), _COLUMNS)]
    return cv2.imencode(".png", np.concatenate(rows))[1].tobytes()
