"""Patches of planes through a candidate: against scipy's interpolation, and on tubes whose form is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from scipy.spatial.transform import Rotation

from caffe_port import rng
from caffe_port.study.embolism.planes import Resampler, variations
from tests.study.embolism.test_vessels import BLOOD, LUNG, SPACING, directions, distances, inside

APP = {
    "representation": "vessel",
    "patch_px": 24,
    "widths_mm": [10.0, 15.0, 20.0],
    "shifts": [-0.2, 0.0, 0.2],
    "rotations": 6,
    "window_hu": [-250, 450],
}


def frames(count: int) -> np.ndarray:
    return Rotation.random(count, random_state=1).as_matrix()


def expected(hu: np.ndarray, place: np.ndarray, frame: np.ndarray, rows: int, columns: int, how: tuple) -> np.ndarray:
    """One plane of one variation, pixel by pixel: the definition, in float64."""
    width, shift, angle = how
    axis = frame[0]
    turned = [axis, *(Rotation.from_rotvec(np.radians(angle) * axis).apply(row) for row in frame[1:])]
    size = APP["patch_px"]
    points = np.zeros((size, size, 3))
    for i in range(size):
        for j in range(size):
            down, right = ((k + 0.5) * width / size - width / 2 for k in (i, j))
            points[i, j] = place + (shift * width * axis + down * turned[rows] + right * turned[columns]) / SPACING
    values = ndimage.map_coordinates(hu.astype(float), points.reshape(-1, 3).T, order=1, mode="nearest")
    return ((values.clip(-250, 450) + 250) * 255 / 700).reshape(size, size)


@pytest.mark.parametrize(
    ("representation", "planes"), [("vessel", [(1, 2), (0, 2), (0, 2)]), ("planes", [(1, 2), (0, 2), (0, 1)])]
)
def test_patches_are_trilinear_interpolations_at_the_planes_points(representation, planes):
    hu = rng.numpy_generator("hu").integers(-400, 600, (50, 44, 40)).astype(np.int16)
    places = np.array([[25, 20, 20], [3, 40, 38]])  # the second near a corner: beyond the border
    given = frames(2)
    found = list(Resampler(SPACING, APP | {"representation": representation})(hu, places, given))
    ways = variations(APP)
    assert len(ways) == 54
    for place, frame, images in zip(places, given, found, strict=True):
        frame = frame if representation == "vessel" else np.eye(3)
        assert images.shape == (54, 24, 24, 3)
        assert images.dtype == np.uint8
        for index in (0, 20, 53):
            for channel, (rows, columns) in enumerate(planes):
                exact = expected(hu, place, frame, rows, columns, ways[index])
                assert np.abs(images[index, ..., channel] - exact).max() < 0.5 + 0.01


def test_the_three_planes_are_slices_of_the_volume():
    hu = rng.numpy_generator("hu").integers(-250, 451, (31, 31, 31)).astype(np.int16)
    app = APP | {"representation": "planes", "patch_px": 11, "widths_mm": [11.0], "shifts": [0.0], "rotations": 1}
    ((image,),) = Resampler(1.0, app)(hu, np.array([[15, 14, 16]]), np.eye(3)[None])
    grey = (hu + 250) * (255 / 700)
    for channel, plane in enumerate((grey[15, 9:20, 11:22], grey[10:21, 14, 11:22], grey[10:21, 9:20, 16])):
        assert np.abs(image[..., channel] - plane).max() < 0.51


def test_a_tube_is_a_disc_across_and_a_band_along():
    radius, size, width = 3.0, 60, 20.0
    direction = directions(1)[0]
    hu = LUNG + (BLOOD - LUNG) * inside(distances(direction, np.zeros(3))[1], radius)
    across = np.linalg.svd(direction[None])[2][1:]
    frame = np.stack([direction, across[0], np.cross(direction, across[0])])
    app = APP | {"patch_px": size, "widths_mm": [width], "rotations": 3}
    (images,) = Resampler(SPACING, app)(hu, np.array([[20, 20, 20]]), frame[None])
    steps = (np.arange(size) + 0.5) * width / size - width / 2
    disc = np.hypot(steps[:, None], steps)
    band = np.broadcast_to(np.abs(steps), (size, size))
    for image in images:  # whatever the shift and the angle
        for plane, distance in ((image[..., 0], disc), (image[..., 1], band)):
            assert plane[distance < radius - 1].min() > 200
            assert plane[distance > radius + 1].max() < 20
        np.testing.assert_array_equal(image[..., 1], image[..., 2])


def test_shifts_go_along_the_vessel():
    hu = np.broadcast_to(np.arange(41.0)[:, None, None], (41, 41, 41))  # HU tell the place along z
    app = APP | {"patch_px": 5, "widths_mm": [10.0], "rotations": 1, "window_hu": [0, 255]}
    (images,) = Resampler(1.0, app)(hu, np.array([[20, 20, 20]]), np.eye(3)[None])
    assert images[..., 0].mean(axis=(1, 2)).tolist() == [18, 20, 22]
    assert images[1, :, 0, 1].tolist() == [16, 18, 20, 22, 24]  # rows of the longitudinal plane run along the axis


def test_places_are_resampled_alike_alone_and_in_batches():
    hu = rng.numpy_generator("hu").integers(-400, 600, (40, 40, 40)).astype(np.int16)
    places = rng.numpy_generator("places").integers(0, 40, (30, 3))
    given = frames(30)
    resampler = Resampler(SPACING, APP | {"patch_px": 64})
    every = list(resampler(hu, places, given))
    assert len(every) == 30
    for index in (0, 8, 29):
        (alone,) = resampler(hu, places[index : index + 1], given[index : index + 1])
        assert np.abs(alone.astype(int) - every[index]).max() <= 1
