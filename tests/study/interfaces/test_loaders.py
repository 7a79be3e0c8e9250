"""Public data sets as they are laid out on disk."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from caffe_port.errors import CaffeWarning, DataError
from caffe_port.study.interfaces.loaders import DATASETS, detect_dataset, read_profile
from caffe_port.study.interfaces.traces import traces_of
from tests.shared import IMAGES, needs
from tests.study.interfaces.phantoms import cyprus_folder, wall

CAROTID = IMAGES / "carotid"


def cubs(folder, images, profiles, names):
    """A folder of CUBS; the second layout of profiles for every other image."""
    for sub in (images, "CF", profiles):
        (folder / sub).mkdir(parents=True)
    for number, name in enumerate(names):
        image, li, ma = wall(number)
        cv2.imwrite(str(folder / images / f"{name}.tiff"), image)
        (folder / "CF" / f"{name}_CF.txt").write_text("0.0600000 \n")
        for interface, rows in (("LI", li), ("MA", ma)):
            x = np.arange(20, 100, 7)
            points = np.stack([x + 1, rows[x] + 1], axis=1)
            lines = points if number % 2 else points.T
            text = "\n".join(" ".join(f"{value:.9f}" for value in line) + " " for line in lines)
            (folder / profiles / f"{name}-{interface}.txt").write_text(text + "\n")
    return folder


def test_cubs_v1(tmp_path):
    names = ["clin_0001_L", "clin_0001_R", "clin_0002_L"]
    cubs(tmp_path, "IMAGES", "SEGMENTATIONS/Manual-A1", names)
    (tmp_path / "SEGMENTATIONS/Manual-A1/clin_0001_R_rect.txt").write_text("31 41 50 60\n")
    assert detect_dataset(tmp_path) == "cubs-v1"
    cases = DATASETS["cubs-v1"](tmp_path)
    assert [(case.id, case.patient) for case in cases] == [
        ("clin_0001_L", "clin_0001"), ("clin_0001_R", "clin_0001"), ("clin_0002_L", "clin_0002")
    ]  # fmt: skip
    assert [case.info["rect"] for case in cases] == [None, [30, 40, 50, 60], None]
    for number, case in enumerate(cases):
        _, li, ma = wall(number)
        assert case.info["mm"] == 0.06
        traces = traces_of(case.info["li"], case.info["ma"])
        assert traces.columns.tolist() == list(range(20, 98))
        np.testing.assert_allclose(traces.both()[:, ::7], np.stack([li, ma])[:, 20:98:7], atol=1e-6)


def test_cubs_v2(tmp_path):
    cubs(tmp_path, "images", "LIMA-Profiles/Manual-A1", ["tech_001", "tech_002"])
    assert detect_dataset(tmp_path) == "cubs-v2"
    assert [case.patient for case in DATASETS["cubs-v2"](tmp_path)] == ["tech_001", "tech_002"]


def test_two_points_in_either_layout(tmp_path):
    """Four numbers fit both layouts."""
    for text in ("11 21\n41 23\n", "11 41\n21 23\n"):
        path = tmp_path / "profile.txt"
        path.write_text(text)
        assert read_profile(path).tolist() == [[10, 20], [40, 22]]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("CF/tech_001_CF.txt", "0.06 0.06", "one positive number"),
        ("CF/tech_001_CF.txt", "-1", "one positive number"),
        ("CF/tech_001_CF.txt", "0,06", "Not a file of numbers"),
        ("LIMA-Profiles/Manual-A1/tech_001-LI.txt", "1 2 3\n4 5 6\n7 8 9\n", "neither N lines"),
        ("LIMA-Profiles/Manual-A1/tech_001-LI.txt", "1 2 3\n4 5\n", "equally many"),
        ("LIMA-Profiles/Manual-A1/tech_001-MA.txt", None, "Could not open"),
        ("LIMA-Profiles/Manual-A1/tech_001-MA.txt", "", "equally many"),
    ],
)
def test_a_damaged_cubs_folder_names_the_file(tmp_path, name, text, message):
    cubs(tmp_path, "images", "LIMA-Profiles/Manual-A1", ["tech_001"])
    if text is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_text(text)
    with pytest.raises(DataError, match=message) as caught:
        DATASETS["cubs-v2"](tmp_path)
    assert str(caught.value.file).endswith(name)


def test_cyprus(tmp_path):
    cyprus_folder(tmp_path, ["a", "a", "b"])
    assert detect_dataset(tmp_path) == "cyprus"
    cases = DATASETS["cyprus"](tmp_path)
    assert [(case.id, case.patient) for case in cases] == [("P0", "a"), ("P1", "a"), ("P2", "b")]
    _, li, _ = wall(1)
    points = cases[1].info["li"]
    np.testing.assert_allclose(points[:, 1], li[points[:, 0].astype(int)])


def test_a_repeated_frame_is_kept_once_and_named(tmp_path):
    cyprus_folder(tmp_path, ["a", "b", "a"], repeat=True)
    with pytest.warns(CaffeWarning, match="P2 is that of P0"):
        cases = DATASETS["cyprus"](tmp_path)
    assert [case.id for case in cases] == ["P0", "P1"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("cases.csv", b"id,exam\nP0,a\n", "mm_per_px"),
        ("cases.csv", b"id,exam,mm_per_px\nP0,a,wide\n", "mm_per_px"),
        ("P0/P0.scl", b"MATLAB 5.0", "MATLAB"),
        ("P0/P0.scl", None, "Could not open"),
        ("P0/P0.CRI", b"II*\0", "decode"),
    ],
)
def test_a_damaged_cyprus_folder_names_the_file(tmp_path, name, content, message):
    cyprus_folder(tmp_path, ["a"])
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(DataError, match=message) as caught:
        DATASETS["cyprus"](tmp_path)
    assert str(caught.value.file).endswith(name)


def test_a_foreign_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="none of the known layouts"):
        detect_dataset(tmp_path)


@needs(CAROTID)
def test_thickness_in_the_real_images_is_what_their_table_says():
    """imt_mm in cases.csv was published with the set: the mean vertical distance of the expert's points."""
    rows = (CAROTID / "cases.csv").read_text().split()[1:]
    published = {row.split(",")[0]: float(row.split(",")[3]) for row in rows}
    cases = DATASETS["cyprus"](CAROTID)
    assert len(cases) == 46
    for case in cases:
        traces = traces_of(case.info["li"], case.info["ma"])
        assert (traces.ma - traces.li).mean() * case.info["mm"] == pytest.approx(published[case.id], abs=0.08)
