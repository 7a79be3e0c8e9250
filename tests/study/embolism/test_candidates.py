"""Candidates: dark places in bright vessels, with the measures that their construction has; which clot they hit."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from scipy import ndimage

from caffe_port.errors import CaffeWarning
from caffe_port.study.cases import Case
from caffe_port.study.embolism.candidates import DEFAULTS, _enclosed, _Regions, clots_at, detect, find_candidates
from caffe_port.study.embolism.phantoms import insert_clots, phantom
from caffe_port.study.embolism.volume_files import write_volume
from caffe_port.study.embolism.volumes import Volume, resample, resample_labels
from tests.shared import IMAGES, needs

sitk = pytest.importorskip("SimpleITK")


def chest(*boxes: tuple[int, tuple[slice, ...]]) -> np.ndarray:
    """A lung in soft tissue with a vessel of 300 HU, 16 voxels across, along z; and boxes of other HU in it."""
    hu = np.full((64, 64, 64), 40, np.int16)
    hu[4:60, 4:60, 4:60] = -850
    hu[8:56, 24:40, 24:40] = 300
    for value, box in boxes:
        hu[box] = value
    return hu


def settings(**given):
    return {**DEFAULTS, "spacing_mm": 1.0, **given}


def naive_measures(hu: np.ndarray) -> tuple[list[tuple[int, ...]], float]:
    """The voxels of the one candidate within the vessel of :func:`chest`, and its contrast 2 voxels away."""
    kernel = np.array([1, 2, 1]) / 4
    smooth = ndimage.convolve(hu.astype(float), kernel[:, None, None] * kernel[:, None] * kernel)
    region = [(z, y, x) for z, y, x in product(range(20, 45), range(27, 37), range(27, 38)) if smooth[z, y, x] <= 150]
    mean = np.mean([hu[place] for place in region])
    looks = []
    for step in product((-1, 0, 1), repeat=3):
        if any(step):
            far = np.rint(2 * np.array(step) / np.linalg.norm(step)).astype(int)
            seen = [tuple((np.array(place) + far).tolist()) for place in region]
            looks += [max(hu[place] - mean, 0) for place in seen if place not in region]
    return region, float(np.mean(looks))


def test_a_filling_defect_is_one_candidate_with_its_measures():
    hu = chest((60, np.s_[30:37, 29:34, 30:35]))
    (found,) = detect(hu, 1.0, settings())
    assert found.id == "z=33,y=31,x=32"
    assert found.info["index"] == [33, 31, 32]
    assert found.info["mm"] == [33.0, 31.0, 32.0]
    assert found.info["extent_mm"] == 7
    assert found.info["minimum_hu"] == 60
    region, contrast = naive_measures(hu)
    assert found.info["volume_mm3"] == len(region)
    assert found.info["contrast_hu"] == pytest.approx(contrast)
    assert found.score == found.info["contrast_hu"]
    half_as_large = detect(hu, 0.5, settings(extent_low_mm=0.0, wall_mm=0.5))
    assert [candidate.info["mm"] for candidate in half_as_large] == [[16.5, 15.5, 16.0]]


@pytest.mark.parametrize(
    "bounds",
    [
        {"contrast_hu": 290.0},
        {"extent_low_mm": 8.0},
        {"extent_high_mm": 6.0},
        {"clot_high_hu": 50.0},
        {"clot_low_hu": 70.0},
        {"vessel_hu": 310.0},
    ],
)
def test_settings_bound_what_is_a_candidate(bounds):
    hu = chest((60, np.s_[30:37, 29:34, 30:35]))
    assert len(detect(hu, 1.0, settings())) == 1
    assert not detect(hu, 1.0, settings(**bounds))


def test_a_vessel_without_defect_has_no_candidate_and_soft_tissue_is_none():
    assert not detect(chest(), 1.0, settings())
    assert not detect(np.full((40, 40, 40), 40, np.int16), 1.0, settings())


def test_basins_with_a_low_ridge_are_one_candidate_and_with_a_high_one_two():
    first, second = np.s_[20:27, 29:34, 30:35], np.s_[28:35, 29:34, 30:35]
    between = np.s_[27:28, 29:34, 30:35]
    low = chest((60, first), (60, second), (75, between))
    high = chest((60, first), (60, second), (200, between))
    assert len(detect(low, 1.0, settings())) == 1
    assert len(detect(high, 1.0, settings())) == 2
    assert len(detect(low, 1.0, settings(ridge_hu=0.0))) == 2


def test_less_bright_blood_on_one_side_is_less_contrast():
    clot = (60, np.s_[30:37, 29:34, 30:35])
    (bright,), (mixed,) = (
        detect(hu, 1.0, settings()) for hu in (chest(clot), chest((200, np.s_[20:45, 24:40, 33:40]), clot))
    )
    assert mixed.score == pytest.approx(naive_measures(chest((200, np.s_[20:45, 24:40, 33:40]), clot))[1])
    assert mixed.score < bright.score


def test_a_vessel_that_a_clot_fills_between_lung_is_found():
    full = detect(chest((60, np.s_[30:40, 24:40, 24:40])), 1.0, settings())
    assert [candidate.info["index"][0] in range(30, 40) for candidate in full] == [True]


def test_which_clot_is_hit():
    labels = np.zeros((10, 10, 10), np.uint8)
    labels[2, 2, 2], labels[2, 2, 8] = 7, 9
    places = np.array([[2, 2, 2], [2, 2, 4], [2, 2, 7], [9, 9, 9]])
    assert clots_at(labels, places, 0.5, 0.0).tolist() == [7, 0, 0, 0]
    assert clots_at(labels, places, 0.5, 0.5).tolist() == [7, 0, 9, 0]
    assert clots_at(labels, places, 0.5, 1.0).tolist() == [7, 7, 9, 0]
    assert clots_at(np.zeros_like(labels), places, 0.5, 5.0).tolist() == [0] * 4
    assert clots_at(labels, np.zeros((0, 3), int), 0.5, 5.0).tolist() == []


def test_candidates_of_a_case_name_their_lesion(tmp_path):
    hu = chest((60, np.s_[12:19, 29:34, 30:35]), (80, np.s_[40:47, 29:34, 30:35]))
    labels = np.zeros(hu.shape, np.uint8)
    labels[40:47, 29:34, 30:35] = 3
    write_volume(tmp_path / "v.nrrd", hu, 1.0)
    write_volume(tmp_path / "l.nrrd", labels, 1.0)
    info = {"image": str(tmp_path / "v.nrrd"), "label": str(tmp_path / "l.nrrd"), "slices": "name", "clots": "values"}
    found = find_candidates(Case("a", "ann", info=info, lesions=("ann/3",)), settings())
    assert [candidate.lesion for candidate in found] == ["", "ann/3"]
    assert found[0].score > found[1].score


def test_a_volume_in_which_nothing_is_found_is_told(tmp_path):
    write_volume(tmp_path / "v.nrrd", chest() + np.int16(1024), 1.0)  # no Hounsfield units
    info = {"image": str(tmp_path / "v.nrrd"), "label": "", "slices": "name", "clots": "values"}
    with pytest.warns(CaffeWarning, match=r"v\.nrrd: nothing is found.*Hounsfield"):
        assert find_candidates(Case("a", "ann", info=info), settings()) == []


def test_outside_of_the_lungs_candidates_have_blood_on_both_sides():
    def found(clot: tuple[slice, ...], enclosed: float) -> list[list[int]]:
        hu = np.full((64, 64, 112), 40, np.int16)
        hu[4:60, 4:60, 4:40] = hu[4:60, 4:60, 72:108] = -850  # two lungs
        hu[8:56, 20:48, 40:60] = 300
        hu[clot] = 60
        wide = settings(lung_margin_mm=20.0, enclosed=enclosed)
        return [candidate.info["index"] for candidate in detect(hu, 1.0, wide)]

    inside, dent = np.s_[30:37, 29:34, 46:51], np.s_[30:37, 43:48, 46:51]
    assert found(inside, 0.95) == [[33, 31, 48]]
    assert found(dent, 0.3) == [[33, 45, 48]]  # in the vessel's outside: many lines see blood on one side only
    assert found(dent, 0.6) == []


def test_the_share_of_lines_between_blood():
    blood = np.zeros((9, 9, 9), bool)
    blood[:, :, 0] = blood[:, :, 8] = True
    middle = _Regions(np.array([[4, 4, 4]]), np.array([0]), np.zeros(1), 1)
    lines = [step for step in product((-1, 0, 1), repeat=3) if step > (0, 0, 0)]
    for reach in (3, 4, 6, 7):  # 4 voxels away along x, 4 * sqrt(2) and 4 * sqrt(3) obliquely
        expected = np.mean([step[2] != 0 and 4 * np.linalg.norm(step) < reach + 0.9 for step in lines])
        assert _enclosed(blood, middle, reach).tolist() == [pytest.approx(expected)]


def test_phantoms_clots_are_found():
    hits = clots = false = 0
    for number in range(4):
        hu, labels = phantom(0, number, (96, 128, 144), 1.0)
        found = detect(hu, 1.0, settings())
        hit = clots_at(labels, np.array([one.info["index"] for one in found]).reshape(-1, 3), 1.0, 0.0)
        hits, clots, false = hits + len(set(hit) - {0}), clots + int(labels.max()), false + int((hit == 0).sum())
    assert hits >= 0.7 * clots
    assert 4 <= false <= 60  # something to tell from clots, and not a flood


@needs(IMAGES / "ct")
def test_clots_in_a_real_crop_are_found():
    hu, artery = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(IMAGES / "ct" / f"{name}.nii.gz")))
        for name in ("ct_cropped", "pulmonary_artery")
    )
    spacing, vessels = (1.5,) * 3, resample_labels((artery > 0).view(np.uint8), (1.5,) * 3, 0.75) > 0
    real = Volume(resample(hu, spacing, 0.75), 0.75, hu.shape, spacing)
    volume, labels = insert_clots(real, vessels, 3)
    found = detect(volume.hu, 0.75, DEFAULTS)
    hit = clots_at(labels, np.array([one.info["index"] for one in found]), 0.75, 0.0)
    assert set(hit) >= {1, 2, 3}
    assert (hit == 0).sum() < 230  # of 320 without the rule for what is outside of the lungs
