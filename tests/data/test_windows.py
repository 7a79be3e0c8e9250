from __future__ import annotations

import math

import cv2
import numpy as np
import pytest

from caffe_port.data.windows import cut_window, read_windows
from caffe_port.errors import DataError
from tests.data.make import images

FILE = """# 0
a.png
3
20
30
4
2 0.9 1 2 10 12
1 0.5 0 0 5 5
3 0.3 4 4 8 8
4 0.49 1 1 2 2
# 1
b.png 3 10 10 1
7 0.05 1 1 3 4
"""


def write(tmp_path, text):
    (tmp_path / "windows.txt").write_text(text)
    return tmp_path / "windows.txt"


def test_read(tmp_path):
    got = read_windows(write(tmp_path, FILE), "root/", 0.5, 0.4)
    assert got.images == ["root/a.png", "root/b.png"]
    assert got.foreground.tolist() == [[0, 2, 1, 2, 10, 12], [0, 1, 0, 0, 5, 5]]
    assert got.background.tolist() == [[0, 0, 4, 4, 8, 8], [1, 0, 1, 1, 3, 4]]


@pytest.mark.parametrize(
    ("old", "new", "cause"),
    [
        ("# 1", "# 2", r"txt:12: '# 2' should be '# 1'"),
        ("# 0", "% 0", r"txt:\d: '% 0' should be '# 0'"),
        ("\n3\n", "\n1\n", "the image has 1 channels"),
        ("1 1 3 4", "1 1 3", "the file ends where a window should follow"),
        ("1 1 3 4", "1 1 3 x", "txt:13: not a number"),
        ("1 0.5", "0 0.5", "a label below 1"),
        ("b.png 3 10 10 1", "b.png 3 ten 10 1", "txt:12: not a number"),
    ],
)
def test_malformed(tmp_path, old, new, cause):
    assert old in FILE
    with pytest.raises(DataError, match=cause):
        read_windows(write(tmp_path, FILE.replace(old, new, 1)), "", 0.5, 0.4)


def test_empty_and_missing(tmp_path):
    with pytest.raises(DataError, match="Window file is empty"):
        read_windows(write(tmp_path, "\n"), "", 0.5, 0.5)
    with pytest.raises(DataError, match="Failed to open window file"):
        read_windows(tmp_path / "no.txt", "", 0.5, 0.5)


def literal(image, box, crop, pad, square, mirror):
    """The square that Caffe fills, by the published recipe, in double precision; None where rounding is a near tie.

    R-CNN's context padding (Girshick et al. 2014, appendix A): enlarge the box about its centre by
    crop / (crop - 2 pad), clip it to the image, warp what is left to its share of the square.
    """
    rows, columns = image.shape[:2]
    x1, y1, x2, y2 = box
    size, left, top = [crop, crop], 0, 0
    near_tie = False

    def rounded(x):
        nonlocal near_tie
        near_tie |= abs(abs(x) % 1 - 0.5) < 1e-4
        return math.floor(x + 0.5)

    if pad or square:
        factor = crop / (crop - 2 * pad)
        half = [(x2 - x1 + 1) / 2, (y2 - y1 + 1) / 2]
        centre = [x1 + half[0], y1 + half[1]]
        if square:
            half = [max(half)] * 2
        low = [rounded(c - h * factor) for c, h in zip(centre, half)]
        high = [rounded(c + h * factor) for c, h in zip(centre, half)]
        scale = [crop / (b - a + 1) for a, b in zip(low, high)]
        before = [max(0, -a) for a in low]
        after = [max(0, b - limit + 1) for b, limit in zip(high, (columns, rows))]
        (x1, y1), (x2, y2) = (
            [a + p for a, p in zip(low, before)],
            [b - p for b, p in zip(high, after)],
        )
        size = [rounded((b - a + 1) * s) for a, b, s in zip((x1, y1), (x2, y2), scale)]
        left = rounded((after if mirror else before)[0] * scale[0])
        top = rounded(before[1] * scale[1])
        size = [min(size[0], crop - left), min(size[1], crop - top)]
    if near_tie:
        return None
    out = np.zeros((crop, crop, 3))
    patch = cv2.resize(image[y1 : y2 + 1, x1 : x2 + 1], tuple(size)).astype(float)
    out[top : top + size[1], left : left + size[0]] = patch[:, ::-1] if mirror else patch
    return out


@pytest.mark.parametrize("pad", [0, 1, 4])
@pytest.mark.parametrize("square", [False, True])
@pytest.mark.parametrize("mirror", [False, True])
def test_cut_window(pad, square, mirror):
    image = images(1, (3, 40, 50))[0].transpose(1, 2, 0)
    rng = np.random.default_rng(2)
    compared = 0
    for _ in range(60):
        x1, x2 = sorted(rng.integers(0, 50, 2).tolist())
        y1, y2 = sorted(rng.integers(0, 40, 2).tolist())
        wanted = literal(image, (x1, y1, x2, y2), 17, pad, square, mirror)
        if wanted is None:
            continue
        patch = cut_window(image, (x1, y1, x2, y2), 17, pad, square, mirror)
        got = np.zeros((17, 17, 3))
        height, width = patch.pixels.shape[:2]
        got[patch.top : patch.top + height, patch.left : patch.left + width] = patch.pixels
        np.testing.assert_array_equal(got, wanted)
        compared += 1
    assert compared > 10


def test_context_is_kept_around_the_window():
    """crop 10, pad 2: a window of 6 x 6 grows by 10 / 6 to 10, and Caffe's inclusive corners make that 11 pixels."""
    image = np.zeros((30, 30, 3), np.uint8)
    image[10:16, 10:16] = 255
    patch = cut_window(image, (10, 10, 15, 15), 10, 2, False, False)
    assert (patch.top, patch.left, patch.pixels.shape) == (0, 0, (10, 10, 3))
    bright = np.flatnonzero(patch.pixels[5, :, 0] > 127)
    assert (bright[0], bright[-1]) == (2, 6)


@pytest.mark.parametrize("box", [(-1, 0, 5, 5), (0, 0, 50, 5), (0, 5, 5, 4), (0, 0, 5, 40)])
def test_a_window_outside_the_image(box):
    image = np.zeros((40, 50, 3), np.uint8)
    with pytest.raises(DataError, match=r"the window .* does not lie in the image of 50 x 40"):
        cut_window(image, box, 17, 0, False, False)


def test_a_window_far_outside_with_context():
    image = np.zeros((40, 50, 3), np.uint8)
    with pytest.raises(DataError, match="does not lie in the image"):
        cut_window(image, (100, 100, 110, 110), 17, 2, False, False)
