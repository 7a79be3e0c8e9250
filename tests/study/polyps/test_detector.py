"""The candidate detector: each stage against closed forms and naive loops, and the whole on discs."""

from __future__ import annotations

import shutil
from dataclasses import replace

import cv2
import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from caffe_port import rng
from caffe_port.errors import CaffeWarning, DataError
from caffe_port.study.cases import Case
from caffe_port.study.polyps import oriented
from caffe_port.study.polyps.boundary import BRIGHT, DARK, OTHER, UNKNOWN, labels_of, learn_boundaries
from caffe_port.study.polyps.detector import find_candidates
from caffe_port.study.polyps.edges import Edges, find_edges, seen_of
from caffe_port.study.polyps.lesions import polyps_of
from caffe_port.study.polyps.oriented import ALONG_EDGE, ALONG_NORMAL, SPACING, descriptors, oriented_patches
from caffe_port.study.polyps.outlines import outlines_of
from caffe_port.study.polyps.votes import CELL, Voters, peaks, vote_map
from caffe_port.study.polyps.working import read_frame
from tests.study.polyps.discs import write_videos

SETTINGS = {"width": 200, "edge_pixels": 1200, "boundary_pixels": 5000, "trees": 15, "candidates": 4}


def silent(done: int, total: int) -> None:
    """No progress to show."""


