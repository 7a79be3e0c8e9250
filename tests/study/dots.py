"""A tiny detection on procedural frames: bright dots are lesions, rings are not. No result of it means anything."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from caffe_port.study.cases import Candidate, Case, Patch
from caffe_port.study.detection import detection_metrics, rows_of, score_candidates

SIDE, SIZE = 60, 12
_FIRST, _SECOND = (15, 15), (40, 35)


def _frame(marks: dict[tuple[int, int], bool], seed: int) -> np.ndarray:
    """Marks at (x, y): True a dot, False a ring."""
    image = np.random.default_rng(seed).normal(90, 20, (SIDE, SIDE))
    for (x, y), dot in marks.items():
        cv2.circle(image, (x, y), 4, 200, -1 if dot else 1)
    return np.clip(image, 0, 255).astype(np.uint8)


def write_frames(folder: Path, patients: int = 8, frames: int = 4) -> Path:
    """Half of the patients have a lesion: a dot in every frame but the last; every frame has a ring."""
    folder.mkdir(parents=True)
    for patient in range(patients):
        for frame in range(frames):
            marks = {_SECOND: False}
            if patient % 2 and frame < frames - 1:
                marks[_FIRST] = True
            cv2.imwrite(str(folder / f"p{patient}_{frame}.png"), _frame(marks, 100 * patient + frame))
    return folder


def load(folder: Path) -> list[Case]:
    cases = []
    for path in sorted(folder.glob("*.png")):
        patient, frame = path.stem.split("_")
        ill = int(patient[1:]) % 2 and int(frame) < 3
        cases.append(Case(path.stem, patient, info={"path": str(path)}, lesions=(f"{patient}/1",) if ill else ()))
    return cases


class Dots:
    """Candidates are the places of both marks, in every frame, whether there is one or not."""

    name = "dots"
    classes = 2
    class_names = ("no dot", "dot")
    positive = (1,)
    reduce_by = "lesion"
    padding = True
    mean: tuple[float, ...] = ()
    training: Mapping[str, Any] = {}
    datasets = {"dots": load}
    defaults: Mapping[str, Any] = {"copies": 3}
    unit = "frame"
    operating_points = (0.25, 1.0)

    def __init__(self) -> None:
        self.learned_from: list[str] = []
        self.calls = 0

    def detect(self, data: Path) -> str:
        return "dots"

    def candidates(self, train, cases, settings, progress):
        self.learned_from = [case.id for case in train]
        self.calls += 1
        found = {}
        for case in cases:
            first = Candidate("x=15,y=15", 0.25, case.lesions[0] if case.lesions else "", {"at": list(_FIRST)})
            found[case.id] = [first, Candidate("x=40,y=35", 0.75, "", {"at": list(_SECOND)})]
        return found

    def patches(self, cases, settings, seed, progress):
        for case in cases:
            for candidate in case.candidates:
                for _ in range(settings.app["copies"]):
                    image = lambda case=case, candidate=candidate: _cut(case, candidate)  # noqa: E731
                    yield Patch(image, int(bool(candidate.lesion)), case.id, case.patient, candidate.id)

    def score(self, net, cases, settings, progress):
        return score_candidates(net, cases, lambda case: ([_cut(case, c)] for c in case.candidates), settings, progress)

    def handcrafted(self, train, test, settings, progress):
        return rows_of(test, [c.score for case in test for c in case.candidates])

    def metrics(self, rows, cases, settings):
        return detection_metrics(rows, cases, self.operating_points)

    def pictures(self, net, cases, settings, folder):
        return []


def _cut(case: Case, candidate: Candidate) -> np.ndarray:
    x, y = candidate.info["at"]
    image = cv2.imread(case.info["path"], cv2.IMREAD_GRAYSCALE)
    return image[y - SIZE // 2 : y + SIZE // 2, x - SIZE // 2 : x + SIZE // 2]


APPLICATION = Dots()
