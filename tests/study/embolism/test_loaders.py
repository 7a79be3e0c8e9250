"""CT angiographies as the data sets lay them out: clots, patients, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.io

from caffe_port.errors import DataError
from caffe_port.study.embolism.loaders import DATASETS, detect
from caffe_port.study.embolism.volume_files import write_volume
from caffe_port.study.embolism.volumes import load_labels, load_volume
from tests.study.embolism.dicom import write_series

sitk = pytest.importorskip("SimpleITK")

SHAPE = (4, 6, 5)  # z, y, x: no two alike


def hu(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(-1000, 1500, SHAPE).astype(np.int16)


def labels(**clots: tuple[int, int, int]) -> np.ndarray:
    """A volume with a voxel per clot: its number -> z, y, x."""
    found = np.zeros(SHAPE, np.uint8)
    for number, place in clots.items():
        found[place] = int(number[1:])
    return found


def write(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    write_volume(path, array, 1.0)


def load(data):
    return DATASETS[detect(data)](data)


def lesions(data) -> dict[str, tuple[str, ...]]:
    return {case.patient: case.lesions for case in load(data)}


@pytest.fixture
def cad_pe(tmp_path):
    write(tmp_path / "CAD-PE/images/001.nrrd", hu(1))
    write(tmp_path / "CAD-PE/images/e0032.nrrd", hu(2))
    write(tmp_path / "CAD-PE/rs/0001RefStd.nrrd", labels(c1=(0, 0, 0), c3=(1, 1, 1)))
    write(tmp_path / "CAD-PE/rs/e0032RefStd.nrrd", labels())
    return tmp_path


@pytest.fixture
def fumpe(tmp_path):
    """The first patient's slices go down; 12 slices, so that names do not sort as text."""
    volume = np.arange(12 * 6 * 5).reshape(12, 6, 5)
    mask = np.zeros(volume.shape, bool)
    mask[1, 2, 3] = mask[2, 3, 4] = mask[10, 5, 0] = True  # the first two touch by a corner
    for patient, positions, found in (("PAT001", -np.arange(12), mask), ("PAT002", np.arange(12), 0 * mask)):
        write_series(tmp_path / "FUMPE/CT_scans" / patient, volume, positions)
        path = tmp_path / f"FUMPE/GroundTruth/{patient}.mat"
        path.parent.mkdir(exist_ok=True)
        scipy.io.savemat(path, {"Mask": found.transpose(1, 2, 0).astype(np.uint8)})
    return tmp_path


@pytest.fixture
def read_pe(tmp_path):
    for folder, name in (("GE (DICOM files)", "01GE"), ("TOSHIBA (DICOM files)", "01TS")):
        write_series(tmp_path / "READ/images" / folder / name, hu(), np.arange(SHAPE[0]))
        write(tmp_path / f"READ/rs/{name}.nii.gz", labels(c1=(0, 0, 0)) if name == "01GE" else labels())
    return tmp_path


def test_cad_pe_takes_a_clots_value_and_matches_the_numbers(cad_pe):
    assert detect(cad_pe) == detect(cad_pe / "CAD-PE") == "cad-pe"
    assert lesions(cad_pe) == {"001": ("001/1", "001/3"), "e0032": ()}
    first, second = load(cad_pe)
    np.testing.assert_array_equal(load_volume(first, 1.0).hu, hu(1))
    np.testing.assert_array_equal(load_volume(second, 1.0).hu, hu(2))


def test_cad_pe_without_a_reference_or_with_two_is_an_error(cad_pe):
    write(cad_pe / "CAD-PE/images/002.nrrd", hu())
    with pytest.raises(DataError, match=r"002\.nrrd: has no label"):
        load(cad_pe)
    write(cad_pe / "CAD-PE/rs/002RefStd.nrrd", labels())
    assert len(load(cad_pe)) == 3
    write(cad_pe / "CAD-PE/rs/0002RefStd.nrrd", labels())
    with pytest.raises(DataError, match=r"002RefStd\.nrrd: has the same number as 0002RefStd\.nrrd"):
        load(cad_pe)


def test_fumpe_goes_by_file_name_and_counts_connected_components(fumpe):
    assert detect(fumpe) == detect(fumpe / "FUMPE") == "fumpe"
    assert lesions(fumpe) == {"PAT001": ("PAT001/1", "PAT001/2"), "PAT002": ()}
    case = load(fumpe)[0]
    volume = load_volume(case, 1.0)
    np.testing.assert_array_equal(volume.hu.ravel(), np.arange(12 * 6 * 5))  # not by the falling position
    found = load_labels(case, volume)
    assert (found[1, 2, 3], found[2, 3, 4], found[10, 5, 0], np.count_nonzero(found)) == (1, 1, 2, 3)


def test_fumpe_without_a_mask_is_an_error(fumpe):
    (fumpe / "FUMPE/GroundTruth/PAT002.mat").unlink()
    with pytest.raises(DataError, match=r"PAT002: has no label.*PAT002\.mat"):
        load(fumpe)


def test_read_pe_takes_both_makers_and_agrees_by_index(read_pe):
    assert detect(read_pe) == detect(read_pe / "READ") == "read-pe"
    assert lesions(read_pe) == {"01GE": ("01GE/1",), "01TS": ()}
    case = load(read_pe)[0]
    volume = load_volume(case, 1.0)
    np.testing.assert_array_equal(volume.hu, hu())
    assert load_labels(case, volume)[0, 0, 0] == 1


def test_a_folder_per_patient_in_any_format(tmp_path):
    write(tmp_path / "ann/volume.nii.gz", hu())
    write(tmp_path / "ann/label.nrrd", labels(c2=(1, 1, 1)))
    write_series(tmp_path / "bob/volume", hu(), np.arange(SHAPE[0]))
    write(tmp_path / "bob/label.nii.gz", labels())
    write(tmp_path / "c d/volume.mha", hu())
    (tmp_path / "c d/no-emboli").touch()
    (tmp_path / "notes").mkdir()
    assert detect(tmp_path) == "volumes"
    assert lesions(tmp_path) == {"ann": ("ann/2",), "bob": (), "c d": ()}
    assert [case.id for case in load(tmp_path)] == ["ann", "bob", "c_d"]
    for case in load(tmp_path):
        np.testing.assert_array_equal(load_volume(case, 1.0).hu, hu())


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ([], "has no label.*no-emboli"),
        (["label.nii", "label.nrrd"], r"has label\.nii and label\.nrrd"),
        (["label.nii", "no-emboli"], "says no-emboli"),
        (["label.nii", "volume.mha"], r"has volume\.nrrd and volume\.mha"),
    ],
)
def test_a_patient_without_label_or_with_two_is_an_error(tmp_path, files, message):
    write(tmp_path / "ann/volume.nrrd", hu())
    for name in files:
        (tmp_path / "ann" / name).touch()
    with pytest.raises(DataError, match=message):
        load(tmp_path)


def test_other_folders_are_told_the_layouts(tmp_path):
    with pytest.raises(DataError, match=r"volume\.nii\.gz.*cad-pe, fumpe, read-pe"):
        detect(tmp_path)
    with pytest.raises(DataError, match="is no folder"):
        detect(tmp_path / "absent")
    for load_one in DATASETS.values():
        with pytest.raises(DataError):
            load_one(tmp_path)
