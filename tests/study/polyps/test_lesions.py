"""Polyps in masks: which pixels are one, and which are the same through a sequence."""

from __future__ import annotations

from itertools import product

import cv2
import numpy as np
import pytest

from caffe_port.errors import DataError
from caffe_port.study.cases import Case
from caffe_port.study.polyps.layouts import Frame, Video, cases_of
from caffe_port.study.polyps.lesions import GAP, NEAR, SPECK, components, follow, hit, polyps_of, read_mask
from tests.study.polyps.pictures import mask_of, write

WIDE = (400, 100)


def parts(*discs, size=WIDE):
    return components(mask_of(*discs, size=size) > 0)[1]


def flood(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """The 8-connected components of a mask, pixel by pixel."""
    left = set(zip(*(index.tolist() for index in np.nonzero(mask))))
    found = []
    while left:
        grown, border = set(), [left.pop()]
        while border:
            row, column = border.pop()
            grown.add((row, column))
            around = {(row + i, column + j) for i, j in product((-1, 0, 1), repeat=2)} & left
            left -= around
            border += around
        found.append(grown)
    return found


class TestComponents:
    @pytest.mark.parametrize("seed", range(5))
    def test_are_those_of_a_flood_fill_without_specks(self, seed):
        noise = np.random.default_rng(seed).standard_normal((60, 80)).astype(np.float32)
        mask = cv2.GaussianBlur(noise, (0, 0), 2.5) > 0.08
        labels, found = components(mask)
        expected = [pixels for pixels in flood(mask) if len(pixels) >= SPECK]
        assert len(expected) > 2
        assert labels.dtype == np.int32
        got = [set(zip(*(index.tolist() for index in np.nonzero(labels == k + 1)))) for k in range(len(found))]
        assert sorted(map(sorted, got)) == sorted(map(sorted, expected))
        for pixels, component in zip(got, found):
            rows, columns = np.array(sorted(pixels)).T
            box = columns.min(), rows.min(), columns.max() - columns.min() + 1, rows.max() - rows.min() + 1
            assert component.box == box
            assert component.area == len(pixels)
            assert component.centre == pytest.approx((columns.mean(), rows.mean()))

    def test_the_smallest_has_as_many_pixels_as_a_speck(self):
        mask = np.zeros((20, 40), bool)
        mask[2:6, 2 : 2 + SPECK // 4] = True
        mask[10, 10 : 10 + SPECK - 1] = True
        assert [component.box for component in components(mask)[1]] == [(2, 2, SPECK // 4, 4)]

    def test_diagonal_neighbours_are_connected(self):
        mask = np.zeros((20, 20), bool)
        mask[2:7, 2:7] = mask[7:12, 7:12] = True
        assert [component.area for component in components(mask)[1]] == [50]


class TestFollow:
    def test_a_polyp_that_moves_and_grows_is_one(self):
        assert follow(parts((20 + 9 * t, 50, 8 + t)) for t in range(20)) == [[1]] * 20

    @pytest.mark.parametrize(("factor", "same"), [(0.95, True), (1.05, False)])
    def test_a_jump_is_measured_in_diameters(self, factor, same):
        radius = 20
        frames = [parts((40, 50, radius)), parts((40 + factor * NEAR * 2 * radius, 50, radius))]
        assert follow(frames) == [[1], [1 if same else 2]]

    @pytest.mark.parametrize(("missing", "same"), [(GAP, True), (GAP + 1, False)])
    def test_a_gap_of_a_few_frames_is_bridged(self, missing, same):
        polyp = parts((50, 50, 10))
        assert follow([polyp, *[[]] * missing, polyp])[-1] == [1 if same else 2]

    def test_two_side_by_side_are_not_exchanged_when_one_comes_to_where_the_other_was(self):
        assert follow(parts((30 + 20 * t, 50, 9), (62 + 20 * t, 50, 9)) for t in range(8)) == [[1, 2]] * 8

    def test_one_that_an_instrument_cuts_in_two_stays_one(self):
        whole = mask_of((60, 50, 30), size=WIDE) > 0
        cut = whole.copy()
        cut[:, 55:65] = False
        frames = [components(mask)[1] for mask in (whole, cut, cut, whole)]
        assert follow(frames) == [[1], [1, 1], [1, 1], [1]]

    def test_two_that_touch_for_a_while_are_two_again(self):
        apart, touching = parts((40, 50, 12), (80, 50, 12)), parts((48, 50, 12), (72, 50, 14))
        assert len(touching) == 1
        first, between, last = follow([apart, touching, apart])
        assert first == last == [1, 2]
        assert between in ([1], [2])

    def test_a_second_one_that_appears_is_new(self):
        assert follow([parts((40, 50, 10)), parts((42, 50, 10), (200, 50, 10))]) == [[1], [1, 2]]

    def test_frames_without_polyps_have_none(self):
        assert follow([[], []]) == [[], []]


class TestPolypsOf:
    @pytest.fixture
    def case(self, tmp_path) -> Case:
        mask = write(tmp_path / "m.png", mask_of((20, 20, 8), (45, 30, 6)))
        return cases_of(tmp_path, [Video("v", [Frame(write(tmp_path / "f.png"), mask)])])[0]

    def test_a_point_hits_the_polyp_that_it_lies_in(self, case):
        polyps = polyps_of(case)
        assert polyps.labels.shape == (48, 64)
        assert polyps.ids == case.lesions == ("v/1", "v/2")
        assert hit(polyps, 20, 20) == hit(polyps, 27.6, 20.4) == "v/1"
        assert hit(polyps, 45, 30) == "v/2"
        assert hit(polyps, 29, 20) == hit(polyps, 0, 0) == ""

    @pytest.mark.parametrize("place", [(-3, 20), (20, -1), (64, 20), (20, 48), (1e6, 1e6)])
    def test_a_point_outside_the_frame_hits_nothing(self, case, place):
        assert hit(polyps_of(case), *place) == ""

    def test_a_frame_without_polyps_has_an_empty_label_image(self, tmp_path, case):
        empty = Frame(write(tmp_path / "e.png"), None)
        other = Frame(write(tmp_path / "g.png"), write(tmp_path / "n.png", mask_of((9, 9, 5))))
        polyps = polyps_of(cases_of(tmp_path, [Video("v", [empty, other])])[0])
        assert polyps.labels.shape == (48, 64)
        assert not polyps.labels.any()
        assert hit(polyps, 9, 9) == ""

    def test_a_mask_that_has_changed_is_refused(self, case):
        cv2.imwrite(case.info["mask"], mask_of((20, 20, 9)))
        with pytest.raises(DataError, match=r"m\.png: The mask has changed"):
            polyps_of(case)


def test_masks_in_jpeg_are_what_they_were_before(tmp_path):
    truth = mask_of((40, 40, 22), (120, 60, 30), size=(160, 128))
    path = tmp_path / "m.jpg"
    cv2.imwrite(str(path), truth, [cv2.IMWRITE_JPEG_QUALITY, 60])
    stored = cv2.imread(str(path), cv2.IMREAD_GRAYSCALE)
    assert len(np.unique(stored)) > 10  # neither 0 and 255 only
    assert (read_mask(path) != (truth > 0)).sum() < 60  # of a boundary of about 330 pixels
    assert [c.box for c in components(read_mask(path))[1]] == [c.box for c in components(truth > 0)[1]]
