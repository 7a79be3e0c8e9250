"""Frames as the data sets lay them out: labels, videos, and what is refused."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest

from caffe_port.errors import DataError
from caffe_port.study.frames.layouts import classes_of
from caffe_port.study.frames.loaders import DATASETS, detect


@pytest.fixture
def make(tmp_path):
    """Write small images under a folder, and return the folder."""

    def write(*names: str) -> Path:
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(path), np.full((12, 16, 3), 90, np.uint8))
        return tmp_path

    return write


def load(data: Path):
    return DATASETS[detect(data)](data)


def summary(data: Path) -> list[tuple[str, str, int]]:
    return [(case.info["kind"], case.patient, case.label) for case in load(data)]


def test_two_folders_group_by_the_name_of_the_video(make):
    data = make("informative/v03_0012.jpg", "informative/v04_2.png", "non-informative/v03_0013_blur.jpg")
    assert detect(data) == "folders"
    assert summary(data) == [("informative", "v03", 1), ("informative", "v04", 1), ("non-informative", "v03", 0)]


def test_ids_are_unique_and_file_names(make):
    data = make("informative/a b_01.jpg", "informative/a_01.jpg", "non-informative/a_01.jpg")
    ids = [case.id for case in load(data)]
    assert len(set(ids)) == 3
    assert not any(character in id_ for id_ in ids for character in " /\\:")


def test_videos_csv_tells_the_video_of_any_name(make):
    data = make("informative/x.jpg", "non-informative/y.jpg")
    (data / "videos.csv").write_text("file,video\ninformative/x.jpg,7\nnon-informative/y.jpg,8\n")
    assert [case.patient for case in load(data)] == ["7", "8"]


def test_classes_csv_maps_any_classes(make):
    data = make("sharp/v_1.jpg", "blurred/v_2.jpg", "wall/v_3.jpg", "menu/v_4.jpg")
    table = "class,label\nsharp,informative\nblurred,non-informative\nwall,non-informative\nmenu,left-out\n"
    (data / "classes.csv").write_text(table)
    assert summary(data) == [("blurred", "v", 0), ("sharp", "v", 1), ("wall", "v", 0)]


def test_hyperkvasir_takes_the_mucosal_views_of_the_archive(make):
    views = "labeled-images/lower-gi-tract/quality-of-mucosal-views"
    data = make(
        f"{views}/bbps-0-1/aa-1.jpg",
        f"{views}/bbps-2-3/bb-2.jpg",
        f"{views}/impacted-stool/cc-3.jpg",
        "labeled-images/lower-gi-tract/pathological-findings/polyps/dd-4.jpg",
    )
    assert detect(data) == detect(data / "labeled-images") == "hyperkvasir"
    assert summary(data) == [("bbps-0-1", "aa-1", 0), ("bbps-2-3", "bb-2", 1), ("impacted-stool", "cc-3", 0)]
    assert all(len(case.info["overlay"]) == 4 for case in load(data))


def test_nerthus_groups_by_video_and_is_found_where_its_archive_nests_it(make):
    folder = "nerthus-dataset-frames/nerthus-dataset-frames"
    data = make(
        f"{folder}/0/bowel_20_score_0-0_00000001.jpg",
        f"{folder}/1/bowel_3_score_1-0_00000001.jpg",
        f"{folder}/2/bowel_3_score_2-1_00000002.jpg",
        f"{folder}/3/bowel_3_score_3-1_00000003.jpg",
    )
    assert detect(data) == "nerthus"
    assert [(patient, label) for _, patient, label in summary(data)] == [
        ("bowel_20", 0),
        ("bowel_3", 0),
        ("bowel_3", 1),
        ("bowel_3", 1),
    ]


def test_biomedia_leaves_out_the_upper_tract(make):
    kinds = ("blurry-nothing", "colon-clear", "normal-z-line", "stool-plenty", "stool-inclusions", "instruments")
    data = make(*(f"train/{kind}/{n}.jpg" for n, kind in enumerate(kinds)))
    assert detect(data) == "biomedia"
    assert Counter((kind, label) for kind, _, label in summary(data)) == {
        ("blurry-nothing", 0): 1,
        ("stool-plenty", 0): 1,
        ("colon-clear", 1): 1,
        ("stool-inclusions", 1): 1,
    }


def test_nbi_infframes_groups_by_fold(make):
    data = make(*(f"FRAMES/Fold{fold}/{kind}/x{fold}.png" for fold in (1, 2, 3) for kind in "IBSU"))
    (data / "FRAMES/Fold1/I/.DS_Store").write_bytes(b"\0")
    cases = load(data)
    assert detect(data) == "nbi-infframes"
    assert Counter(case.patient for case in cases) == {"Fold1": 4, "Fold2": 4, "Fold3": 4}
    assert sum(case.label for case in cases) == 3
    assert len({case.id for case in cases}) == 12


@pytest.mark.parametrize("name", ["hyper-kvasir", "nerthus", "biomedia-2019", "nbi-infframes"])
def test_manifests_map_their_classes_to_both_labels(name):
    assert {0, 1} <= set(classes_of(name).values()) <= {0, 1, None}


class TestRefusals:
    def test_no_such_folder(self, tmp_path):
        with pytest.raises(DataError, match="is no folder"):
            detect(tmp_path / "nowhere")

    def test_a_folder_of_something_else(self, make):
        data = make("cats/1.jpg")
        with pytest.raises(DataError, match=r"no data set of labelled frames.*informative.*nerthus"):
            detect(data)

    @pytest.mark.parametrize("layout", sorted(set(DATASETS) - {"folders"}))
    def test_a_data_set_whose_folders_are_missing(self, make, layout):
        data = make("informative/v_1.jpg", "non-informative/v_1.jpg")
        with pytest.raises(DataError, match=r"has no folder .*archive"):
            DATASETS[layout](data)

    def test_a_class_without_frames(self, make):
        with pytest.raises(DataError, match=r"holds no non-informative frame.*looked for in: non-informative"):
            load(make("informative/v_1.jpg"))

    def test_an_unknown_class(self, make):
        data = make("informative/v_1.jpg", "non-informative/v_2.jpg", "unsure/v_3.jpg")
        with pytest.raises(DataError, match="unknown class: unsure"):
            load(data)

    def test_a_name_without_video(self, make):
        data = make("informative/17.jpg", "non-informative/v_2.jpg")
        with pytest.raises(DataError, match=r"17\.jpg: The name tells no video.*videos\.csv"):
            load(data)

    def test_a_foreign_nerthus_name(self, make):
        data = make("0/bowel_1_score_0-0_00000001.jpg", "3/frame_1.jpg")
        with pytest.raises(DataError, match=r"frame_1\.jpg: is no name of a Nerthus frame"):
            DATASETS["nerthus"](data)

    def test_a_file_that_is_no_image(self, make):
        data = make("informative/v_1.jpg", "non-informative/v_2.jpg")
        (data / "informative" / "notes.txt").write_text("hello")
        with pytest.raises(DataError, match=r"notes\.txt: is no image"):
            load(data)

    def test_two_frames_of_one_name(self, make):
        data = make("informative/v_1.jpg", "informative/v_1.png", "non-informative/v_2.jpg")
        with pytest.raises(DataError, match=r"v_1\.png: has the same name as .*v_1\.jpg"):
            load(data)

    def test_a_frame_that_videos_csv_forgets(self, make):
        data = make("informative/v_1.jpg", "non-informative/v_2.jpg")
        (data / "videos.csv").write_text("file,video\ninformative/v_1.jpg,a\n")
        with pytest.raises(DataError, match=r"videos\.csv: has no line for non-informative/v_2\.jpg"):
            load(data)

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ("class,label\nsharp,good\n", "label 'good'.*non-informative, informative, left-out"),
            ("class;label\nsharp;informative\n", r":2: lacks a class or a label.*class,label"),
            ("class,label\nsharp,informative\nsharp,left-out\n", ":3: A second line for sharp"),
        ],
    )
    def test_wrong_tables(self, make, table, message):
        data = make("sharp/v_1.jpg")
        (data / "classes.csv").write_text(table)
        with pytest.raises(DataError, match=message):
            load(data)