def disc(radius: float, inside: int, outside: int, size: int = 160) -> np.ndarray:
    y, x = np.mgrid[:size, :size]
    grey = np.where(np.hypot(x - size / 2, y - size / 2) < radius, inside, outside).astype(np.uint8)
    return np.stack([grey // 2, grey, grey], axis=2)


def ring(centre: tuple[float, float], radii: np.ndarray, angles: np.ndarray) -> Voters:
    """Voters at these distances and angles that all point to the centre."""
    away = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return Voters(np.asarray(centre) + radii[:, None] * away, -away, np.ones(len(angles)))


@pytest.mark.parametrize(("inside", "outside", "sign"), [(200, 100, -1), (60, 180, 1)])
def test_edges_of_a_disc_lie_on_its_rim_and_their_normals_point_to_the_bright_side(inside, outside, sign):
    edges = find_edges(disc(40, inside, outside), 10_000)
    away = edges.points - 80
    assert len(edges) > 200
    np.testing.assert_allclose(np.hypot(*away.T), 40, atol=1.5)
    cosine = (away * edges.normals).sum(axis=1) / np.hypot(*away.T)
    assert (sign * cosine).min() > 0.95


def test_of_too_many_edges_an_even_part_is_taken():
    edges = find_edges(disc(40, 200, 100), 60)
    assert len(edges) == 60
    angles = np.sort(np.arctan2(*(edges.points - 80).T))
    assert np.diff(angles).max() < 0.5  # of 2 pi: no part of the rim is left out


def test_the_black_surround_gives_no_edges_but_a_dark_lumen_does():
    y, x = np.mgrid[:160, :160]
    image = np.full((160, 160, 3), 140, np.uint8)
    image[np.hypot(x - 80, y - 80) < 20] = 2  # the lumen
    image[np.hypot(x - 80, y - 80) > 70] = 3  # the surround
    seen = seen_of(image)
    assert seen[80, 80]
    assert not seen[np.hypot(x - 80, y - 80) > 67].any()
    distances = np.hypot(*(find_edges(image, 10_000).points - 80).T)
    np.testing.assert_allclose(distances, 20, atol=1.5)


@pytest.mark.parametrize("value", [0, 128])
def test_an_even_frame_has_no_edges(value):
    image = np.full((90, 120, 3), value, np.uint8)
    edges = find_edges(image, 100)
    assert len(edges) == 0
    two = Edges(np.ones((2, 2), np.float32), np.eye(2, dtype=np.float32))
    assert descriptors(image, edges).shape == descriptors(image, two)[:0].shape


def test_oriented_patches_are_those_of_a_naive_rotation():
    random = rng.numpy_generator("smooth")
    image = cv2.GaussianBlur(random.uniform(0, 255, (80, 90, 3)).astype(np.float32), (0, 0), 3)
    angles = random.uniform(0, 2 * np.pi, 5)
    edges = Edges(
        random.uniform(5, 75, (5, 2)).astype(np.float32),
        np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32),
    )
    patches = oriented_patches(image, edges)
    for n, (px, py) in enumerate(edges.points):
        for row, column in [(0, 0), (3, 20), (15, 23), (8, 11)]:
            u, v = SPACING * (column - (ALONG_NORMAL - 1) / 2), SPACING * (row - (ALONG_EDGE - 1) / 2)
            x = np.clip(px + u * np.cos(angles[n]) - v * np.sin(angles[n]), 0, 89)
            y = np.clip(py + u * np.sin(angles[n]) + v * np.cos(angles[n]), 0, 79)
            left, top = min(int(x), 88), min(int(y), 78)
            a, b = x - left, y - top
            cells = image[top : top + 2, left : left + 2]
            expected = (1 - b) * ((1 - a) * cells[0, 0] + a * cells[0, 1]) + b * (
                (1 - a) * cells[1, 0] + a * cells[1, 1]
            )
            np.testing.assert_allclose(patches[n, row, column], expected, atol=1.0)  # OpenCV: 1/32 of a pixel


def test_descriptors_are_dct_coefficients_of_averaged_strips(monkeypatch):
    monkeypatch.setattr(oriented, "_BLUR", 0.1)
    image = rng.numpy_generator("noise").integers(0, 256, (80, 90, 3), np.uint8)
    edges = Edges(np.array([[40, 30]], np.float32), np.array([[0.6, 0.8]], np.float32))
    patch = oriented_patches(image.astype(np.float32), edges)[0].astype(float)
    found = descriptors(image, edges)[0].reshape(3, -1, 8)
    patch -= patch.mean(axis=(0, 1))
    n = np.arange(ALONG_NORMAL)
    for channel in range(3):
        for strip, start in enumerate(range(0, ALONG_EDGE - 3, 3)):
            profile = patch[start : start + 4, :, channel].mean(axis=0)
            for k in range(8):
                scale = np.sqrt((1 if k == 0 else 2) / ALONG_NORMAL)
                expected = scale * (profile * np.cos(np.pi * k * (2 * n + 1) / (2 * ALONG_NORMAL))).sum()
                assert found[channel, strip, k] == pytest.approx(expected, abs=0.02)


def test_descriptors_do_not_depend_on_the_light_or_on_a_turn_of_the_frame():
    image = cv2.GaussianBlur(rng.numpy_generator("turn").integers(40, 200, (101, 101, 3), np.uint8), (0, 0), 2)
    edges = Edges(np.array([[50, 50]], np.float32), np.array([[0.8, 0.6]], np.float32))
    expected = descriptors(image, edges)
    np.testing.assert_allclose(descriptors(image + np.uint8(30), edges), expected, atol=0.5)
    turned = Edges(edges.points, np.array([[0.6, -0.8]], np.float32))  # a quarter turn against the clock: (y, -x)
    np.testing.assert_allclose(descriptors(np.ascontiguousarray(np.rot90(image)), turned), expected, atol=3)


def test_labels_tell_the_side_of_the_polyp():
    mask = np.hypot(*(np.mgrid[:160, :160] - 80)) < 40
    points = np.array([[120, 80], [120, 80], [80, 42], [120, 80], [130, 80], [80, 80], [126, 80]], np.float32)
    normals = np.array([[-1, 0], [1, 0], [0, 1], [0, 1], [1, 0], [1, 0], [1, 0]], np.float32)
    labels = labels_of(Edges(points, normals), mask)
    assert labels.tolist() == [BRIGHT, DARK, BRIGHT, UNKNOWN, OTHER, OTHER, UNKNOWN]
    assert labels_of(Edges(points, normals), np.zeros((160, 160), bool)).tolist() == [OTHER] * 7


def test_votes_of_a_circle_peak_at_its_centre():
    votes = vote_map(ring((150, 90), np.full(120, 37.0), np.linspace(0, 2 * np.pi, 120, endpoint=False)), (200, 260))
    assert votes.shape == (100, 130)
    (place, most), *others = peaks(votes, 5, 20)
    np.testing.assert_allclose(place, [150, 90], atol=CELL)
    assert most == votes.max()
    assert all(other < 0.5 * most for _, other in others)


def test_votes_from_several_sides_count_more():
    arc = np.linspace(-0.5, 0.5, 60)
    angles = {
        "one": arc,
        "two": np.concatenate([arc[::2], arc[::2] + np.pi]),
        "all": np.linspace(0, 2 * np.pi, 60, endpoint=False),
    }
    most = {
        name: vote_map(ring((100, 100), np.full(60, 40.0), some), (200, 200))[45:55, 45:55].max()
        for name, some in angles.items()
    }
    assert 1.5 * most["one"] < most["two"] < 2.5 * most["one"]
    assert most["all"] > 3 * most["one"]


def test_peaks_are_the_highest_places_and_apart():
    votes = np.zeros((50, 60), np.float32)
    votes[10, 20], votes[10, 24], votes[40, 50], votes[30, 5] = 5, 4, 3, 6
    found = peaks(votes, 10, 5 * CELL)
    middle = (CELL - 1) / 2
    expected = [[5 * CELL, 30 * CELL], [20 * CELL, 10 * CELL], [50 * CELL, 40 * CELL]]
    np.testing.assert_array_equal([place - middle for place, _ in found], expected)
    assert [most for _, most in found] == [6, 5, 3]
    assert len(peaks(votes, 2, 5 * CELL)) == 2
    assert peaks(np.zeros((5, 5), np.float32), 2, 1) == []


def test_of_equal_neighbours_one_is_a_peak():
    votes = np.zeros((50, 60), np.float32)
    votes[10, 20:23], votes[40, 20] = 5, 5
    found = [place.tolist() for place, _ in peaks(votes, 10, 5 * CELL)]
    assert found == [[CELL * 20 + 0.5, CELL * 10 + 0.5], [CELL * 20 + 0.5, CELL * 40 + 0.5]]


@pytest.mark.parametrize("missing", [0.0, 0.25])
def test_the_box_is_that_of_the_boundary(missing):
    angles = np.linspace(0, 2 * np.pi * (1 - missing), 200, endpoint=False) + 0.3
    voters = ring((100, 80), 40 / np.hypot(np.cos(angles), np.sin(angles) / 0.8), angles)  # half axes 40 and 32
    centre = np.array([101.0, 79.0])
    (outline,) = outlines_of([centre], voters)
    np.testing.assert_allclose(outline.box(200, 160), [60, 48, 80, 64], atol=6)
    left, top, width, height = outline.box(120, 160)  # the frame ends at x = 120
    assert left + width == 120
    assert (top, height) == tuple(outline.box(200, 160)[1::2])


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """Cases of four training and three other videos."""
    root = tmp_path_factory.mktemp("discs")
    return write_videos(root / "train", 4, 6), write_videos(root / "test", 3, 6, "w")


@pytest.fixture(scope="module")
def black(tmp_path_factory) -> Case:
    """A frame without light."""
    path = tmp_path_factory.mktemp("black") / "black.png"
    cv2.imwrite(str(path), np.zeros((90, 160, 3), np.uint8))
    return Case("black", "x", None, {"path": str(path), "mask": None, "size": [160, 90], "polyps": []})


@pytest.fixture(scope="module")
def found(videos, black):
    train, test = videos
    return find_candidates(train, [*train, *test, black], SETTINGS, 1, silent)


def test_it_finds_most_polyps_of_other_videos_and_tells_them_from_the_rest(videos, found):
    train, test = videos
    assert list(found) == [case.id for case in [*train, *test]] + ["black"]
    candidates = [candidate for case in test for candidate in found[case.id]]
    assert all(len(found[case.id]) <= 4 for case in test)
    hits = [bool(candidate.lesion) for candidate in candidates]
    assert roc_auc_score(hits, [candidate.score for candidate in candidates]) > 0.9
    polyps = {(case.id, lesion) for case in test for lesion in case.lesions}
    seen = {(case.id, candidate.lesion) for case in test for candidate in found[case.id]}
    assert len(polyps & seen) >= 0.8 * len(polyps)


def test_where_there_is_nothing_there_are_no_candidates(found):
    assert found["black"] == []


def test_a_candidate_hits_the_polyp_in_whose_component_it_lies(videos, found):
    for case in videos[1]:
        polyps = polyps_of(case)
        for candidate in found[case.id]:
            x, y = (int(part[2:]) for part in candidate.id.split(","))
            label = polyps.labels[y, x]
            assert candidate.lesion == (polyps.ids[label - 1] if label else "")


def test_boxes_fit_the_polyps(videos, found):
    overlaps = []
    for case in videos[1]:
        for polyp in case.info["polyps"]:
            hits = [candidate for candidate in found[case.id] if candidate.lesion == polyp["id"]]
            overlaps += [_overlap(candidate.info["box"], polyp["box"]) for candidate in hits]
    assert np.median(overlaps) > 0.6


def test_the_result_depends_on_neither_the_order_of_cases_nor_on_the_test_set(videos, found):
    train, test = videos
    again = find_candidates(train[::-1], test[:2], SETTINGS, 1, silent)
    assert again == {case.id: found[case.id] for case in test[:2]}


def test_a_training_video_is_judged_by_a_forest_that_has_not_seen_it(videos):
    train = videos[0]
    two = [case for case in train if case.patient in ("v0", "v1")]
    one = [case for case in two if case.patient == "v1"]
    settings = SETTINGS | {"boundary_pixels": 10**6}
    image = read_frame(two[0])
    judged = learn_boundaries(two, settings, 1, silent).voters(image, "v0", 1200)
    with pytest.warns(CaffeWarning, match="one video only"):
        other = learn_boundaries(one, settings, 1, silent).voters(image, "v0", 1200)
    np.testing.assert_array_equal(judged.weights, other.weights)


def test_what_cannot_be_learned_is_refused(videos, tmp_path):
    train = videos[0]
    without = [replace(case, lesions=(), info={**case.info, "polyps": []}) for case in train]
    with pytest.raises(DataError, match="No edge of the training frames"):
        find_candidates(without, without, SETTINGS, 1, silent)
    shutil.copytree(train[0].info["path"].rsplit("/", 1)[0], tmp_path / "images")
    gone = replace(train[0], info={**train[0].info, "path": str(tmp_path / "images" / "none.png")})
    with pytest.raises(DataError, match=r"none\.png"):
        find_candidates([gone, *train[1:]], train, SETTINGS, 1, silent)


def _overlap(a: list[float], b: list[float]) -> float:
    """Intersection over union of two boxes (left, top, width, height)."""
    sides = [max(0.0, min(a[i] + a[i + 2], b[i] + b[i + 2]) - max(a[i], b[i])) for i in (0, 1)]
    both = sides[0] * sides[1]
    return both / (a[2] * a[3] + b[2] * b[3] - both)
