"""The procedural polyps: the same for the same seed, marked where they are, and called procedural."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from caffe_port.errors import DataError
from caffe_port.study.polyps.lesions import components
from caffe_port.study.polyps.loaders import detect, load_masks
from caffe_port.study.polyps.phantoms import Bowel, Scope, Spot, write_phantoms

SIZE = (96, 80)


@pytest.fixture(scope="module")
def scope() -> Scope:
    return Scope(seed=1, video=0, size=SIZE)


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder of phantoms, and what their writer said of its progress."""
    folder, seen = tmp_path_factory.mktemp("phantoms"), []
    write_phantoms(folder, videos=2, frames=4, seed=1, size=SIZE, progress=lambda *counts: seen.append(counts))
    return folder, seen


@pytest.fixture(scope="module")
def folder(written):
    return written[0]


def test_frames_are_functions_of_seed_video_and_number(scope, folder):
    frame, mask = scope.frame(3)
    inside = folder / "procedural_v00"
    np.testing.assert_array_equal(cv2.imread(str(inside / "images/procedural_0003.png")), frame)
    np.testing.assert_array_equal(cv2.imread(str(inside / "masks/procedural_0003.png"), cv2.IMREAD_UNCHANGED), mask)
    for other in (scope.frame(4), Scope(2, 0, SIZE).frame(3)):
        assert not np.array_equal(frame, other[0])
        assert not np.array_equal(mask, other[1])


def test_written_videos_load_and_say_that_they_are_procedural(folder, scope):
    cases = load_masks(folder)
    assert detect(folder) == "masks"
    assert [case.patient for case in cases] == ["procedural_v00"] * 4 + ["procedural_v01"] * 4
    assert all("procedural" in case.id and case.info["size"] == list(SIZE) for case in cases)
    assert b"no evidence" in (folder / "PROCEDURAL.txt").read_bytes()
    _, mask = scope.frame(2)
    assert [part["box"] for part in cases[2].info["polyps"]] == [list(c.box) for c in components(mask > 0)[1]]


def test_a_polyp_is_one_through_its_video_and_every_second_video_has_none(folder):
    cases = load_masks(folder)
    assert [case.lesions for case in cases] == [("procedural_v00/1",)] * 4 + [()] * 4


def test_masks_are_black_and_white_and_move_slowly(scope):
    masks = [scope.frame(number)[1] for number in range(4)]
    assert set(np.unique(masks)) == {0, 255}
    for before, after in pairwise(masks):
        assert ((before > 0) & (after > 0)).sum() > 0.6 * ((before > 0) | (after > 0)).sum()


def test_the_picture_differs_where_the_polyp_is_and_hardly_elsewhere(scope):
    """Against the same bowel before the polyp has grown."""
    frame, mask = scope.frame(3)
    bare = Bowel("procedural", "polyps", 1, 0).render(scope._view(3), *SIZE)
    difference = np.abs(frame.astype(np.float32) - np.clip(bare, 0, 255)).mean(axis=2)
    seen = scope._aperture == 1
    assert difference[mask > 0].mean() > 2.5 * np.median(difference[(mask == 0) & seen])


def test_corners_are_black_and_the_middle_is_not(scope):
    frame, _ = scope.frame(0)
    assert frame[[0, 0, -1, -1], [0, -1, 0, -1]].max() == 0
    assert frame[30:50, 30:66].mean() > 20


def test_the_distance_from_a_spot_is_that_on_a_repeating_wall():
    spot = Spot(z=11.9, angle=6.2, radius=0.5, uneven=0)
    z, angle = np.array([11.9, 0.4, 11.9]), np.array([6.2, 6.2, 6.2 + 0.5 - 2 * np.pi])
    np.testing.assert_allclose(spot.distance(z, angle), [0, 1, 1], atol=1e-6)
    table = np.zeros((120, 100))
    index, distance = spot.cells(table)
    table[index] = distance < 1
    full = spot.distance(np.arange(120)[:, None] / 10, np.arange(100)[None] / 100 * 2 * np.pi) < 1
    np.testing.assert_array_equal(table, full)


@pytest.mark.parametrize("wrong", [{"videos": 0}, {"frames": 0}, {"size": (500, 8)}])
def test_impossible_requests_are_refused(tmp_path, wrong):
    with pytest.raises(DataError, match="cannot be made"):
        write_phantoms(tmp_path, **({"videos": 1, "frames": 1} | wrong))


def test_progress_counts_frames(written):
    assert written[1] == [(number, 8) for number in range(1, 9)]
