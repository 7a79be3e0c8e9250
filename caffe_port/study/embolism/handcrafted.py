"""The handcrafted competitor: vessel, texture and wavelet features of candidates, and a multi-instance classifier.

The paper's [60] (Liang and Bi, IPMI 2007) "uses vessel-based features along with Haralick [64] and wavelet-based
features for PE characterization, and finally uses a multi-instance classifier". The features are this project's choice
of each kind. So is the classifier, a random forest in the manner of mi-SVM [1] and multiple-instance forests [2]: the
candidates that hit one embolus are a bag, of which only those count that look like an embolus. A single false positive
is a bag of its own, whose label is certain.

[1] Andrews, Tsochantaridis and Hofmann, "Support vector machines for multiple-instance learning", NIPS 2002.
[2] Leistner, Saffari and Bischof, "MIForests: multiple-instance learning with randomized trees", ECCV 2010.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from scipy import ndimage
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import PredefinedSplit, cross_val_predict

from caffe_port.errors import DataError
from caffe_port.extra import extra
from caffe_port.study.cases import Candidate
from caffe_port.study.embolism.planes import Resampler
from caffe_port.study.embolism.vessels import Orientations, cubes

#: Width in mm and pixels of the two planes (across and along the vessel) that features are computed of.
WIDTH, SIZE = 20.0, 32
#: Borders in mm of the rings around the vessel's axis, and of the sections along it, whose grey means are features.
RINGS = (0.0, 1.0, 2.0, 3.0, 4.0, 6.0, 8.0, 10.0)
#: Grey levels of the co-occurrence matrices, and their distance in pixels.
LEVELS, DISTANCE = 16, 1
HARALICK = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
WAVELET, SCALES = "db2", 3
#: Tissue, not lung, is what is above so many HU.
TISSUE = -250
#: Trees of a forest; parts of the cross-validation that chooses candidates, and how often it does.
TREES, FOLDS, ROUNDS = 200, 4, 3


def features(
    hu: np.ndarray,
    spacing: float,
    candidates: Sequence[Candidate],
    orientations: Orientations,
    app: Mapping[str, Any],
) -> np.ndarray:
    """The features of the candidates of a volume, at least one: (N, F) float64.

    :param hu: (Z, Y, X) of isotropic voxels with sides of ``spacing`` mm.
    :param orientations: of the vessels at the candidates.
    :param app: the setting ``window_hu``.
    :raises DataError: a package of the extra ``ct`` is not installed.
    """
    places = np.array([candidate.info["index"] for candidate in candidates])
    how = {"representation": "vessel", "patch_px": SIZE, "widths_mm": [WIDTH], "shifts": [0.0], "rotations": 1}
    resampled = Resampler(spacing, {**app, **how})(hu, places, orientations.frames)
    planes = np.stack([patches[0, ..., :2] for patches in resampled]).transpose(0, 3, 1, 2)
    return np.hstack(
        [
            detection_features(candidates),
            places / hu.shape,
            vessel_size(hu, places, orientations.axes, spacing),
            anisotropy(orientations.eigenvalues),
            profiles(planes),
            haralick(planes),
            wavelets(planes),
        ]
    )


def detection_features(candidates: Sequence[Candidate]) -> np.ndarray:
    """What the detector says of each: extent in mm, contrast and minimum in HU, its score."""
    return np.array([[c.info["extent_mm"], c.info["contrast_hu"], c.info["minimum_hu"], c.score] for c in candidates])


def anisotropy(eigenvalues: np.ndarray) -> np.ndarray:
    """The size of a structure tensor and the ratios of its neighbouring eigenvalues: (N, 3)."""
    low, middle, high = np.maximum(eigenvalues, 1e-6).T
    return np.stack([np.log(high), low / middle, middle / high], axis=1)


def vessel_size(hu: np.ndarray, places: np.ndarray, axes: np.ndarray, spacing: float) -> np.ndarray:
    """In mm: the distance from the vessel's wall, the vessel's radius, and the distance from its centre: (N, 3).

    The vessel is tissue, the clot included. Its centre is the place in the cross-section, within ``WIDTH`` / 4, that is
    farthest from lung. Nothing is farther than ``WIDTH`` / 2.

    :param axes: (N, 3) unit vectors along the vessels.
    """
    half = int(np.ceil(WIDTH / 2 / spacing))
    steps = np.arange(-half, half + 1) * spacing
    offsets = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)
    away = np.linalg.norm(offsets, axis=-1)
    found = []
    for tissue, axis in zip(cubes(hu, places, half + 1) > TISSUE, axes, strict=True):
        for side in (0, -1):  # without anything else than tissue there are no distances
            tissue[side], tissue[:, side], tissue[:, :, side] = False, False, False
        depth = ndimage.distance_transform_edt(tissue, spacing)[1:-1, 1:-1, 1:-1]
        depth[(away > WIDTH / 4) | (np.abs(offsets @ axis) > spacing)] = 0
        centre = depth.argmax()
        found.append([depth[half, half, half], depth.flat[centre], away.flat[centre]])
    return np.array(found)


def profiles(planes: np.ndarray) -> np.ndarray:
    """Grey means of rings around the axis, in the cross-section, and of sections along it, in the other plane.

    :param planes: (N, 2, SIZE, SIZE).
    """
    steps = np.abs(np.arange(SIZE) + 0.5 - SIZE / 2) * (WIDTH / SIZE)
    rings = np.digitize(np.hypot(steps[:, None], steps), RINGS)
    along = np.where(steps < RINGS[2], np.digitize(steps, RINGS)[:, None], 0)  # the vessel's core, row by row
    columns = []
    for plane, parts in ((planes[:, 0], rings), (planes[:, 1], along)):
        columns += [plane[:, parts == ring].mean(axis=1) for ring in range(1, len(RINGS))]
    return np.stack(columns, axis=1)


def haralick(planes: np.ndarray) -> np.ndarray:
    """Mean and range over four directions of properties of the grey-level co-occurrence matrices of both planes.

    Haralick et al., "Textural features for image classification", 1973: the paper's [64].
    """
    feature = extra("skimage.feature", "ct", "Haralick features", error=DataError)
    found = []
    for image in (planes // (256 // LEVELS)).reshape(-1, SIZE, SIZE):
        angles = np.arange(4) * np.pi / 4
        matrix = feature.graycomatrix(image, [DISTANCE], angles, LEVELS, symmetric=True, normed=True)
        values = np.array([feature.graycoprops(matrix, name)[0] for name in HARALICK])
        found.append(np.concatenate([values.mean(axis=1), np.ptp(values, axis=1)]))
    return np.reshape(found, (len(planes), -1))


def wavelets(planes: np.ndarray) -> np.ndarray:
    """Logarithms of the energies (mean squares) of the sub-bands of both planes: (N, 2 * (1 + 3 * SCALES))."""
    transform = extra("pywt", "ct", "Wavelet features", error=DataError).wavedec2(
        planes.astype(np.float64), WAVELET, level=SCALES
    )
    bands = [transform[0], *(band for scale in transform[1:] for band in scale)]
    return np.concatenate([np.log1p(np.square(band).mean(axis=(2, 3))) for band in bands], axis=1)


def fit(vectors: np.ndarray, bags: Sequence[str], seed: int) -> RandomForestClassifier:
    """The multi-instance classifier.

    Of each bag only those candidates stay that forests which know nothing of the bag (cross-validation over bags) call
    an embolus, and in any case the likeliest one. That is repeated with what stays, up to ``ROUNDS`` times; a last
    forest learns from it.

    :param vectors: (N, F).
    :param bags: the embolus that each candidate hits, or "" for a false positive.
    :raises DataError: all candidates hit an embolus, or none does.
    """
    labels = np.array([bool(bag) for bag in bags])
    if not labels.any() or labels.all():
        raise DataError(f"All {len(bags)} training candidates are {'true' if labels.any() else 'false'} positives.")
    forest = RandomForestClassifier(TREES, min_samples_leaf=2, class_weight="balanced", random_state=seed)
    members = [np.flatnonzero(np.equal(bags, bag)) for bag in dict.fromkeys(bag for bag in bags if bag)]
    part = np.zeros(len(bags), int)
    for number, bag in enumerate([*members, *np.flatnonzero(~labels)]):
        part[bag] = number % FOLDS
    chosen = np.ones(len(bags), bool)
    for _ in range(ROUNDS if min(len(members), np.sum(~labels)) >= FOLDS else 0):
        known, split = (vectors[chosen], labels[chosen]), PredefinedSplit(part[chosen])
        scores = np.zeros(len(bags))
        scores[chosen] = cross_val_predict(forest, *known, cv=split, method="predict_proba")[:, 1]
        stays = chosen & (~labels | (scores > 0.5))
        stays[[bag[scores[bag].argmax()] for bag in members]] = True
        if np.array_equal(stays, chosen):
            break
        chosen = stays
    return forest.fit(vectors[chosen], labels[chosen])
