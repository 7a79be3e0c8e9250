"""Pulmonary embolism detection (section VI-B): does a candidate in a CT angiography hit an embolus or not?"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.errors import StudyError
from caffe_port.files import atomic_write
from caffe_port.net import Net
from caffe_port.study.cases import Candidate, Case, Patch, Progress, Row
from caffe_port.study.detection import detection_metrics, rows_of, score_candidates
from caffe_port.study.embolism import candidates, handcrafted, loaders
from caffe_port.study.embolism.pictures import Column, sheet
from caffe_port.study.embolism.planes import REPRESENTATIONS, Resampler, variations
from caffe_port.study.embolism.vessels import Orientations, orientations
from caffe_port.study.embolism.volumes import WINDOW, Volume, load_volume
from caffe_port.study.settings import Settings

#: So many candidates that hit an embolus, and as many that do not, are pictured; width in mm and pixels of a plane.
_PICTURED, _WIDTH, _SIDE = 6, 20.0, 96
#: No setting in HU is farther from 0.
_FAR = 5000


class EmbolismDetection:
    """The :class:`~caffe_port.study.cases.Detection` of section VI-B; README.md tells its settings."""

    name = "embolism"
    classes = 2
    class_names = ("no embolus", "embolus")
    positive = (1,)
    reduce_by = "lesion"
    padding = True
    mean = (142.0,)  # of patches of candidates in a CT with contrast, in the default window
    training: Mapping[str, Any] = {"patches": 81_000}
    unit = "volume"
    operating_points = (1.0, 2.0, 3.0, 4.0, 5.0)
    datasets: Mapping[str, Callable[[Path], list[Case]]] = loaders.DATASETS
    defaults: Mapping[str, Any] = {
        **candidates.DEFAULTS,
        # the vessel's axis
        "axis_sigmas_mm": [2.0, 3.0, 4.5, 6.0],
        "axis_window_hu": [-250.0, 150.0],
        # patches
        "representation": "vessel",
        "patch_px": 64,
        "widths_mm": [10.0, 15.0, 20.0],
        "shifts": [-0.2, 0.0, 0.2],
        "rotations": 6,
        "window_hu": [float(bound) for bound in WINDOW],
    }

    def detect(self, data: Path) -> str:
        """The layout of the folder ``data``: see :func:`caffe_port.study.embolism.loaders.detect`."""
        return loaders.detect(data)

    def candidates(
        self, train: Sequence[Case], cases: Sequence[Case], settings: Settings, progress: Progress
    ) -> dict[str, list[Candidate]]:
        """What tobogganing finds in every case; it learns nothing from ``train``."""
        _check(settings.app)
        found = {}
        for done, case in enumerate(cases, 1):
            found[case.id] = candidates.find_candidates(case, settings.app)
            progress(done, len(cases))
        return found

    def patches(self, cases: Sequence[Case], settings: Settings, seed: int, progress: Progress) -> Iterator[Patch]:
        """The patches of every candidate in all variations. Volumes are read, and a candidate's patches cut, when the
        first of these is asked for."""
        _check(settings.app)
        resampler = Resampler(settings.app["spacing_mm"], settings.app)
        count = len(variations(settings.app))
        for done, case in enumerate(cases, 1):
            cutter = _Cutter(case, settings, resampler)
            for place, candidate in enumerate(case.candidates):
                for number in range(count):
                    image = partial(cutter.patch, place, number)
                    yield Patch(image, int(bool(candidate.lesion)), case.id, case.patient, candidate.id)
            progress(done, len(cases))

    def score(self, net: Net, cases: Sequence[Case], settings: Settings, progress: Progress) -> list[Row]:
        """The probability that a candidate hits an embolus: the mean over its patches in all variations."""
        _check(settings.app)
        resampler = Resampler(settings.app["spacing_mm"], settings.app, net.device)

        def patches_of(case: Case) -> Iterator[list[np.ndarray]]:
            return map(list, _cut(case, settings, resampler))

        return score_candidates(net, cases, patches_of, settings, progress)

    def handcrafted(
        self, train: Sequence[Case], test: Sequence[Case], settings: Settings, progress: Progress
    ) -> list[Row]:
        """What the competitor of :mod:`caffe_port.study.embolism.handcrafted` gives."""
        _check(settings.app)
        vectors = []
        for done, case in enumerate([*train, *test], 1):
            if case.candidates:
                volume, found = _oriented(case, settings)
                vectors.append(handcrafted.features(volume.hu, volume.spacing, case.candidates, found, settings.app))
            progress(done, len(train) + len(test))
        bags = [candidate.lesion for case in train for candidate in case.candidates]
        every = np.concatenate(vectors)
        forest = handcrafted.fit(every[: len(bags)], bags, settings.seed)
        return rows_of(test, forest.predict_proba(every)[len(bags) :, 1].tolist())

    def metrics(self, rows: Sequence[Row], cases: Sequence[Case], settings: Settings) -> dict[str, Any]:
        """FROC: sensitivity per embolus (several candidates may hit one) against false positives per volume."""
        return detection_metrics(rows, cases, self.operating_points)

    def pictures(self, net: Net, cases: Sequence[Case], settings: Settings, folder: Path) -> list[Path]:
        """Some candidates as in Fig. 3, both representations, by what ``net`` says of them."""
        some = _some_candidates(cases)
        if not some:
            return []
        scores = [float(row["score"]) for row in self.score(net, some, settings, lambda done, total: None)]
        planes = [shown for case in some for shown in _all_planes(case, settings)]
        hits = [bool(candidate.lesion) for case in some for candidate in case.candidates]
        order = np.argsort(scores, kind="stable")
        path = folder / "candidates.png"
        with atomic_write(path, StudyError) as file:
            columns = [Column(planes[i], f"{scores[i]:.2f}", hits[i]) for i in order]
            file.write(sheet(columns, _WIDTH, "the net's probability of an embolus"))
        return [path]


APPLICATION = EmbolismDetection()


class _Cutter:
    """Cuts the patches of a case's candidates. It holds those of one candidate, and no volume."""

    def __init__(self, case: Case, settings: Settings, resampler: Resampler) -> None:
        self._case, self._settings, self._resampler = case, settings, resampler
        self._place, self._patches = -1, np.zeros(0)

    def patch(self, place: int, number: int) -> np.ndarray:
        """A variation of a candidate, by their numbers."""
        if place != self._place:
            one = replace(self._case, candidates=self._case.candidates[place : place + 1])
            (self._patches,) = _cut(one, self._settings, self._resampler)
            self._place = place
        patch: np.ndarray = self._patches[number]
        return patch


