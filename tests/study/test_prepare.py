"""Splits on disk, LMDBs and their index."""

from __future__ import annotations

import shutil
import warnings
from collections import Counter

import cv2
import numpy as np
import pytest

from caffe_port.data.database import open_database
from caffe_port.data.datum import decode_record
from caffe_port.errors import CaffeWarning, DataError, StudyError
from caffe_port.study.cases import Patch
from caffe_port.study.folder import read_table
from caffe_port.study.prepare import read_same_split
from caffe_port.study.run import Study
from tests.study import tiny


def records(path):
    database = open_database(path)
    return [decode_record(*database.get(i), file=path) for i in range(len(database))]


def index(study, subset=""):
    return read_table(study.folder.patches(subset))


def test_the_index_tells_what_the_databases_hold(make_study):
    study = make_study()
    rows = index(study)
    for split in ("train", "val"):
        mine = [row for row in rows if row["split"] == split]
        found = records(study.folder.root / "lmdb" / split)
        assert [row["patch"] for row in mine] == [f"{split}/{i:08d}" for i in range(len(found))]
        for row, (pixels, label, _) in zip(mine, found):
            assert int(row["label"]) == label
            left, top = (int(part.split("=")[1]) for part in row["candidate"].split(","))
            path = f"{study.settings.data.train}/{row['case']}.png"
            image = cv2.imread(path, cv2.IMREAD_GRAYSCALE)[top : top + 12, left : left + 12]
            np.testing.assert_array_equal(pixels, np.stack([image] * 3))


def test_classes_are_equal_and_the_minority_is_whole(make_study):
    """Six images of each patient, three of each class; three windows of class 0, four of class 1."""
    study = make_study()
    assert Counter((row["split"], row["label"]) for row in index(study)) == {
        ("train", "0"): 27, ("train", "1"): 27, ("val", "0"): 9, ("val", "1"): 9,
    }  # fmt: skip
    labels = [row["label"] for row in index(study) if row["split"] == "train"]
    assert "0" * 9 not in "".join(labels), "shuffled"


def test_cases_csv(make_study):
    study = make_study()
    rows = read_table(study.folder.cases)
    patients = {split: {row["patient"] for row in rows if row["split"] == split} for split in ("train", "val", "test")}
    assert [len(patients[split]) for split in patients] == [3, 1, 4]
    assert len(set.union(*patients.values())) == 8
    for row in index(study):
        assert row["patient"] in patients[row["split"]]


def test_another_folder_to_test_on(make_settings, material, tmp_path):
    tiny.write_data(tmp_path / "test", patients=2)
    settings = make_settings().changed("data.test", str(tmp_path / "test"))
    study = Study.open(tmp_path / "run", settings)
    with pytest.warns(CaffeWarning, match="2 patients have the same name in both folders"):
        study.prepare()
    counts = Counter(row["split"] for row in read_table(study.folder.cases))
    assert counts == {"train": 36, "val": 12, "test": 12}
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # later stages do not say it again
        assert len(read_same_split(study.folder, study.app, settings).test) == 12


def test_three_classes(make_study):
    study = make_study(app=tiny.Tiny3(), data="data3")
    counts = Counter((row["split"], row["label"]) for row in index(study))
    assert set(counts.values()) == {3 * 2 * 3, 1 * 2 * 3}
    assert len(counts) == 6


def test_fractions_have_databases_of_their_own(make_study):
    study = make_study(arms=("ip1@0.5", "ip1@0.5~2", "scratch@0.25"))
    for subset, patients in (("@0.5", 2), ("@0.5~2", 2), ("@0.25", 1)):
        rows = index(study, subset)
        assert len({row["patient"] for row in rows}) == patients
        for name in ("train", "val"):
            found = [label for _, label, _ in records(study.folder.root / "lmdb" / f"{name}{subset}")]
            assert found == [int(row["label"]) for row in rows if row["split"] == name]
    assert not study.folder.patches().exists(), "the whole set is not needed"


def test_a_single_case_shares_out_its_patches(make_settings, tmp_path):
    class Both(tiny.Tiny):
        """Images that show both classes."""

        def patches(self, cases, settings, seed, progress):
            for patch in super().patches(cases, settings, seed, progress):
                for label in (0, 1):
                    yield Patch(patch.image, label, patch.case, patch.patient)

    study = Study.open(tmp_path / "run", make_settings(app_settings={"windows": 20}, arms=("ip1@0.01",)))
    study.app = Both()
    study.settings = study.settings.changed("arms.reduce_by", "case")
    study.prepare()
    rows = index(study, "@0.01")
    assert len({row["case"] for row in rows}) == 1
    counts = Counter((row["split"], row["label"]) for row in rows)
    assert counts["val", "0"] == counts["val", "1"] == pytest.approx(0.2 * len(rows) / 2, abs=1)
    places = Counter(row["split"] for row in rows)
    assert [len(records(study.folder.root / "lmdb" / f"{name}@0.01")) for name in places] == list(places.values())


