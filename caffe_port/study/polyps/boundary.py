"""Which edge pixels are boundaries of polyps, and on which side the polyp lies: labels from masks, and forests."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from sklearn.ensemble import RandomForestClassifier

from caffe_port import rng
from caffe_port.errors import CaffeWarning, DataError
from caffe_port.study.cases import Case, Progress
from caffe_port.study.polyps.edges import Edges, find_edges
from caffe_port.study.polyps.oriented import descriptors
from caffe_port.study.polyps.votes import Voters
from caffe_port.study.polyps.working import mask_at_width, read_frame, to_width
from caffe_port.study.threads import in_threads

#: Classes of an edge pixel: no polyp's boundary; one whose polyp lies on the bright, or on the dark side.
OTHER, BRIGHT, DARK = 0, 1, 2
#: Left out of training: neither near nor far, or across the outline.
UNKNOWN = -1
#: An edge pixel within this distance of the outline lies on it, in pixels; beyond twice the distance it does not.
_NEAR = 4.0
#: The normals of edge and outline agree up to 60 degrees.
_AGREE = 0.5
#: Training videos are dealt into so many parts; each part is judged by a forest of the others.
_PARTS = 3
#: Edge pixels that are less likely a polyp's boundary do not vote.
_LEAST_PROBABILITY = 0.05
#: A vote counts this power of the probability: a sure pixel more than some that are in doubt.
_POWER = 1.5


@dataclass(frozen=True)
class Boundaries:
    """What tells boundaries of polyps.

    :param forests: each has learned from all parts of the training videos but one.
    :param parts: training video -> the number of the forest that has not seen it.
    """

    forests: Sequence[RandomForestClassifier]
    parts: Mapping[str, int]

    def voters(self, image: np.ndarray, patient: str, edge_pixels: int) -> Voters:
        """The likely boundary pixels in ``image`` (H, W, 3), a frame at working size of the video ``patient``.

        Those of a training video are judged by the forest that has not seen it, those of another by the mean of all.

        :param edge_pixels: as for :func:`~caffe_port.study.polyps.edges.find_edges`.
        """
        edges = find_edges(image, edge_pixels)
        part = self.parts.get(patient)
        forests = self.forests if part is None else [self.forests[part]]
        vectors = descriptors(image, edges)
        bright, dark = np.mean([probabilities(forest, vectors) for forest in forests], axis=0).T
        probability = np.concatenate([bright, dark])
        voters = Voters(
            np.concatenate([edges.points, edges.points]),
            np.concatenate([edges.normals, -edges.normals]),
            probability**_POWER,
        )
        return voters[probability >= _LEAST_PROBABILITY]


def learn_boundaries(cases: Sequence[Case], settings: Mapping[str, Any], seed: int, progress: Progress) -> Boundaries:
    """Forests that have learned from the frames ``cases`` and their masks.

    Of every frame as many edge pixels are drawn, up to ``boundary_pixels`` in all, half of them boundaries of polyps
    where there are as many.

    :raises DataError: no polyp has a boundary pixel.
    """
    parts = _deal(cases, seed)
    shares = settings["boundary_pixels"] // 2 // np.array([len(cases), max(1, sum(bool(c.lesions) for c in cases))])
    vectors, labels, origins = [], [], []
    learn = partial(_examples, shares=np.maximum(shares, 1), settings=settings, seed=seed)
    with in_threads(learn, cases) as examples:
        for done, (case, (described, classes)) in enumerate(zip(cases, examples), 1):
            vectors.append(described)
            labels.append(classes)
            origins.append(np.full(len(classes), parts[case.patient]))
            progress(done, len(cases))
    x, y, part = np.concatenate(vectors), np.concatenate(labels), np.concatenate(origins)
    if not (y != OTHER).any():
        remedy = "Give more training videos, or another width."
        raise DataError("No edge of the training frames lies on the outline of a polyp.", remedy=remedy)
    count = max(parts.values()) + 1
    if count == 1:
        text = "Polyps of one video only to learn from: its candidates come from a detector that has seen them."
        warnings.warn(text, CaffeWarning, stacklevel=2)
    learned = [part != number for number in range(count)] if count > 1 else [part == 0]
    return Boundaries([_forest(x[some], y[some], settings["trees"], seed) for some in learned], parts)


def _examples(case: Case, shares: np.ndarray, settings: Mapping[str, Any], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Descriptors and classes of the edge pixels drawn from a frame."""
    image = to_width(read_frame(case), settings["width"])
    edges = find_edges(image, settings["edge_pixels"])
    classes = labels_of(edges, mask_at_width(case, settings["width"]))
    drawn = _draw(classes, shares, rng.numpy_generator(seed, "edge pixels", case.id))
    return descriptors(image, edges[drawn]), classes[drawn]