def _oriented(case: Case, settings: Settings) -> tuple[Volume, Orientations]:
    """The volume of a case, and the vessels' directions at its candidates."""
    app = settings.app
    volume = load_volume(case, app["spacing_mm"])
    found = orientations(volume.hu, _places(case), volume.spacing, app["axis_sigmas_mm"], tuple(app["axis_window_hu"]))
    return volume, found


def _places(case: Case) -> np.ndarray:
    return np.array([candidate.info["index"] for candidate in case.candidates], int).reshape(-1, 3)


def _cut(case: Case, settings: Settings, resampler: Resampler) -> Iterator[np.ndarray]:
    """The patches of each candidate of a case."""
    if not case.candidates:
        return iter(())
    volume, found = _oriented(case, settings)
    return resampler(volume.hu, _places(case), found.frames)


def _some_candidates(cases: Sequence[Case]) -> list[Case]:
    """Cases with those of their candidates that are pictured, spread over all."""
    chosen = set()
    for hit in (False, True):
        places = [(case.id, one.id) for case in cases for one in case.candidates if bool(one.lesion) == hit]
        if places:
            chosen |= {places[i] for i in np.linspace(0, len(places) - 1, _PICTURED).astype(int)}
    shown = [replace(case, candidates=tuple(c for c in case.candidates if (case.id, c.id) in chosen)) for case in cases]
    return [case for case in shown if case.candidates]


def _all_planes(case: Case, settings: Settings) -> Iterator[np.ndarray]:
    """Of each candidate the planes of both representations: uint8 (5, size, size)."""
    app = {**settings.app, "patch_px": _SIDE, "widths_mm": [_WIDTH], "shifts": [0.0], "rotations": 1}
    planes, vessel = (
        _cut(case, settings, Resampler(app["spacing_mm"], {**app, "representation": name}))
        for name in ("planes", "vessel")
    )
    for three, two in zip(planes, vessel, strict=True):
        yield np.concatenate([three[0], two[0, ..., :2]], axis=-1).transpose(2, 0, 1)


def _check(app: Mapping[str, Any]) -> None:
    """Refuse settings that are out of range.

    :raises StudyError: names the first.
    """
    lengths = ("lung_margin_mm", "vessel_reach_mm", "wall_mm", "extent_low_mm", "tolerance_mm")
    pairs = {
        "clot_high_hu": (app["clot_low_hu"], app["clot_high_hu"]),
        "extent_high_mm": (app["extent_low_mm"], app["extent_high_mm"]),
        **{name: tuple(app[name]) for name in ("axis_window_hu", "window_hu")},
    }
    allowed = {
        **{name: 0 <= app[name] <= 200 for name in lengths},
        **{name: len(pair) == 2 and -_FAR <= pair[0] < pair[1] <= _FAR for name, pair in pairs.items()},
        **{name: 0 <= app[name] <= _FAR for name in ("ridge_hu", "contrast_hu")},
        **{name: len(app[name]) > 0 and all(0 < mm <= 200 for mm in app[name])
           for name in ("widths_mm", "axis_sigmas_mm")},
        "vessel_hu": -_FAR <= app["vessel_hu"] <= _FAR,
        "enclosed": 0 <= app["enclosed"] <= 1,
        "spacing_mm": 0.1 <= app["spacing_mm"] <= 5,
        "representation": app["representation"] in REPRESENTATIONS,
        "shifts": len(app["shifts"]) > 0 and all(-1 <= shift <= 1 for shift in app["shifts"]),
        "patch_px": 8 <= app["patch_px"] <= 512,
        "rotations": 1 <= app["rotations"] <= 360,
    }  # fmt: skip
    for name in (name for name, fits in allowed.items() if not fits):
        remedy = f"Its default is {APPLICATION.defaults[name]}."
        raise StudyError(f"app.{name} is {app[name]}: out of range.", remedy=remedy)
