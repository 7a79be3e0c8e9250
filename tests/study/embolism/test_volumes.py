"""Volumes: what is written by SimpleITK comes back, resampled as a closed form and scipy say."""

from __future__ import annotations

import locale
import sys

import h5py
import numpy as np
import pytest
import scipy.io
from scipy import ndimage

from caffe_port.errors import CaffeWarning, DataError
from caffe_port.study.cases import Case
from caffe_port.study.embolism.volume_files import read_image, read_labels, write_volume
from caffe_port.study.embolism.volumes import clot_numbers, load_labels, load_volume, resample, resample_labels, window
from tests.study.embolism.dicom import write_series

sitk = pytest.importorskip("SimpleITK")


def noise(shape, seed=0):
    return np.random.default_rng(seed).integers(-1000, 1500, shape).astype(np.int16)


def case_of(image, label="", slices="position", clots="values"):
    return Case("c", "c", info={"image": str(image), "label": str(label), "slices": slices, "clots": clots})


@pytest.mark.parametrize("suffix", [".nii.gz", ".nii", ".nrrd", ".mha"])
def test_a_file_gives_its_voxels_and_millimetres_along_z_y_x(tmp_path, suffix):
    hu = noise((4, 5, 6))
    image = sitk.GetImageFromArray(hu)
    image.SetSpacing((0.5, 0.75, 2.0))
    sitk.WriteImage(image, str(tmp_path / f"volume{suffix}"))
    found, spacing = read_image(tmp_path / f"volume{suffix}")
    np.testing.assert_array_equal(found, hu)
    assert found.dtype == np.int16
    assert spacing == pytest.approx((2.0, 0.75, 0.5))


def test_floating_point_hu_are_rounded_and_clipped(tmp_path):
    sitk.WriteImage(sitk.GetImageFromArray(np.full((2, 2, 2), 1e6, np.float32)), str(tmp_path / "a.mha"))
    sitk.WriteImage(sitk.GetImageFromArray(np.full((2, 2, 2), -99.6, np.float32)), str(tmp_path / "b.mha"))
    assert read_image(tmp_path / "a.mha")[0].max() == 32767
    assert read_image(tmp_path / "b.mha")[0].max() == -100


@pytest.mark.parametrize("falling", [False, True])
def test_a_dicom_series_goes_by_position_or_by_name(tmp_path, falling):
    hu = noise((12, 6, 7))
    positions = np.arange(12) * 1.25
    write_series(tmp_path, hu, positions[::-1] if falling else positions, spacing=(0.6, 0.7))
    by_name, spacing = read_image(tmp_path, "name")
    by_position, _ = read_image(tmp_path, "position")
    np.testing.assert_array_equal(by_name, hu)  # D2 before D10
    np.testing.assert_array_equal(by_position, hu[::-1] if falling else hu)
    assert spacing == pytest.approx((1.25, 0.6, 0.7))


def test_reading_a_series_leaves_the_locale(tmp_path):
    write_series(tmp_path, noise((3, 4, 4)), np.arange(3))
    before = locale.setlocale(locale.LC_ALL)
    try:
        locale.setlocale(locale.LC_ALL, "C.UTF-8")
        read_image(tmp_path)
        assert locale.setlocale(locale.LC_ALL) == "C.UTF-8"
    finally:
        locale.setlocale(locale.LC_ALL, before)


def test_of_several_series_the_longest_is_taken_with_a_warning(tmp_path):
    write_series(tmp_path, noise((5, 4, 4)), np.arange(5), number="1")
    write_series(tmp_path, noise((2, 4, 4)), np.arange(2), number="2", prefix="scout")
    with pytest.warns(CaffeWarning, match="2 DICOM series; only the longest, of 5 slices"):
        assert read_image(tmp_path)[0].shape == (5, 4, 4)


