"""Regions of interest, and the patches that are cut from them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffe_port.data.images import read_image
from caffe_port.errors import DataError
from caffe_port.study.cases import Case
from caffe_port.study.interfaces import APPLICATION
from caffe_port.study.interfaces.callipers import find_crosses
from caffe_port.study.interfaces.loaders import DATASETS
from caffe_port.study.interfaces.patches import cut_patch, enlarged, patches_of, scale_of, to_scale
from caffe_port.study.interfaces.regions import region_of
from tests.study.interfaces.phantoms import cyprus_folder, draw_cross, region, with_crosses

PLAIN = {**APPLICATION.defaults, "stretch": [1.0, 1.0], "patch_px": 32, "patches_per_interface": 40}


@pytest.fixture(scope="module")
def case(tmp_path_factory) -> Case:
    return DATASETS["cyprus"](cyprus_folder(tmp_path_factory.mktemp("data"), ["a"]))[0]


def places(patches):
    """(label, x, y) of each patch."""
    return [(label, *(float(part[2:]) for part in place.split(","))) for _, label, place in patches]


def test_the_middle_of_a_region_tells_nothing(case):
    margin = round(0.6 / 0.06)
    regions = [region_of(case, PLAIN | {"margin_mm": 0.6}, seed) for seed in range(300)]
    first = regions[0].traces.both()
    shifts = np.array([r.top - (int(np.floor(first.min())) - margin) for r in regions])
    assert shifts.min() == -margin
    assert shifts.max() == margin
    assert abs(shifts.mean()) < 1.2
    for r in regions:
        assert r.top <= first.min()
        assert r.bottom - 1 >= first.max()
        assert r.bottom - r.top == regions[0].bottom - regions[0].top
    again = region_of(case, PLAIN | {"margin_mm": 0.6}, 7)
    assert again.top == regions[7].top


def test_a_rectangle_of_the_data_set_is_the_region(case):
    info = {**case.info, "rect": [30.0, 20.0, 50.0, 70.0]}
    found = region_of(Case("x", "p", None, info), PLAIN | {"margin_mm": 0.6}, 0)
    assert (found.top, found.bottom) == (20, 91)
    assert found.columns[[0, -1]].tolist() == [30, 80]
    with pytest.raises(DataError, match="No column of the traces"):
        region_of(Case("x", "p", None, {**info, "rect": [150.0, 0, 8, 9]}), PLAIN | {"margin_mm": 0.6}, 0)


def test_traces_outside_the_image_are_refused(case):
    outside = {**case.info, **{name: np.add(case.info[name], [200, 0]) for name in ("li", "ma")}}
    with pytest.raises(DataError, match="outside the image"):
        region_of(Case("x", "p", None, outside), PLAIN | {"margin_mm": 0.6}, 0)


def test_a_plain_patch_is_a_window_of_the_image():
    image = region(0).image
    np.testing.assert_array_equal(cut_patch(image, 60, 50, 32), image[34:66, 44:76])
    np.testing.assert_array_equal(cut_patch(image, 60, 50, 33), image[34:67, 44:77])
    at_corner = cut_patch(image, 0, 0, 32)
    assert (at_corner[:16, :16] == image[0, 0]).all()
    np.testing.assert_array_equal(at_corner[16:, 16:], image[:16, :16])


def test_a_stretched_patch_shows_less_height_around_the_same_pixel():
    rows = np.arange(100, dtype=np.uint8)[:, None].repeat(60, 1)
    patch = cut_patch(rows, 30, 50, 32, 2.0)
    np.testing.assert_allclose(patch[:, 5], np.round(50 + (np.arange(32) - 16) / 2), atol=0.5)


def test_pixels_of_a_larger_image_lie_where_they_are_expected():
    """A ramp stays a ramp: its value at the new place of a pixel is that of the pixel."""
    ramp = (np.arange(80, dtype=np.uint8) * 3)[:, None].repeat(40, 1)
    for scale in (0.5, 1.5, 2.0, 3.7):
        made = enlarged(ramp, scale)[:, 3]
        at = to_scale(np.arange(10, 70), scale)
        np.testing.assert_allclose(np.interp(at, np.arange(len(made)), made), np.arange(10, 70) * 3, atol=1.6)


def test_scale_makes_patches_of_one_size_in_pixels_or_in_tissue():
    assert scale_of(region(0, mm=0.05), {"patch_px": 40, "mm_per_px": 0.0}, 80) == 2
    assert scale_of(region(0, mm=0.05), {"patch_px": 40, "mm_per_px": 0.1}, 80) == 1


def test_patches_lie_on_both_interfaces_and_away_from_them():
    r = region(1)
    patches = list(patches_of(r, PLAIN, 32, 5))
    assert [label for _, label, _ in patches] == [1] * 40 + [2] * 40 + [0] * 120
    for label, x, y in places(patches):
        traces = r.traces.both()[:, int(x) - r.columns[0]]
        if label:
            assert y == pytest.approx(traces[label - 1], abs=0.051)
        else:
            assert (np.abs(traces - y) >= PLAIN["background_px"]).all()
            assert r.top <= y < r.bottom
    assert {patch.shape for patch, _, _ in patches} == {(32, 32)}
    assert len(set(places(patches)[:40])) == 40


def test_patches_are_a_function_of_the_seed_and_the_region():
    first, again, other = (list(patches_of(region(1), APPLICATION.defaults, 32, seed)) for seed in (5, 5, 6))
    assert all(np.array_equal(a, b) and p == q for (a, _, p), (b, _, q) in zip(first, again))
    assert [place for *_, place in first] != [place for *_, place in other]


def test_no_patch_near_a_calliper_cross():
    r = region(2)
    x, y = 80, int(r.traces.li[60])
    near = [place for place in places(patches_of(with_crosses(r, (x, y)), PLAIN, 32, 1)) if abs(place[1] - x) <= 28]
    assert all(label == 0 and abs(row - y) > 28 for label, _, row in near)
    assert len([place for place in places(patches_of(r, PLAIN, 32, 1)) if abs(place[1] - x) <= 28]) > 50


def test_a_region_all_of_which_is_near_crosses_gives_no_positives():
    r = region(2)
    crossed = with_crosses(r, *((x, int(r.traces.li[x - 20])) for x in range(25, 140, 25)))
    assert {label for _, label, _ in patches_of(crossed, PLAIN, 32, 1)} <= {0}


def test_crosses_are_painted_over_where_that_is_wanted(case, tmp_path):
    image = read_image(case.info["image"], colour=False)[0].copy()
    untouched = image.copy()
    draw_cross(image, 80, 60)
    cv2.imwrite(str(tmp_path / "x.png"), image)
    crossed = Case("x", "p", None, {**case.info, "image": str(tmp_path / "x.png")})
    kept, erased = (region_of(crossed, {"margin_mm": 0.6, "erase_callipers": on}, 0) for on in (False, True))
    np.testing.assert_array_equal(kept.image, image)
    assert kept.crosses.tolist() == erased.crosses.tolist() == [[80, 60]]
    changed = np.argwhere(erased.image != image)
    assert np.abs(changed - [60, 80]).max() <= 6
    assert np.abs(erased.image.astype(int) - untouched).max() < np.abs(image.astype(int) - untouched).max() / 2
    assert len(find_crosses(erased.image)) == 0
