"""What detection of polyps and of emboli have in common: scores of candidates, and their FROC analysis."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from caffe_port.errors import StatisticsError
from caffe_port.net import Net
from caffe_port.study.apply import Augment, class_probabilities
from caffe_port.study.cases import Case, Progress, Row
from caffe_port.study.settings import Settings
from caffe_port.study.statistics.candidate_model import CandidateModel, fit_candidate_model
from caffe_port.study.statistics.froc import Detections, Froc, detections, froc_curve, sensitivity_at

#: The patches of every candidate of a case, in the order of its candidates.
Patches = Callable[[Case], Iterator[Sequence[np.ndarray]]]
#: Points of the model's curve and band in metrics.json.
_MODEL_POINTS = 100


def score_candidates(
    net: Net,
    cases: Sequence[Case],
    patches_of: Patches,
    settings: Settings,
    progress: Progress,
    augment: Augment = lambda inputs: inputs,
) -> list[Row]:
    """Rows of all candidates: the mean over a candidate's patches, and what ``augment`` makes of them, of the
    probability of class 1."""
    scores: list[float] = []
    for done, case in enumerate(cases, 1):
        for images in patches_of(case):
            scores.append(float(class_probabilities(net, images, settings.base, augment)[:, 1].mean()))
        progress(done, len(cases))
    return rows_of(cases, scores)


def rows_of(cases: Sequence[Case], scores: Sequence[float]) -> list[Row]:
    """Rows of scores.csv: one for each candidate of ``cases``, in their order, as ``scores`` are."""
    candidates = [(case, candidate) for case in cases for candidate in case.candidates]
    return [
        {
            "case": case.id, "patient": case.patient, "candidate": candidate.id, "lesion": candidate.lesion,
            "score": float(score),
        }
        for (case, candidate), score in zip(candidates, scores, strict=True)
    ]  # fmt: skip


def detection_metrics(rows: Sequence[Row], cases: Sequence[Case], points: Sequence[float]) -> dict[str, Any]:
    """The measures of one arm.

    :param rows: of :func:`rows_of`.
    :param cases: all test cases: one is a unit (frame, volume) that false positives are counted by.
    :param points: false positives per unit at which the sensitivity is told.
    :return: ``froc``: the points of the curve at which its sensitivity changes, and the last; ``sensitivity_at_fp``
        with the interval of the bootstrap over patients, and the ``model`` of the paper's [38] with its band where it
        can be fitted (else None); ``counts``. What lies beyond the curve is None.
    """
    found = detections(
        [float(row["score"]) for row in rows],
        [str(row["lesion"]) for row in rows],
        [str(row["patient"]) for row in rows],
        all_lesions={lesion: case.patient for case in cases for lesion in case.lesions},
        units=[case.patient for case in cases],
    )
    curve, model = froc_curve(found), _model(found)
    return {
        "froc": _corners(curve),
        "sensitivity_at_fp": _at_points(found, model, points),
        "model": _band(model) if model is not None else None,
        "counts": {
            "units": len(cases), "patients": len(found.patients), "lesions": len(found.lesions),
            "found": found.found, "false_positives": len(found.false),
        },
    }  # fmt: skip


def _model(found: Detections) -> CandidateModel | None:
    try:
        return fit_candidate_model(found)
    except StatisticsError:
        return None  # perfectly separated, or too few: the curve and the bootstrap stand without it


def _corners(curve: Froc) -> dict[str, list[float | None]]:
    """A test set has tens of thousands of false candidates; between two corners the curve only runs level."""
    kept = np.flatnonzero(np.diff(curve.sensitivity, prepend=-1) > 0)
    kept = np.union1d(kept, [len(curve.fp) - 1])
    columns = {"fp": curve.fp, "sensitivity": curve.sensitivity, "threshold": curve.threshold}
    return {name: [_number(value) for value in values[kept]] for name, values in columns.items()}


def _at_points(found: Detections, model: CandidateModel | None, points: Sequence[float]) -> dict[str, Any]:
    entries: list[dict[str, Any]]
    try:
        seen = sensitivity_at(found, points)
    except StatisticsError:  # of one patient: nothing to resample
        curve = froc_curve(found)
        entries = [{"sensitivity": _number(curve.at(point)), "ci95": None} for point in points]
    else:
        entries = [{"sensitivity": _number(x.estimate), "ci95": _ends(x.low, x.high)} for x in seen]
    for point, entry in zip(points, entries):
        if model is not None and entry["sensitivity"] is not None:
            fitted = model.at(point)
            entry |= {"model": _number(fitted.estimate), "model_ci95": _ends(fitted.low, fitted.high)}
    return {f"{point:g}": entry for point, entry in zip(points, entries)}


def _band(model: CandidateModel) -> dict[str, list[float]]:
    """From a tenth of a false positive in all units to the end of the curve, closer together where it is steep."""
    fp = np.geomspace(0.1, model.false, _MODEL_POINTS) / model.units
    low, high = model.band(fp)
    columns = {"fp": fp, "sensitivity": model.sensitivity(fp), "low": low, "high": high}
    return {name: values.tolist() for name, values in columns.items()}


def _ends(low: float, high: float) -> list[float] | None:
    return [low, high] if np.isfinite([low, high]).all() else None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
