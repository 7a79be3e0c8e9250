"""Sliding and smoothing against loops over voxels, ties and plateaus included."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from caffe_port.study.embolism.tobogganing import Voxels, descend, slide, smooth

STEPS = [step for step in product((-1, 0, 1), repeat=3) if step != (0, 0, 0)]


def neighbours(place, grey):
    """Places around ``place`` that have a value (a dictionary: place -> value)."""
    around = (tuple(np.add(place, step).tolist()) for step in STEPS)
    return sorted(other for other in around if other in grey)


def naive_end(start, grey):
    """Where a walker that starts at ``start`` ends: downhill, or through its plateau to where it goes on downhill."""
    place = start
    while True:
        lowest = min(neighbours(place, grey), key=lambda other: (grey[other], other), default=place)
        if grey[lowest] < grey[place]:
            place = lowest
            continue
        ways_out, level = naive_plateau(place, grey)
        if not ways_out:
            return min(level)
        place = min(ways_out)[2]


def naive_plateau(place, grey):
    """The ways out (value below, place on the plateau, place below) of a plateau, and its places."""
    level, waiting, ways_out = {place}, [place], []
    while waiting:
        here = waiting.pop()
        around = neighbours(here, grey)
        below = min(around, key=lambda other: (grey[other], other), default=here)
        leaves = grey[below] < grey[here]
        if leaves:
            ways_out.append((grey[below], here, below))
        for other in around:
            stays = all(grey[next_] >= grey[other] for next_ in neighbours(other, grey))
            if grey[other] == grey[here] and other not in level and (not leaves or stays):
                level.add(other)
                waiting.append(other)
    return ways_out, level


@pytest.mark.parametrize("levels", [2, 3, 6, 1000])
@pytest.mark.parametrize("filled", [0.4, 1.0])
@pytest.mark.parametrize("seed", range(3))
def test_every_voxel_ends_where_a_walker_ends(levels, filled, seed):
    random = np.random.default_rng(seed)
    shape = (3, 4, 5) if filled == 1 else (4, 6, 7)
    mask = random.random(shape) < filled
    values = random.integers(0, levels, mask.sum()).astype(np.float32)
    voxels = Voxels(mask)
    places = [tuple(place) for place in voxels.indices().tolist()]
    assert places == [tuple(place) for place in np.argwhere(mask).tolist()]
    grey = dict(zip(places, values.tolist(), strict=True))
    ends = [places[end] for end in descend(values, voxels)]
    assert ends == [naive_end(place, grey) for place in places]


def test_a_level_field_is_one_basin_that_ends_in_its_first_voxel():
    basins = slide(np.zeros((5, 6, 7), np.int16), np.ones((5, 6, 7), bool))
    assert basins.ends.tolist() == [0]
    assert not basins.basin.any()


def test_a_terrace_is_no_basin():
    grey = np.array([0, 5, 9, 9, 9, 9, 9, 12], np.float32)  # a flat part on the way down
    mask = np.ones((1, 1, 8), bool)
    assert descend(grey, Voxels(mask)).tolist() == [0] * 8
    assert descend(grey[::-1].copy(), Voxels(mask)).tolist() == [7] * 8


def test_parts_that_do_not_touch_are_apart():
    mask = np.ones((3, 3, 5), bool)
    mask[:, :, 2] = False
    assert len(slide(np.zeros(mask.shape, np.int16), mask).ends) == 2


def test_smoothing_is_the_weighted_mean_of_what_is_in_the_mask():
    random = np.random.default_rng(0)
    grey = random.integers(-1000, 1000, (4, 5, 6)).astype(np.int16)
    mask = random.random(grey.shape) < 0.6
    found = smooth(grey[mask], Voxels(mask))
    for value, place in zip(found, np.argwhere(mask), strict=True):
        total = weights = 0.0
        for step in [*STEPS, (0, 0, 0)]:
            other = tuple(place + step)
            if all(0 <= i < n for i, n in zip(other, grey.shape, strict=True)) and mask[other]:
                weight = np.prod([(1, 2, 1)[part + 1] for part in step])
                total, weights = total + weight * grey[other], weights + weight
        assert value == pytest.approx(total / weights, abs=1e-3)


def test_an_empty_mask_has_no_basin():
    basins = slide(np.zeros((3, 3, 3), np.int16), np.zeros((3, 3, 3), bool))
    assert len(basins.voxels) == len(basins.ends) == len(basins.basin) == 0
