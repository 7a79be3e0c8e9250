"""Frames with masks as the data sets lay them out: videos, polyps, and what is refused."""

from __future__ import annotations

import json
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from caffe_port.errors import CaffeWarning, DataError
from caffe_port.study.polyps.lesions import hit, polyps_of
from caffe_port.study.polyps.loaders import DATASETS, detect
from caffe_port.study.polyps.working import read_frame
from tests.shared import IMAGES, needs
from tests.study.polyps.pictures import mask_of, write

NONE, ONE, TWO = mask_of(), mask_of((30, 20, 10)), mask_of((15, 15, 8), (50, 30, 8))


@pytest.fixture
def make(tmp_path):
    """Write frames (None) and masks under a folder, and return the folder."""

    def write_all(files: dict[str, np.ndarray | None]) -> Path:
        for name, image in files.items():
            write(tmp_path / name, image)
        return tmp_path

    return write_all


def load(data: Path):
    return DATASETS[detect(data)](data)


def summary(cases):
    return [(case.id, case.patient, case.lesions) for case in cases]


class TestMasks:
    def test_videos_are_told_by_folders_and_polyps_followed_through_them(self, make):
        files = {f"v{v}/images/{n}.png": None for v in (1, 2) for n in (2, 10, 9)}
        data = make(files | {"v1/masks/2.png": TWO, "v1/masks/9.png": ONE, "v1/masks/10.png": NONE})
        assert detect(data) == "masks"
        assert summary(load(data)) == [
            ("v1-2", "v1", ("v1/1", "v1/2")),
            ("v1-9", "v1", ("v1/1",)),
            ("v1-10", "v1", ()),
            ("v2-2", "v2", ()),
            ("v2-9", "v2", ()),
            ("v2-10", "v2", ()),
        ]

    def test_info_tells_files_sizes_and_parts(self, make):
        data = make({"v/frames/a.jpg": None, "v/frames/b.jpg": None, "v/masks/a.png": TWO})
        first, second = load(data)
        assert first.info["path"] == str(data / "v/frames/a.jpg")
        assert first.info["mask"] == str(data / "v/masks/a.png")
        assert first.info["size"] == [64, 48]
        assert [part["box"] for part in first.info["polyps"]] == [[7, 7, 17, 17], [42, 22, 17, 17]]
        assert [part["id"] for part in first.info["polyps"]] == ["v/1", "v/2"]
        assert second.info["mask"] is None
        assert second.info["polyps"] == []
        assert json.loads(json.dumps(first.info)) == first.info

    def test_single_images_count_as_videos_and_a_warning_says_so(self, make):
        data = make({"images/a.png": None, "images/b c.png": None, "masks/a.png": ONE})
        assert detect(data) == "masks"
        with pytest.warns(CaffeWarning, match="both sides"):
            cases = load(data)
        assert summary(cases) == [("a", "a", ("a/1",)), ("b_c", "b c", ())]

    def test_videos_csv_groups_single_images(self, make):
        data = make({f"images/{name}.png": None for name in "abc"} | {f"masks/{name}.png": ONE for name in "abc"})
        (data / "videos.csv").write_text("frame,video\na.png,x\nc.png,x\nb.png,y\n")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert summary(load(data)) == [("x-a", "x", ("x/1",)), ("x-c", "x", ("x/1",)), ("y-b", "y", ("y/1",))]

    def test_the_table_must_know_every_frame(self, make):
        data = make({"images/a.png": None, "masks/a.png": ONE})
        (data / "videos.csv").write_text("frame,video\nb.png,x\n")
        with pytest.raises(DataError, match=r"videos\.csv: has no line for a\.png"):
            load(data)
        (data / "videos.csv").write_text("frame,video\na.png,x\na.png,y\n")
        with pytest.raises(DataError, match=r"videos\.csv:3: A second line for a\.png"):
            load(data)


