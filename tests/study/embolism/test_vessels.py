"""The direction of vessels: tubes whose axis is known, with clots, neighbours and noise."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_port import rng
from caffe_port.study.embolism.vessels import cubes, orientations

SPACING = 0.8
SIGMAS = (2.0, 3.0, 4.5, 6.0)
WINDOW = (-250, 150)
LUNG, BLOOD, CLOT = -850.0, 350.0, 50.0
CENTRE = np.array([[20, 20, 20]])


def grid(side: int = 41) -> np.ndarray:
    """Places (z, y, x) in mm from the middle of a cube: (side, side, side, 3)."""
    steps = (np.arange(side) - side // 2) * SPACING
    return np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), axis=-1)


def distances(direction: np.ndarray, through: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Of every voxel: the place along the line, and the distance from it."""
    places = grid() - through
    along = places @ direction
    return along, np.sqrt(np.maximum((places**2).sum(-1) - along**2, 0))


def inside(distance: np.ndarray, radius: float) -> np.ndarray:
    """1 inside, 0 outside, over about a voxel between: the partial volumes of a round surface."""
    return np.clip(0.5 + (radius - distance) / SPACING, 0, 1)


def tube(direction: np.ndarray, through: np.ndarray, radius: float, clot: str, noise: float = 20) -> np.ndarray:
    along, distance = distances(direction, through)
    part = {
        "none": np.zeros_like(along),
        "round": inside(np.sqrt((grid() ** 2).sum(-1)), 0.7 * radius),
        "long": inside(distance, 0.6 * radius) * inside(np.abs(along), 6),
        "occluding": inside(np.abs(along), 4),
    }[clot]
    lumen = inside(distance, radius)
    hu = LUNG + (BLOOD + (CLOT - BLOOD) * part - LUNG) * lumen
    return hu + rng.numpy_generator("noise", clot).normal(0, noise, hu.shape)


def directions(count: int) -> np.ndarray:
    found = rng.numpy_generator("directions").normal(size=(count, 3))
    return found / np.linalg.norm(found, axis=1, keepdims=True)


def degrees(axis: np.ndarray, direction: np.ndarray) -> float:
    return float(np.degrees(np.arccos(min(1.0, abs(axis @ direction)))))


@pytest.mark.parametrize("clot", ["none", "round", "long", "occluding"])
@pytest.mark.parametrize("radius", [1.5, 3.0, 8.0])
def test_the_axis_of_a_tube_is_found_to_two_degrees_whatever_clot_is_in_it(radius, clot):
    for direction in directions(6):
        off = np.cross(direction, [0.3, 0.5, 0.8])
        hu = tube(direction, off * 0.5 * radius, radius, clot)  # the candidate is off the axis
        (axis,) = orientations(hu, CENTRE, SPACING, SIGMAS, WINDOW).axes
        assert degrees(axis, direction) < 2


@pytest.mark.parametrize("clot", ["none", "round", "long"])
@pytest.mark.parametrize("radius", [2.0, 4.0, 8.0])
def test_in_soft_tissue_it_is_found_to_four_degrees(radius, clot):
    for direction in directions(4):
        hu = np.maximum(tube(direction, 0.3 * radius * np.cross(direction, [0.3, 0.5, 0.8]), radius, clot), CLOT)
        (axis,) = orientations(hu, CENTRE, SPACING, SIGMAS, WINDOW).axes
        assert degrees(axis, direction) < 4


def test_a_neighbouring_vessel_turns_the_axis_by_less_than_ten_degrees():
    for direction in directions(4):
        aside = np.cross(direction, [0.3, 0.5, 0.8])
        aside /= np.linalg.norm(aside)
        aslant = (np.cross(direction, aside) + direction) / np.sqrt(2)
        hu = np.maximum(tube(direction, np.zeros(3), 2, "round"), tube(aslant, 5 * aside, 2, "none"))
        (axis,) = orientations(hu, CENTRE, SPACING, SIGMAS, WINDOW).axes
        assert degrees(axis, direction) < 10


def test_frames_are_right_handed_orthonormal_and_their_signs_are_fixed():
    hu = rng.numpy_generator("hu").normal(100, 100, (30, 32, 34))
    places = rng.numpy_generator("places").integers(0, 30, (20, 3))
    found = orientations(hu, places, SPACING, SIGMAS, WINDOW)
    np.testing.assert_allclose(found.frames @ found.frames.swapaxes(1, 2), np.tile(np.eye(3), (20, 1, 1)), atol=1e-6)
    np.testing.assert_allclose(np.linalg.det(found.frames), 1, atol=1e-6)
    for frame in found.frames:
        assert all(row[np.abs(row).argmax()] > 0 for row in frame[:2])
    assert (np.diff(found.eigenvalues, axis=1) >= 0).all()


def test_a_place_has_the_same_axis_alone_and_among_others():
    hu = rng.numpy_generator("hu").normal(100, 100, (40, 40, 40))
    places = rng.numpy_generator("places").integers(0, 40, (300, 3))
    every = orientations(hu, places, SPACING, SIGMAS, WINDOW).axes
    for index in (0, 150, 299):
        (alone,) = orientations(hu, places[index : index + 1], SPACING, SIGMAS, WINDOW).axes
        np.testing.assert_allclose(every[index], alone, atol=1e-4)


def test_noise_has_no_direction_but_a_tube_has():
    direction = directions(1)[0]
    noise = rng.numpy_generator("noise").normal(100, 60, (41, 41, 41))
    low, _, high = orientations(noise, CENTRE, SPACING, SIGMAS, WINDOW).eigenvalues[0]
    assert low / high > 0.7
    low, middle, high = orientations(
        tube(direction, np.zeros(3), 3, "none"), CENTRE, SPACING, SIGMAS, WINDOW
    ).eigenvalues[0]
    assert low / high < 0.02
    assert middle / high > 0.9  # round


def test_eigenvalues_are_mean_squares_of_the_gradient():
    ramp = grid() @ np.array([3.0, 0, 0])  # 3 HU per mm along z
    found = orientations(ramp, CENTRE, SPACING, SIGMAS, WINDOW)
    np.testing.assert_allclose(found.eigenvalues[0], [0, 0, 9], atol=0.01)
    np.testing.assert_allclose(np.abs(found.frames[0, 2]), [1, 0, 0], atol=1e-3)


def test_no_places_are_no_trouble():
    found = orientations(np.zeros((9, 9, 9)), np.zeros((0, 3), int), SPACING, SIGMAS, WINDOW)
    assert found.frames.shape == (0, 3, 3)


def test_cubes_repeat_the_border():
    hu = np.arange(4 * 5 * 6).reshape(4, 5, 6)
    places = np.array([[0, 0, 0], [3, 2, 5], [1, 4, 3]])
    padded = np.pad(hu, 2, mode="edge")
    for place, cube in zip(places, cubes(hu, places, 2), strict=True):
        z, y, x = place
        np.testing.assert_array_equal(cube, padded[z : z + 5, y : y + 5, x : x + 5])
