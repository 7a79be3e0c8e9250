from __future__ import annotations

import pytest

from caffe_port.data.sources import read_image_list
from caffe_port.errors import DataError


def write(tmp_path, text):
    (tmp_path / "list.txt").write_bytes(text.encode())
    return tmp_path / "list.txt"


def test_read(tmp_path):
    path = write(tmp_path, "a.jpg 0\nb c/d 3.png 12\r\nö.png -1\n\n")
    assert read_image_list(path) == [("a.jpg", 0), ("b c/d 3.png", 12), ("ö.png", -1)]


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("a.jpg 0\nb.jpg\n", r"list.txt:2: 'b.jpg' is not '<image path> <integer label>'"),
        ("a.jpg 0\n\nb.jpg 1\n", r"list.txt:2: '' is not"),
        ("a.jpg 0.5\n", r"list.txt:1: .*use HDF5Data"),
        ("a.jpg\t1\n", r"list.txt:1: "),
        ("", "The list is empty"),
        (" \n", "The list is empty"),
    ],
)
def test_refused(tmp_path, text, cause):
    with pytest.raises(DataError, match=cause):
        read_image_list(write(tmp_path, text))


def test_missing(tmp_path):
    with pytest.raises(DataError, match="The list cannot be read: No such file"):
        read_image_list(tmp_path / "no.txt")
