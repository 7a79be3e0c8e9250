"""The competitor: its features on shapes whose values are known, and its multi-instance classifier."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import roc_auc_score

from caffe_port import rng
from caffe_port.errors import DataError
from caffe_port.study.cases import Candidate
from caffe_port.study.embolism import handcrafted
from caffe_port.study.embolism.vessels import orientations
from tests.study.embolism.test_vessels import (
    BLOOD,
    CENTRE,
    LUNG,
    SIGMAS,
    SPACING,
    WINDOW,
    directions,
    distances,
    inside,
    tube,
)

pytest.importorskip("pywt")
pytest.importorskip("skimage")

SIZE = handcrafted.SIZE
MM = handcrafted.WIDTH / SIZE


def test_the_size_of_a_vessel_and_the_place_in_it_are_measured():
    for radius, off, axis in zip((2.0, 3.0, 4.0), (0.0, 1.6, 2.4), directions(3), strict=True):
        aside = np.cross(axis, [0.3, 0.5, 0.8])
        distance = distances(axis, off * aside / np.linalg.norm(aside))[1]
        hu = LUNG + (BLOOD - LUNG) * inside(distance, radius)
        ((wall, width, centre),) = handcrafted.vessel_size(hu, CENTRE, axis[None], SPACING)
        assert wall == pytest.approx(radius - off, abs=SPACING)
        assert width == pytest.approx(radius, abs=SPACING)
        assert centre == pytest.approx(off, abs=1.5 * SPACING)


def test_within_solid_tissue_no_wall_is_nearer_than_the_features_see():
    ((wall, width, _),) = handcrafted.vessel_size(np.full((41, 41, 41), 50), CENTRE, directions(1), SPACING)
    assert wall == width == pytest.approx(handcrafted.WIDTH / 2, abs=2 * SPACING)


def test_profiles_are_means_of_rings_and_of_sections_along_the_axis():
    steps = (np.arange(SIZE) + 0.5 - SIZE / 2) * MM
    away = np.hypot(steps[:, None], steps)
    planes = np.zeros((1, 2, SIZE, SIZE), np.uint8)
    planes[0, 0] = np.where(away < 2, 40, np.where(away < 4, 200, 10))  # dark, bright, lung
    planes[0, 1] = np.where(np.abs(steps) < 2, 40, 200)[:, None]
    (found,) = handcrafted.profiles(planes)
    np.testing.assert_array_equal(found[:7], [40, 40, 200, 200, 10, 10, 10])
    np.testing.assert_array_equal(found[7:], [40, 40, 200, 200, 200, 200, 200])


def test_haralick_features_are_those_of_a_co_occurrence_matrix_counted_by_hand():
    image = rng.numpy_generator("texture").integers(0, 256, (SIZE, SIZE), np.uint8)
    planes = np.stack([image, np.full_like(image, 77)])[None]
    (found,) = handcrafted.haralick(planes)
    grey = (image // 16).astype(int)
    contrast, energy = [], []
    for down, right in ((0, 1), (1, 1), (1, 0), (1, -1)):
        matrix = np.zeros((16, 16))
        for y in range(SIZE):
            for x in range(SIZE):
                if y + down < SIZE and 0 <= x + right < SIZE:
                    matrix[grey[y, x], grey[y + down, x + right]] += 1
        matrix += matrix.T
        matrix /= matrix.sum()
        level = np.arange(16)
        contrast.append((matrix * (level[:, None] - level) ** 2).sum())
        energy.append(np.sqrt((matrix**2).sum()))
    of_each = found.reshape(2, 2, len(handcrafted.HARALICK))  # plane, mean and range, property
    assert of_each[0, 0, 0] == pytest.approx(np.mean(contrast))
    assert of_each[0, 1, 0] == pytest.approx(np.ptp(contrast))
    assert of_each[0, 0, 3] == pytest.approx(np.mean(energy))
    np.testing.assert_allclose(of_each[1], [[0, 0, 1, 1, 1], [0, 0, 0, 0, 0]])  # an even plane


def test_wavelets_tell_coarse_from_fine():
    steps = np.arange(SIZE)
    planes = np.zeros((3, 2, SIZE, SIZE))
    planes[0] = 100
    planes[1] = 100 + 50 * (-1) ** steps
    planes[2] = 100 + 50 * np.sin(steps * np.pi / 8)
    found = np.expm1(handcrafted.wavelets(planes)).reshape(3, -1, 2)[..., 0]  # bands from coarse to fine
    assert found[0, 0] == pytest.approx((100 * 2**handcrafted.SCALES) ** 2)
    np.testing.assert_allclose(found[0, 1:], 0, atol=1e-9)  # an even plane has no details
    assert found[1].argmax() == 0
    assert found[1, 1:].argmax() == 7  # upright stripes of one pixel: one band of the finest scale
    assert found[2, 1:].argmax() == 1  # of eight pixels: of the coarsest


def test_features_tell_clots_from_vessels_without():
    hu, labels, vectors = [], [], []
    for number, direction in enumerate(directions(30)):
        random = rng.numpy_generator("vessel", number)
        radius, clot = random.uniform(2, 5), ("none", "long", "round")[number % 3]
        hu = tube(direction, np.zeros(3), radius, clot)
        info = {"index": [20, 20, 20], "extent_mm": 5.0, "contrast_hu": 100.0, "minimum_hu": 60.0}
        found = orientations(hu, np.array([info["index"]]), SPACING, SIGMAS, WINDOW)
        app = {"window_hu": [-250, 450]}
        vectors.append(handcrafted.features(hu, SPACING, [Candidate("x", 1.0, "", info)], found, app)[0])
        labels.append(clot != "none")
    vectors, labels = np.array(vectors), np.array(labels)
    assert np.isfinite(vectors).all()
    forest = handcrafted.fit(vectors[:18], [f"p/{i}" if hit else "" for i, hit in enumerate(labels[:18])], 0)
    assert roc_auc_score(labels[18:], forest.predict_proba(vectors[18:])[:, 1]) == 1


def test_the_classifier_learns_from_the_telling_candidates_of_a_bag():
    random = rng.numpy_generator("bags")
    vectors = random.normal(size=(300, 4))  # 20 bags of one telling candidate and four like the negatives
    names = [f"p/{i // 5}" if i < 100 else "" for i in range(300)]
    vectors[0:100:5, :2] += 4
    forest = handcrafted.fit(vectors, names, 1)
    plain = RandomForestClassifier(handcrafted.TREES, min_samples_leaf=2, class_weight="balanced", random_state=1)
    plain.fit(vectors, [bool(name) for name in names])
    new = random.normal(size=(200, 4))
    assert forest.predict_proba(new)[:, 1].mean() < 0.5 * plain.predict_proba(new)[:, 1].mean()
    new[:, :2] += 4
    assert forest.predict_proba(new)[:, 1].mean() > 0.9


def test_few_bags_all_count_and_the_seed_decides():
    vectors = rng.numpy_generator("few").normal(size=(20, 3))
    names = ["p/1", "p/1", "q/1"] + [""] * 17  # too few for a cross-validation
    plain = RandomForestClassifier(handcrafted.TREES, min_samples_leaf=2, class_weight="balanced", random_state=1)
    expected = plain.fit(vectors, [bool(name) for name in names]).predict_proba(vectors)
    np.testing.assert_array_equal(handcrafted.fit(vectors, names, 1).predict_proba(vectors), expected)
    assert (handcrafted.fit(vectors, names, 2).predict_proba(vectors) != expected).any()


@pytest.mark.parametrize("bag", ["", "p/1"])
def test_candidates_of_one_kind_are_refused(bag):
    with pytest.raises(DataError, match="All 4 training candidates are"):
        handcrafted.fit(np.zeros((4, 2)), [bag] * 4, 0)


@pytest.mark.parametrize("module", ["skimage.feature", "pywt"])
def test_a_missing_package_names_the_extra(module, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    planes = np.zeros((1, 2, SIZE, SIZE), np.uint8)
    how = handcrafted.wavelets if module == "pywt" else handcrafted.haralick
    with pytest.raises(DataError, match=r"package \w+, which is not installed.*pip install 'caffe_port\[ct\]'"):
        how(planes)
