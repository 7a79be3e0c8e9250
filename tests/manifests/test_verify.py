"""Folders beside manifests: real files, some of them wrong."""

from __future__ import annotations

import hashlib

import pytest

from caffe_port.errors import DataError
from caffe_port.manifests import File, Finding, Labels, Layout, Manifest, verify

CONTENT = b"packed"


def manifest(files=(), layout=()):
    return Manifest(
        name="tiny",
        title="A tiny set",
        application="frames",
        access="by hand",
        licence="CC0 1.0",
        contents="Frames.",
        citation="Nobody.",
        sources=("a test",),
        labels=Labels(format="None."),
        files=tuple(files),
        layout=tuple(layout),
    )


def fill(folder, *names):
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(CONTENT)


@pytest.mark.parametrize(
    ("stated", "state", "note"),
    [
        ({"sha1": hashlib.sha1(CONTENT).hexdigest()}, "right", "SHA-1"),
        ({"sha256": hashlib.sha256(CONTENT).hexdigest()}, "right", "SHA-256"),
        ({"size": 6}, "right", "size"),
        ({}, "here", "no size or sum is stated"),
        ({"size": 7}, "wrong", "has 6 bytes, the published file 7"),
        ({"sha256": "0" * 64}, "wrong", f"has SHA-256 {hashlib.sha256(CONTENT).hexdigest()}, the published file 000"),
    ],
)
def test_files(tmp_path, stated, state, note):
    fill(tmp_path, "a.zip")
    packed, gone = File(name="a.zip", how="Ask.", **stated), File(name="b.zip", how="Ask.", sha1="0" * 40)
    first, second = verify(manifest([packed, gone]), tmp_path)
    assert (first.place, first.state) == ("a.zip", state)
    assert first.note.startswith(note)
    assert second == Finding("b.zip", "absent")


IMAGES = Layout(path="set/images/*.png", count=3)
MASKS = Layout(path="set/masks/*.png")


def test_a_layout_is_counted_without_hidden_files(tmp_path):
    fill(tmp_path, *(f"set/images/{name}.png" for name in (1, 2, 3, ".4")), "set/masks/1.png", "set/masks/2.png")
    assert verify(manifest(layout=[IMAGES, MASKS]), tmp_path) == [
        Finding("set/images/*.png", "right", "3"),
        Finding("set/masks/*.png", "here", "2; how many there are is not stated"),
    ]


def test_files_that_lack_or_are_too_many_are_wrong(tmp_path):
    for count in (1, 2, 4):
        fill(tmp_path, *(f"set/images/{number}.png" for number in range(count)))
        (finding,) = verify(manifest(layout=[IMAGES]), tmp_path)
        assert finding == Finding("set/images/*.png", "wrong", f"{count} instead of 3")


def test_an_unverified_count_cannot_be_wrong(tmp_path):
    fill(tmp_path, "set/images/1.png")
    doubtful = Layout(path=IMAGES.path, count=3, unverified={"count": "inferred"})
    (finding,) = verify(manifest(layout=[doubtful]), tmp_path)
    assert finding == Finding(IMAGES.path, "here", "1 instead of 3, which is unverified")


def test_of_a_copy_all_or_nothing(tmp_path):
    fill(tmp_path, *(f"set/images/{name}.png" for name in (1, 2, 3)))
    other = Layout(path="PNG/*.png", copy="another")
    assert verify(manifest(layout=[IMAGES, MASKS, other]), tmp_path) == [
        Finding("set/images/*.png", "right", "3"),
        Finding("set/masks/*.png", "wrong", "the rest of this copy is there"),
        Finding("PNG/*.png", "absent"),
    ]


def test_a_folder_without_any_of_it(tmp_path):
    expected = r"nothing of A tiny set is in this folder\. Give the folder that holds, for instance, set/images/\*\.png"
    with pytest.raises(DataError, match=expected):
        verify(manifest([File(name="a.zip", how="Ask.")], [IMAGES]), tmp_path)
    with pytest.raises(DataError, match="Its layout is not known"):
        verify(manifest(), tmp_path)
    with pytest.raises(DataError, match="absent: is not a folder"):
        verify(manifest(), tmp_path / "absent")