@pytest.mark.parametrize("version", ["5", "7.3"])
def test_a_matlab_mask_has_the_axes_y_x_z(tmp_path, version):
    labels = np.zeros((4, 5, 6), np.uint8)  # z, y, x
    labels[1, 2, 3:5] = 1
    mask = labels.transpose(1, 2, 0)
    if version == "5":
        scipy.io.savemat(tmp_path / "PAT001.mat", {"Mask": mask})
    else:
        with h5py.File(tmp_path / "PAT001.mat", "w") as file:
            file["Mask"] = mask.T  # as MATLAB writes, the last axis first
    np.testing.assert_array_equal(read_labels(tmp_path / "PAT001.mat"), labels)


def test_components_hang_together_by_corners_too(tmp_path):
    mask = np.zeros((5, 5, 9), np.uint8)
    mask[0, 0, 0] = mask[1, 1, 1] = mask[4, 4, 8] = mask[4, 4, 6] = 1
    write_volume(tmp_path / "label.nii.gz", mask, 1.0)
    labels = read_labels(tmp_path / "label.nii.gz", "components")
    assert labels[0, 0, 0] == labels[1, 1, 1] == 1
    assert {labels[4, 4, 6], labels[4, 4, 8]} == {2, 3}
    assert clot_numbers(labels) == [1, 2, 3]
    assert clot_numbers(read_labels(tmp_path / "label.nii.gz", "values")) == [1]
    assert clot_numbers(np.zeros((2, 2, 2), np.uint8)) == []


@pytest.mark.parametrize("to", [0.7, 1.0, 2.5])
def test_linear_resampling_agrees_with_scipy(to):
    hu, spacing = noise((7, 8, 9)), (2.0, 0.8, 1.1)
    found = resample(hu, spacing, to)
    assert found.shape == tuple(int((n - 1) * s / to) + 1 for n, s in zip(hu.shape, spacing, strict=True))
    index = np.stack(np.meshgrid(*(np.arange(n) for n in found.shape), indexing="ij"))
    places = index * to / np.array(spacing)[:, None, None, None]
    expected = ndimage.map_coordinates(hu.astype(np.float64), places, order=1)
    assert np.abs(found - expected).max() < 0.51


def test_a_ramp_stays_a_ramp_and_the_first_voxel_in_place():
    z, y, x = np.meshgrid(np.arange(6), np.arange(9), np.arange(11), indexing="ij")
    hu = (100 + 30 * z + 10 * y - 20 * x).astype(np.int16)  # 10 HU/mm, 10 HU/mm, -40 HU/mm
    found = resample(hu, (3.0, 1.0, 0.5), 0.5)
    assert found.shape == (31, 17, 11)
    z, y, x = np.meshgrid(*(0.5 * np.arange(n) for n in found.shape), indexing="ij")
    np.testing.assert_array_equal(found, 100 + 10 * z + 10 * y - 40 * x)


def test_labels_take_the_nearest_voxel_and_tiny_clots_stay():
    labels = np.zeros((9, 9, 9), np.uint8)
    labels[2:6, 2:6, 2:6] = 1
    labels[7, 7, 1] = 2
    found = resample_labels(labels, (1.0, 1.0, 1.0), 3.0)
    expected = labels[::3, ::3, ::3].copy()
    assert 2 not in expected  # between the voxels of the coarse grid, nearest to (6, 6, 0) of the fine one
    expected[2, 2, 0] = 2
    np.testing.assert_array_equal(found, expected)


def test_two_clots_in_one_coarse_voxel_are_an_error():
    labels = np.zeros((4, 4, 4), np.uint8)
    labels[1, 1, 1], labels[1, 1, 2] = 1, 2
    with pytest.raises(DataError, match=r"shares its only voxel.*smaller"):
        resample_labels(labels, (0.5, 0.5, 0.5), 5.0)