def test_prepared_twice_is_prepared_once(make_study, make_settings, tmp_path):
    study = make_study()
    before = {path: path.stat().st_mtime_ns for path in study.folder.root.rglob("*") if path.is_file()}
    make_study()
    assert {path: path.stat().st_mtime_ns for path in study.folder.root.rglob("*") if path.is_file()} == before


def test_the_same_for_a_seed_and_another_for_another(make_study):
    rows = [index(make_study(name, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))]
    assert rows[0] == rows[1] != rows[2]


def test_half_made_databases_are_made_anew(make_study):
    """As a process leaves them that was killed: the mark is missing."""
    study = make_study()
    expected = [records(study.folder.root / "lmdb" / name)[3][0] for name in ("train", "val")]
    (study.folder.root / "lmdb" / "prepared.json").unlink()
    shutil.rmtree(study.folder.root / "lmdb" / "val")
    (study.folder.root / "lmdb" / "train.part").mkdir()
    (study.folder.root / "lmdb" / "train" / "data.mdb").write_bytes(b"half")
    study.prepare()
    for name, pixels in zip(("train", "val"), expected):
        np.testing.assert_array_equal(records(study.folder.root / "lmdb" / name)[3][0], pixels)
    assert not list(study.folder.root.rglob("*.part"))


@pytest.mark.parametrize("path", ["patches.csv", "lmdb/val/data.mdb"])
def test_what_is_lost_is_made_again(make_study, path):
    study = make_study()
    lost = study.folder.root / path
    before = lost.read_bytes()
    lost.unlink()
    study.prepare()
    assert lost.read_bytes() == before


@pytest.mark.parametrize("change", ["lost", "added", "moved"])
def test_other_data_than_before(make_study, material, tmp_path, change):
    shutil.copytree(material / "data", tmp_path / "data")
    study = make_study()
    study.settings = study.settings.changed("data.train", str(tmp_path / "data"))
    study.prepare()  # the same images elsewhere are no change
    some = sorted((tmp_path / "data").glob("p0_*.png"))[0]
    if change == "added":
        shutil.copy(some, tmp_path / "data" / "p0_99_0.png")
    elif change == "moved":
        some.rename(tmp_path / "data" / some.name.replace("p0", "p1x"))
    else:
        some.unlink()
    for stage in (study.prepare, study.evaluate):
        with pytest.raises(StudyError, match=r"cases.csv: does not agree with the data"):
            stage()


class _Wrong(tiny.Tiny):
    def __init__(self, change):
        self.change, self.calls = change, 0

    def patches(self, cases, settings, seed, progress):
        self.calls += 1
        for patch in super().patches(cases, settings, seed, progress):
            yield from self.change(self, patch)


def _with(patch, **changed):
    return Patch(**{**vars(patch), **changed})


@pytest.mark.parametrize(
    ("change", "cause"),
    [
        (lambda app, p: [_with(p, label=2)], "has the label 2: no class"),
        (lambda app, p: [_with(p, label=-1)], "has the label -1: no class"),
        (lambda app, p: [_with(p, image=p.image.astype(float))], r"Case 'p\d_\d_\d' x=\d,y=\d: An image is uint8"),
        (lambda app, p: [_with(p, label=1)], "training patches have none of across"),
        (lambda app, p: [] if p.label else [p], "training patches have none of along"),
        (lambda app, p: [], "training patches have none of across, along"),
        (lambda app, p: [p] if app.calls == 1 else [], "gave other patches the second time"),
    ],
)
def test_hostile_patches(make_settings, tmp_path, change, cause):
    study = Study.open(tmp_path / "run", make_settings())
    study.app = _Wrong(change)
    with pytest.raises(DataError, match=cause):
        study.prepare()
    assert not study.folder.root.exists(), "it can be begun again with other settings"


def test_a_validation_set_of_one_class(make_settings, tmp_path):
    tiny.write_data(tmp_path / "data", patients=2)
    for patient in range(2, 8):  # six patients of one class
        for path in tiny.write_data(tmp_path / "more", patients=1).glob("*_0.png"):
            shutil.copy(path, tmp_path / "data" / path.name.replace("p0", f"p{patient}"))
    causes = set()
    for seed in range(6):
        settings = make_settings(seed=seed).changed("data.train", str(tmp_path / "data"))
        try:
            Study.open(tmp_path / f"run{seed}", settings).prepare()
        except DataError as error:
            causes.add((str(error).partition(" have")[0], "--seed" in str(error)))
    assert causes
    assert causes <= {("The training patches", True), ("The validation patches", True)}


@pytest.mark.parametrize(("folder", "cause"), [("empty", "holds no stripes"), ("none", "is no folder")])
def test_folders_without_data(make_settings, tmp_path, folder, cause):
    (tmp_path / "empty").mkdir()
    study = Study.open(tmp_path / "run", make_settings().changed("data.train", str(tmp_path / folder)))
    with pytest.raises(DataError, match=cause):
        study.prepare()
