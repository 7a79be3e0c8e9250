"""Tobogganing [63]: every voxel slides to its lowest neighbour until it can go no lower.

[63] J. Fairfield, "Toboggan contrast enhancement for contrast segmentation", ICPR 1990. Only the voxels of a mask are
worked on, as a list, so that time and memory depend on their number rather than on the volume's.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

#: The steps (z, y, x) to the 26 neighbours, in the order of the array.
STEPS = tuple(step for step in product((-1, 0, 1), repeat=3) if any(step))


class Voxels:
    """The N voxels of a mask as a list, in the order of the array, and who is whose neighbour."""

    def __init__(self, mask: np.ndarray) -> None:
        padded = np.pad(mask, 1)
        self._shape = padded.shape
        self._flat = np.flatnonzero(padded)
        self._number = np.full(padded.size, -1, np.int32)
        self._number[self._flat] = np.arange(len(self._flat))

    def __len__(self) -> int:
        return len(self._flat)

    def indices(self) -> np.ndarray:
        """(N, 3) indices (z, y, x)."""
        return np.stack(np.unravel_index(self._flat, self._shape), axis=1) - 1

    def at(self, step: tuple[int, ...], voxels: np.ndarray | slice = slice(None)) -> np.ndarray:
        """The number of the voxel to which ``step`` (to one of the 26 neighbours) leads from each of ``voxels``; -1
        where that is outside of the mask."""
        return self._number[self._flat[voxels] + (step[0] * self._shape[1] + step[1]) * self._shape[2] + step[2]]


@dataclass(frozen=True)
class Basins:
    """Where the N voxels of a mask end.

    :param voxels: the voxels.
    :param values: (N,) float32, the smoothed values on which they slide.
    :param basin: (N,) the number of each voxel's basin, 0 to B - 1.
    :param ends: (B,) the voxel in which a basin's voxels end.
    """

    voxels: Voxels
    values: np.ndarray
    basin: np.ndarray
    ends: np.ndarray


def slide(grey: np.ndarray, mask: np.ndarray) -> Basins:
    """Let every voxel of ``mask`` slide on the lightly smoothed ``grey``, both (z, y, x)."""
    voxels = Voxels(mask)
    values = smooth(grey[mask], voxels)
    ends, basin = np.unique(descend(values, voxels), return_inverse=True)
    return Basins(voxels, values, basin, ends)


def smooth(values: np.ndarray, voxels: Voxels) -> np.ndarray:
    """The weighted mean over the 27 voxels around each (1, 2, 1 along every axis: a deviation of 0.7 voxels), of those
    within the mask: what is outside, lung above all, does not blur in.

    :param values: (N,).
    :returns: (N,) float32.
    """
    values = values.astype(np.float32)
    total, weights = 8 * values, np.full(len(values), 8, np.float32)
    for step in STEPS:
        near = voxels.at(step)
        inside = near >= 0
        weight = 0.5 ** np.abs(step).sum() * 8
        total += np.where(inside, weight * values[near], 0)
        weights += weight * inside
    return total / weights


def descend(values: np.ndarray, voxels: Voxels) -> np.ndarray:
    """(N,) the voxel in which each voxel ends.

    A voxel slides to the lowest of its 26 neighbours within the mask, the first of equal ones. Voxels without a lower
    neighbour that have equal ones are a plateau with them: they slide to the one of their plateau that has the lowest
    neighbour (the first of equal ones), or, where none has a lower neighbour, end in the first of them.

    :param values: (N,).
    """
    return _last(_next(values, voxels))


def _next(values: np.ndarray, voxels: Voxels) -> np.ndarray:
    """(N,) the voxel to which each slides in one step; itself where it ends."""
    target, lowest = np.arange(len(values), dtype=np.int32), values.copy()
    for step in STEPS:
        near = voxels.at(step)
        lower = (near >= 0) & (values[near] < lowest)
        target[lower], lowest[lower] = near[lower], values[near[lower]]
    flat = np.flatnonzero(lowest == values)
    pairs = [np.zeros((2, 0), int)]
    for step in STEPS:
        near = voxels.at(step, flat)
        equal = (near >= 0) & (values[near] == values[flat])
        pairs.append(np.stack([flat[equal], near[equal]]))
    nodes, edges = np.unique(np.concatenate(pairs, axis=1), return_inverse=True)
    if len(nodes):
        plateau = connected(len(nodes), *edges.reshape(2, -1))
        order = np.lexsort((nodes, lowest[nodes], plateau))
        _, first = np.unique(plateau[order], return_index=True)
        way_out = nodes[order[first]][plateau]
        still = lowest[nodes] == values[nodes]
        target[nodes[still]] = way_out[still]
    return target


def _last(target: np.ndarray) -> np.ndarray:
    """Where each ends who goes on to ``target`` until it stays."""
    while True:
        further = target[target]
        if np.array_equal(further, target):
            return target
        target = further


def connected(count: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """(count,) the number of the connected component of each of ``count`` nodes with edges first-second."""
    graph = coo_matrix((np.ones(len(first), bool), (first, second)), (count, count))
    return connected_components(graph, directed=False)[1]