def test_a_case_is_loaded_on_one_grid_and_kept(tmp_path):
    hu, labels = noise((6, 8, 8)), np.zeros((6, 8, 8), np.uint8)
    labels[2:4, 3:6, 3:6] = 4
    write_volume(tmp_path / "volume.nrrd", hu, 2.0)
    write_volume(tmp_path / "label.nrrd", labels, 2.0)
    case = case_of(tmp_path / "volume.nrrd", tmp_path / "label.nrrd")
    volume = load_volume(case, 1.0)
    assert volume.hu.shape == load_labels(case, volume).shape == (11, 15, 15)
    assert load_labels(case, volume)[5, 8, 8] == 4
    assert volume.spacing == 1.0
    assert load_volume(case, 1.0) is volume
    with pytest.raises(ValueError, match="read-only"):
        volume.hu[0, 0, 0] = 1
    assert not load_labels(case_of(tmp_path / "volume.nrrd"), volume).any()


def test_labels_that_do_not_fit_the_image_name_both_shapes(tmp_path):
    write_volume(tmp_path / "volume.nrrd", noise((6, 8, 8)), 1.0)
    write_volume(tmp_path / "label.nrrd", np.zeros((5, 8, 8), np.uint8), 1.0)
    case = case_of(tmp_path / "volume.nrrd", tmp_path / "label.nrrd")
    with pytest.raises(DataError, match=r"label\.nrrd.*\(5, 8, 8\).*\(6, 8, 8\)"):
        load_labels(case, load_volume(case, 1.0))


def test_what_cannot_be_read_says_why(tmp_path, monkeypatch):
    (tmp_path / "text.nrrd").write_text("no volume")
    (tmp_path / "text.mat").write_text("no matlab file")
    (tmp_path / "empty").mkdir()
    sitk.WriteImage(sitk.GetImageFromArray(np.full((3, 3, 3), 0.5, np.float32)), str(tmp_path / "half.mha"))
    for name, message in {"text.nrrd": "cannot be read", "absent.nii": "no such file", "empty": "DICOM"}.items():
        with pytest.raises(DataError, match=message):
            read_image(tmp_path / name)
    for name in ("text.mat", "half.mha"):
        with pytest.raises(DataError, match=name):
            read_labels(tmp_path / name)
    monkeypatch.setitem(sys.modules, "SimpleITK", None)
    with pytest.raises(DataError, match=r"pip install 'caffe_port\[ct\]'"):
        read_image(tmp_path / "half.mha")


@pytest.mark.parametrize("suffix", [".nii", ".nii.gz"])
@pytest.mark.parametrize("kept", [0.3, 0.999])
def test_a_nifti_file_that_ends_too_early_is_not_read_as_zeros(tmp_path, suffix, kept):
    path = tmp_path / f"volume{suffix}"
    write_volume(path, noise((20, 20, 20)), 1.0)
    read_image(path)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    for read in (read_image, read_labels):
        with pytest.raises(DataError, match=r"volume\.nii.*(damaged|too early).*once more"):
            read(path)


def test_a_damaged_gzip_file_is_an_error(tmp_path):
    path = tmp_path / "volume.nii.gz"
    write_volume(path, noise((20, 20, 20)), 1.0)
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 255
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"volume\.nii\.gz: is damaged"):
        read_image(path)


def test_a_series_that_lacks_a_slice_gives_a_warning(tmp_path):
    write_series(tmp_path / "scan", noise((6, 5, 5)), [0, 1, 2, 4, 5, 6])
    with pytest.warns(CaffeWarning, match=r"scan.*not evenly spaced"):
        read_image(tmp_path / "scan")


def test_the_window_is_linear_between_its_bounds():
    hu = np.array([-2000, -250, 100, 450, 3000], np.int16)
    assert window(hu).tolist() == [0, 0, 128, 255, 255]
    assert window(hu, -2000, 3000).tolist() == [0, 89, 107, 125, 255]
    assert window(hu).dtype == np.uint8
