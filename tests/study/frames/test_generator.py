"""The procedural frames: the same for the same seed, of both classes, and called procedural."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffe_port import rng
from caffe_port.errors import DataError
from caffe_port.study.frames.generator import TROUBLES, Camera, write_frames
from caffe_port.study.frames.loaders import load_folders

SIZE = (160, 112)


@pytest.fixture(scope="module")
def camera() -> Camera:
    return Camera(seed=1, video=0, size=SIZE)


def sharpness(image: np.ndarray) -> float:
    return float(cv2.Laplacian(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY), cv2.CV_32F).std())


def test_frames_are_functions_of_seed_video_and_number(camera):
    kind, frame = camera.frame(3)
    camera.frame(0)
    again, same = Camera(1, 0, SIZE).frame(3)
    assert kind == again
    np.testing.assert_array_equal(frame, same)
    for other in (camera.frame(13)[1], Camera(2, 0, SIZE).frame(3)[1], Camera(1, 1, SIZE).frame(3)[1]):
        assert not np.array_equal(frame, other)


def test_every_second_frame_is_informative_and_troubles_take_turns(camera):
    kinds = [camera.frame(number)[0] for number in range(10)]
    assert kinds[::2] == ["informative"] * 5
    assert sorted(kinds[1::2]) == sorted(TROUBLES)


def test_what_blurs_takes_detail(camera):
    frame = camera.frame(0)[1].astype(np.float32)
    sharp = sharpness(np.clip(frame, 0, 255).astype(np.uint8))
    for name in ("motion", "defocus", "contact", "fluid"):
        troubled = TROUBLES[name](frame.copy(), rng.numpy_generator(name))
        assert sharpness(np.clip(troubled, 0, 255).astype(np.uint8)) < 0.7 * sharp, name
    assert TROUBLES["glare"](frame.copy(), rng.numpy_generator("glare")).mean() > 1.15 * frame.mean()


def test_corners_are_black_and_the_middle_is_not(camera):
    frame = camera.frame(0)[1]
    for row in (0, -1):
        for column in (0, -1):
            assert frame[row, column].max() == 0
    assert frame[40:70, 60:100].mean() > 20


def test_written_frames_load_by_video_and_say_that_they_are_procedural(tmp_path):
    seen = []
    write_frames(tmp_path, videos=2, frames=4, seed=5, size=(80, 56), progress=lambda *counts: seen.append(counts))
    cases = load_folders(tmp_path)
    assert {case.patient for case in cases} == {"procedural_v00", "procedural_v01"}
    assert sum(case.label for case in cases) == 4
    assert all("procedural" in case.id for case in cases)
    assert b"no evidence" in (tmp_path / "PROCEDURAL.txt").read_bytes()
    assert seen[-1] == (8, 8)


@pytest.mark.parametrize("wrong", [{"videos": 0}, {"frames": 0}, {"size": (500, 8)}])
def test_impossible_requests_are_refused(tmp_path, wrong):
    with pytest.raises(DataError, match="cannot be made"):
        write_frames(tmp_path, **({"videos": 1, "frames": 1} | wrong))
