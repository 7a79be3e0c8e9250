"""Lungs and vessels: of a drawn chest, whole and cut, and of a real crop."""

from __future__ import annotations

import numpy as np
import pytest

from caffe_port.study.embolism.lungs import lung_masks, vessel_mask
from tests.shared import IMAGES, needs

SPACING = 1.5
#: Places in voxels (z, y, x) of the drawn chest.
LEFT, RIGHT = np.s_[10:50, 20:60, 14:44], np.s_[10:50, 20:60, 66:96]
VESSEL, NODE, STOMACH = np.s_[28:31, 38:41, 14:96], np.s_[15:17, 30:32, 20:22], np.s_[52:58, 20:50, 40:70]


@pytest.fixture
def chest():
    """Air, a body of soft tissue, two lungs, gas in the stomach; a vessel from lung to lung and a small nodule."""
    hu = np.full((60, 80, 110), -1000.0)
    hu[:, 8:72, 6:104] = 40
    hu[LEFT] = hu[RIGHT] = -850
    hu[STOMACH] = -990
    hu[VESSEL], hu[NODE] = 350, 300
    return (hu + np.random.default_rng(0).normal(0, 20, hu.shape)).astype(np.int16)


def block(*parts):
    mask = np.zeros((60, 80, 110), bool)
    for part in parts:
        mask[part] = True
    return mask


def test_lungs_are_found_with_their_vessels_and_without_other_air(chest):
    lungs, around = lung_masks(chest, SPACING, 0.0)
    expected = block(LEFT, RIGHT)
    assert lungs[expected].mean() > 0.98
    assert (lungs & ~expected).sum() < 0.1 * expected.sum()  # the rounding to 3 mm, and corners at the vessel
    assert lungs[VESSEL][:, :, :25].all()
    assert not lungs[STOMACH].any()
    assert not lungs[:, :6].any()
    np.testing.assert_array_equal(around, lungs)


@pytest.mark.parametrize("cut", [np.s_[12:40, 25:55, 20:92], np.s_[:, 25:55, :], np.s_[:, :, 20:92]])
def test_a_crop_through_the_lungs_does_as_well(chest, cut):
    whole, _ = lung_masks(chest, SPACING, 0.0)
    crop, _ = lung_masks(chest[cut], SPACING, 0.0)
    assert (crop != whole[cut]).mean() < 0.03


def test_the_margin_goes_inwards_only(chest):
    lungs, around = lung_masks(chest, SPACING, 9.0)
    grown = np.argwhere(around & ~lungs)
    assert set(grown[:, 2]) <= set(range(43, 67))  # between the lungs
    assert around[30, 40, 44:49].all()
    assert not around[30, 40, 53:57].any()


def test_vessels_are_bright_and_larger_than_a_nodule(chest):
    lungs, _ = lung_masks(chest, SPACING, 0.0)
    found = vessel_mask(chest, lungs, SPACING, 150)
    assert found[VESSEL][:, :, :25].all()
    assert not found[:, :, 52:58].any()  # not within the mask
    small = vessel_mask(chest, block(NODE), 0.75, 150)
    assert not small.any()  # 8 voxels of 0.4 mm³


def test_without_lungs_there_is_nothing():
    lungs, around = lung_masks(np.full((20, 20, 20), 40, np.int16), 1.0, 10.0)
    assert not lungs.any()
    assert not around.any()


@needs(IMAGES / "ct")
def test_the_real_crop():
    sitk = pytest.importorskip("SimpleITK")
    hu, artery = (
        sitk.GetArrayFromImage(sitk.ReadImage(str(IMAGES / "ct" / f"{name}.nii.gz")))
        for name in ("ct_cropped", "pulmonary_artery")
    )
    lungs, around = lung_masks(hu, 1.5, 20.0)
    parenchyma = (hu > -900) & (hu < -700)
    assert lungs[parenchyma].mean() > 0.98
    assert hu[lungs].mean() < -600
    assert lungs[artery > 0].mean() < 0.15  # the central artery is outside of the lungs,
    assert around[artery > 0].mean() > 0.9  # and between them
