"""The detector of candidates: edges, boundary pixels, votes, outlines, and a probability for each candidate.

In the family of the paper's [42]: Tajbakhsh, Gurudu and Liang, "Automated polyp detection in colonoscopy videos using
shape and context information", IEEE TMI 35(2), 2016. README.md tells what differs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from caffe_port.errors import DataError
from caffe_port.study.cases import Candidate, Case, Progress
from caffe_port.study.polyps.boundary import Boundaries, learn_boundaries
from caffe_port.study.polyps.lesions import hit, polyps_of
from caffe_port.study.polyps.outlines import outlines_of
from caffe_port.study.polyps.votes import peaks, vote_map
from caffe_port.study.polyps.working import read_frame, to_width
from caffe_port.study.threads import in_threads

#: Candidates of a frame are at least so far apart, in pixels of the working size.
_APART = 24.0
#: Added to votes before their logarithm.
_LITTLE = 1e-3


class _Place(NamedTuple):
    """A candidate that has no probability yet; pixels of the original frame."""

    x: float
    y: float
    box: list[float]
    measures: list[float]
    lesion: str


def find_candidates(
    train: Sequence[Case], cases: Sequence[Case], settings: Mapping[str, Any], seed: int, progress: Progress
) -> dict[str, list[Candidate]]:
    """The candidates of ``cases`` by id, the likeliest first, from a detector that has learned from ``train`` alone.

    A candidate's id tells its place, its score is the probability of a polyp; ``info`` has its ``box``: left, top,
    width, height. All in pixels of the frame. Boundaries in a training video are told by a forest that has not seen it,
    so that the candidates of training and test videos are alike.

    :param settings: ``width``, ``edge_pixels``, ``boundary_pixels``, ``trees``, ``candidates``; see README.md.
    :raises DataError: a frame or mask cannot be read; of what is found in ``train`` nothing is a polyp, or everything.
    """
    train = sorted(train, key=lambda case: case.id)  # forests depend on the order of what they learn
    frames = {case.id: case for case in [*train, *cases]}
    total = len(train) + len(frames)
    boundaries = learn_boundaries(train, settings, seed, lambda done, _: progress(done, total))
    places = {}
    with in_threads(partial(_places, boundaries=boundaries, settings=settings), frames.values()) as found:
        for done, (name, some) in enumerate(zip(frames, found), 1):
            places[name] = some
            progress(len(train) + done, total)
    judge = _judge([place for case in train for place in places[case.id]])
    return {case.id: _judged(places[case.id], judge) for case in cases}


def _places(case: Case, boundaries: Boundaries, settings: Mapping[str, Any]) -> list[_Place]:
    """Where the votes in a frame are most."""
    frame = read_frame(case)
    image = to_width(frame, settings["width"])
    height, width = image.shape[:2]
    scale = np.array([frame.shape[1] / width, frame.shape[0] / height])
    voters = boundaries.voters(image, case.patient, settings["edge_pixels"])
    votes = vote_map(voters, (height, width))
    polyps = polyps_of(case)
    found = []
    tops = peaks(votes, settings["candidates"], _APART)
    for (centre, most), outline in zip(tops, outlines_of([centre for centre, _ in tops], voters)):
        x, y = ((centre + 0.5) * scale - 0.5).clip(0, [frame.shape[1] - 1, frame.shape[0] - 1]).tolist()
        box = (np.array(outline.box(width, height)) * [*scale, *scale]).tolist()
        measures = [np.log(most + _LITTLE), np.log(most / votes.max()), *outline.measures()]
        found.append(_Place(x, y, box, measures, hit(polyps, x, y)))
    return found


def _judge(places: Sequence[_Place]) -> Pipeline:
    """What tells the probability of a polyp from a place's measures."""
    labels = [bool(place.lesion) for place in places]
    if len(set(labels)) < 2:
        found = "Every candidate" if any(labels) else "No candidate"
        raise DataError(
            f"{found} in the training frames hits a polyp: nothing tells candidates apart.",
            remedy="Give more training videos, or let a frame have more candidates (candidates).",
        )
    return make_pipeline(StandardScaler(), LogisticRegression()).fit([place.measures for place in places], labels)


def _judged(places: Sequence[_Place], judge: Pipeline) -> list[Candidate]:
    if not places:
        return []
    scores = judge.predict_proba([place.measures for place in places])[:, 1].tolist()
    candidates = [
        Candidate(f"x={place.x:.0f},y={place.y:.0f}", score, place.lesion, {"box": [round(v, 1) for v in place.box]})
        for place, score in zip(places, scores)
    ]
    return sorted(candidates, key=lambda candidate: -candidate.score)
