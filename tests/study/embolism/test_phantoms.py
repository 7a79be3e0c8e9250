"""Phantoms: written as a data set that loads, the same again, with clots inside of vessels."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_port.errors import DataError
from caffe_port.study.embolism.loaders import DATASETS, detect
from caffe_port.study.embolism.phantoms import insert_clots, phantom, write_phantoms
from caffe_port.study.embolism.volumes import Volume, clot_numbers, load_labels, load_volume

pytest.importorskip("SimpleITK")

SIZE = (60, 80, 96)


def test_they_load_as_a_data_set(tmp_path):
    seen = []
    write_phantoms(tmp_path, 4, 5, SIZE, 1.0, lambda done, total: seen.append((done, total)))
    assert seen == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert "no evidence" in (tmp_path / "PROCEDURAL.txt").read_text()
    cases = DATASETS[detect(tmp_path)](tmp_path)
    assert [case.patient for case in cases] == [f"procedural_{i:03d}" for i in range(4)]
    for number, case in enumerate(cases):
        hu, labels = phantom(5, number, SIZE, 1.0)
        volume = load_volume(case, 1.0)
        np.testing.assert_array_equal(volume.hu, hu)
        np.testing.assert_array_equal(load_labels(case, volume), labels)
        assert case.lesions == tuple(f"{case.patient}/{clot}" for clot in clot_numbers(labels))
    assert all(case.lesions for case in cases[:3])
    assert not cases[3].lesions


def test_they_depend_on_seed_and_number_only():
    one, again, other = phantom(1, 2, SIZE)[0], phantom(1, 2, SIZE)[0], phantom(2, 2, SIZE)[0]
    np.testing.assert_array_equal(one, again)
    assert (one != other).mean() > 0.5


def test_tissues_have_their_hu_and_clots_are_dark_in_the_bright():
    hu, labels = phantom(0, 1, (96, 120, 144))
    assert hu[:, 0, 0].mean() == pytest.approx(-1000, abs=3)
    assert np.median(hu[(hu > -950) & (hu < -700)]) == pytest.approx(-850, abs=25)
    assert 250 < np.percentile(hu[hu > 200], 50) < 460
    assert labels.max() >= 1
    for number in clot_numbers(labels):
        assert -50 < np.median(hu[labels == number]) < 150


def test_too_small_ones_are_refused(tmp_path):
    for patients, size, spacing in ((0, SIZE, 1.0), (1, (40, 80, 80), 1.0), (1, SIZE, 0.0)):
        with pytest.raises(DataError, match="cannot be made"):
            write_phantoms(tmp_path, patients, 0, size, spacing)


def test_clots_are_put_into_the_vessels_and_nowhere_else():
    vessels = np.zeros((60, 40, 40), bool)
    vessels[:, 12:27, 12:27] = True
    vessels[:, 5:8, 5:8] = True  # too thin
    before = Volume(np.where(vessels, 400, -800).astype(np.int16), 1.0, vessels.shape, (1.0, 1.0, 1.0))
    after, labels = insert_clots(before, vessels, 1, 3)
    assert clot_numbers(labels) == [1]
    assert vessels[labels > 0].all()
    assert not labels[:, 5:8, 5:8].any()
    assert after.hu[labels > 0].mean() < 150
    np.testing.assert_array_equal(after.hu[~vessels], before.hu[~vessels])
    np.testing.assert_array_equal(insert_clots(before, vessels, 1, 3)[0].hu, after.hu)
    with pytest.raises(DataError, match="not for 50"):
        insert_clots(before, vessels, 50, 3)