def labels_of(edges: Edges, mask: np.ndarray) -> np.ndarray:
    """The class of every pixel of ``edges`` by the ground truth ``mask`` (H, W), bool: (N,) int."""
    if not mask.any():
        return np.full(len(edges), OTHER)
    framed = cv2.copyMakeBorder(mask.astype(np.uint8), 1, 1, 1, 1, cv2.BORDER_REPLICATE)
    inside, outside = (cv2.distanceTransform(m, cv2.DIST_L2, cv2.DIST_MASK_PRECISE) for m in (framed, 1 - framed))
    depth = cv2.GaussianBlur(np.where(framed > 0, inside - 0.5, 0.5 - outside).astype(np.float32), (0, 0), 1.5)
    slope = np.stack([cv2.Sobel(depth, cv2.CV_32F, *order) for order in ((1, 0), (0, 1))], axis=2)
    x, y = edges.points.astype(int).T + 1
    inward = slope[y, x] / np.maximum(np.linalg.norm(slope[y, x], axis=1, keepdims=True), 1e-6)
    agreement = (inward * edges.normals).sum(axis=1)
    distance = np.abs(depth[y, x])
    labels = np.full(len(edges), UNKNOWN)
    labels[distance > 2 * _NEAR] = OTHER
    labels[(distance <= _NEAR) & (agreement > _AGREE)] = BRIGHT
    labels[(distance <= _NEAR) & (agreement < -_AGREE)] = DARK
    return labels


def probabilities(forest: RandomForestClassifier, vectors: np.ndarray) -> np.ndarray:
    """(N, 2): the probability of a polyp's boundary with the polyp on the bright, and on the dark side."""
    found = np.zeros((len(vectors), 3))
    if len(vectors):
        found[:, forest.classes_] = forest.predict_proba(vectors)
    return found[:, [BRIGHT, DARK]]


def _forest(vectors: np.ndarray, labels: np.ndarray, trees: int, seed: int) -> RandomForestClassifier:
    forest = RandomForestClassifier(
        trees, min_samples_leaf=5, max_features="sqrt", class_weight="balanced_subsample", random_state=seed, n_jobs=-1
    ).fit(vectors, labels)
    forest.n_jobs = None  # threads would add up the trees' probabilities in any order
    return forest


def _deal(cases: Sequence[Case], seed: int) -> dict[str, int]:
    """Video -> its part; those with polyps are shared out evenly, and so are the others."""
    with_polyps = sorted({case.patient for case in cases if case.lesions})
    others = sorted({case.patient for case in cases} - set(with_polyps))
    random = rng.numpy_generator(seed, "parts of the training videos")
    order = [names[i] for names in (with_polyps, others) for i in random.permutation(len(names))]
    return {name: number % min(_PARTS, max(1, len(with_polyps))) for number, name in enumerate(order)}


def _draw(classes: np.ndarray, shares: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Indices of up to ``shares[0]`` pixels that are no boundaries, and of up to ``shares[1]`` that are."""
    groups = [np.flatnonzero(classes == OTHER), np.flatnonzero(classes > OTHER)]
    return np.concatenate([random.permutation(group)[:share] for group, share in zip(groups, shares)])