class TestDataSets:
    def test_clinicdb_has_the_sequences_of_its_manifest(self, make):
        numbers = (1, 25, 26, 50, 67, 68, 592, 612)
        data = make(
            {f"CVC-ClinicDB/Original/{n}.tif": None for n in numbers}
            | {f"CVC-ClinicDB/Ground Truth/{n}.tif": np.dstack([ONE] * 3) for n in numbers}
        )
        assert detect(data) == detect(data / "CVC-ClinicDB") == "cvc-clinicdb"
        numbers_of = {1: "01", 25: "01", 26: "02", 50: "02", 67: "03", 68: "04", 592: "29", 612: "29"}
        assert summary(load(data)) == [
            (f"sequence-{s}-{n}", f"sequence-{s}", (f"sequence-{s}/1",)) for n, s in numbers_of.items()
        ]

    def test_clinicdb_of_kaggle_is_read_once_from_png(self, make):
        data = make(
            {f"{kind}/Original/3.{kind.lower()}": None for kind in ("PNG", "TIF")}
            | {f"{kind}/Ground Truth/3.{kind.lower()}": ONE for kind in ("PNG", "TIF")}
        )
        assert [Path(case.info["path"]).name for case in load(data)] == ["3.png"]

    def test_clinicdb_refuses_a_number_that_it_does_not_have(self, make):
        with pytest.raises(DataError, match=r"613\.tif.*1 to 612"):
            load(make({"Original/613.tif": None, "Ground Truth/613.tif": ONE}))

    @pytest.mark.parametrize(("folder", "layout"), [("CVC-ColonDB", "cvc-colondb"), ("ETIS-LaribPolypDB", "etis")])
    def test_colondb_and_etis_are_known_by_their_names(self, make, folder, layout):
        data = make({f"{folder}/images/{n}.png": None for n in "12"} | {f"{folder}/masks/{n}.png": ONE for n in "12"})
        assert detect(data) == detect(data / folder) == layout
        with pytest.warns(CaffeWarning, match="nothing tells"):
            assert summary(load(data)) == [("1", "1", ("1/1",)), ("2", "2", ("2/1",))]
        (data / folder / "videos.csv").write_text("frame,video\n1.png,s1\n2.png,s1\n")
        assert [case.lesions for case in load(data)] == [("s1/1",), ("s1/1",)]

    def test_a_pack_of_several_data_sets_is_refused(self, make):
        folders = ("CVC-ColonDB", "ETIS-LaribPolypDB", "Kvasir")
        data = make({f"{folder}/{kind}/1.png": ONE for folder in folders for kind in ("images", "masks")})
        with pytest.raises(DataError, match="several data sets"):
            detect(data)
        assert detect(data / "Kvasir") == "kvasir-seg"

    def test_kvasir_is_known_by_its_boxes_too(self, make):
        data = make({"images/a.jpg": None, "masks/a.jpg": ONE})
        (data / "kavsir_bboxes.json").write_text("{}")
        assert detect(data) == "kvasir-seg"
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert summary(load(data)) == [("a", "a", ("a/1",))]

    def test_polypgen_has_singles_by_centre_and_sequences_of_both_kinds(self, make):
        root = "PolypGen2021_MultiCenterData_v3"
        singles = {f"{root}/data_C{c}/images_C{c}/x.jpg": None for c in (1, 6)}
        singles |= {f"{root}/data_C{c}/masks_C{c}/x_mask.jpg": ONE for c in (1, 6)}
        sequence = f"{root}/sequenceData/positive/seq2"
        frames = {f"{sequence}/images_seq2/{n}.jpg": None for n in (1, 2)}
        frames |= {f"{sequence}/masks_seq2/1_mask.jpg": ONE, f"{sequence}/masks_seq2/2_mask.jpg": NONE}
        negatives = {f"{root}/sequenceData/negativeOnly/seq1_neg/{n}.jpg": None for n in (1, 2)}
        data = make(singles | frames | negatives)
        assert detect(data) == detect(data / root) == "polypgen"
        with pytest.warns(CaffeWarning, match="single images"):
            cases = load(data)
        assert summary(cases) == [
            ("C1-x", "C1-x", ("C1-x/1",)),
            ("C6-x", "C6-x", ("C6-x/1",)),
            ("seq2-1", "seq2", ("seq2/1",)),
            ("seq2-2", "seq2", ()),
            ("seq1_neg-1", "seq1_neg", ()),
            ("seq1_neg-2", "seq1_neg", ()),
        ]

    def test_asu_mayo_takes_black_masks_as_negatives(self, make):
        root = "VPS-TrainSet/ASU-Mayo_Clinic/Train"
        data = make(
            {f"{root}/Frame/{v}/{n}.jpg": None for v in (1, 2) for n in (1, 2)}
            | {f"{root}/GT/{v}/{n}.png": ONE if v == n == 1 else NONE for v in (1, 2) for n in (1, 2)}
        )
        assert detect(data) == "asu-mayo"
        assert Counter((case.patient, bool(case.lesions)) for case in load(data)) == {
            ("1", True): 1,
            ("1", False): 1,
            ("2", False): 2,
        }

    @needs(IMAGES / "polyp")
    def test_real_images_have_their_polyps(self):
        cases = DATASETS["kvasir-seg"](IMAGES / "polyp")
        assert len(cases) == len({case.patient for case in cases}) == 10
        # Two images show two polyps; specks beside three of the masks do not count.
        assert sorted(len(case.lesions) for case in cases) == [1] * 8 + [2] * 2
        assert len({lesion for case in cases for lesion in case.lesions}) == 12
        for case in cases:
            polyps = polyps_of(case)
            assert list(polyps.labels.shape[::-1]) == case.info["size"]
            for label, lesion in enumerate(case.lesions, 1):
                rows, columns = np.nonzero(polyps.labels == label)
                middle = len(rows) // 2
                assert hit(polyps, columns[middle], rows[middle]) == lesion


class TestRefusals:
    def test_a_frame_that_is_shown_turned(self, make):
        """Its mask fits what is stored, OpenCV shows something else."""
        data = make({"v/images/1.jpg": None, "v/masks/1.png": ONE})
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = 6
        with Image.open(data / "v/images/1.jpg") as image:
            image.save(data / "v/images/1.jpg", exif=exif)
        (case,) = load(data)
        with pytest.raises(DataError, match=r"1\.jpg: has changed .* or is shown turned"):
            read_frame(case)

    def test_no_such_folder(self, tmp_path):
        with pytest.raises(DataError, match="is no folder"):
            detect(tmp_path / "nowhere")

    def test_a_folder_of_something_else(self, make):
        with pytest.raises(DataError, match=r"no data set of polyps.*images and masks.*polypgen"):
            detect(make({"cats/1.jpg": None}))

    @pytest.mark.parametrize("layout", DATASETS)
    def test_an_empty_folder(self, tmp_path, layout):
        with pytest.raises(DataError, match=str(tmp_path)):
            DATASETS[layout](tmp_path)

    def test_a_folder_without_images(self, make):
        data = make({"v/images/1.png": None, "v/masks/1.png": ONE, "w/masks/1.png": ONE})
        (data / "w/images").mkdir()
        with pytest.raises(DataError, match=r"w/images: holds no image\. Put the images there, or remove"):
            load(data)

    def test_a_mask_of_another_size(self, make):
        data = make({"v/images/1.png": None, "v/masks/1.png": mask_of((9, 9, 5), size=(48, 64))})
        with pytest.raises(DataError, match=r"masks/1\.png: has 48x64 pixels, its frame 64x48.*images/1\.png"):
            load(data)

    def test_a_frame_without_the_mask_that_its_data_set_demands(self, make):
        data = make({"Kvasir/images/a.jpg": None, "Kvasir/images/b.jpg": None, "Kvasir/masks/a.jpg": ONE})
        with pytest.raises(DataError, match=r"images/b\.jpg: has no mask\. It must be .*masks/b"):
            load(data)

    def test_a_mask_without_frame(self, make):
        data = make({"v/images/1.png": None, "v/masks/1.png": ONE, "v/masks/2.png": ONE})
        with pytest.raises(DataError, match=r"masks/2\.png: is the mask of no frame.*images"):
            load(data)

    def test_two_frames_of_one_name(self, make):
        data = make({"v/images/1.png": None, "v/images/1.jpg": None, "v/masks/1.png": ONE})
        with pytest.raises(DataError, match="same name"):
            load(data)

    def test_a_folder_that_is_neither_of_frames_nor_of_masks(self, make):
        data = make({"v/images/1.png": None, "v/annotations/1.png": ONE})
        with pytest.raises(DataError, match="annotations: is not expected here"):
            load(data)

    @pytest.mark.parametrize("broken", ["images", "masks"])
    def test_a_file_that_is_no_image(self, make, broken):
        data = make({"v/images/1.png": None, "v/masks/1.png": ONE})
        (data / f"v/{broken}/1.png").write_bytes(b"no picture")
        with pytest.raises(DataError, match=rf"{broken}/1\.png"):
            load(data)

    def test_a_file_of_another_kind(self, make):
        data = make({"v/images/1.png": None, "v/masks/1.png": ONE})
        (data / "v/images/notes.txt").write_text("x")
        with pytest.raises(DataError, match=r"notes\.txt: is no image"):
            load(data)

    def test_a_mask_of_0_and_1(self, make):
        """Else its polyps would be lost without a word, where other masks are of 0 and 255."""
        data = make({f"v/images/{n}.png": None for n in "12"} | {"v/masks/1.png": ONE, "v/masks/2.png": ONE // 255})
        with pytest.raises(DataError, match=r"masks/2\.png: is neither black nor .* brighter than 127\. Make"):
            load(data)

    def test_masks_without_any_polyp(self, make):
        with pytest.raises(DataError, match="No mask shows a polyp"):
            load(make({"v/images/1.png": None, "v/masks/1.png": NONE}))
