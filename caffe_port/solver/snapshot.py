"""Snapshots that real Caffe reads, and restoring from its own (Caffe: solver.cpp, sgd_solver.cpp).

A snapshot is two files: ``<prefix>_iter_<n>.caffemodel`` and, written after it, ``<prefix>_iter_<n>.solverstate`` (both
with ``.h5`` under ``snapshot_format: HDF5``). The state names the weights.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from caffe_port.errors import SnapshotError, WeightsError
from caffe_port.log import log
from caffe_port.proto import pb
from caffe_port.proto.solverstate import read_solverstate, write_hdf5_solverstate, write_solverstate

if TYPE_CHECKING:
    from caffe_port.solver.solver import Solver


def check_writable(prefix: str) -> None:
    """Refuse a snapshot_prefix whose folder cannot be written, before hours of training are lost.

    :raises SnapshotError: the folder is missing or not writable.
    """
    folder = Path(_stem(prefix, 0)).parent
    if not folder.is_dir():
        raise SnapshotError(
            f"Cannot write to snapshot prefix '{prefix}': there is no folder '{folder}'.",
            remedy="Create it or change snapshot_prefix.",
        )
    if not os.access(folder, os.W_OK):
        raise SnapshotError(
            f"Cannot write to snapshot prefix '{prefix}': the folder '{folder}' is not writable.",
            remedy="Make it writable or change snapshot_prefix.",
        )


def _stem(prefix: str, iteration: int) -> str:
    return f"{prefix}_iter_{iteration}"


def write(solver: Solver) -> tuple[Path, Path]:
    """Write weights, then state; return their paths."""
    hdf5 = solver.param.snapshot_format == pb.SolverParameter.HDF5
    stem = _stem(solver.param.snapshot_prefix, solver.iteration)
    suffix, kind = (".h5", "HDF5") if hdf5 else ("", "binary proto")
    weights = Path(f"{stem}.caffemodel{suffix}")
    state = Path(f"{stem}.solverstate{suffix}")
    log.info("Snapshotting to %s file %s", kind, weights)
    solver.net.save(weights, diffs=solver.param.snapshot_diff)
    log.info("Snapshotting solver state to %s file %s", kind, state)
    history = [h.cpu().numpy() for h in _flat_history(solver)]
    write_state = write_hdf5_solverstate if hdf5 else write_solverstate
    write_state(state, solver.iteration, str(weights), history, solver.learning_rate.current_step)
    return weights, state


def restore(solver: Solver, path: str | Path) -> None:
    """Set weights, histories, iteration and learning rate step from the state file at ``path``.

    Deviates from Caffe: weights that lack a learnable layer of the net are refused.

    :raises CaffeError: a file cannot be read, or is of another net or solver type. Nothing is changed then.
    """
    state = read_solverstate(path)
    flat = _flat_history(solver)
    if [h.size for h in state.history] != [h.numel() for h in flat]:
        raise SnapshotError(
            f"Incorrect history blobs: {len(state.history)} in the file, {len(flat)} here, or of other lengths.",
            file=path,
            remedy=f"The snapshot was not taken by a {solver.param.type} solver of this net.",
        )
    if state.learned_net:
        weights = _find_weights(state.learned_net, Path(path))
        try:
            solver.net.load(weights, missing="error")
        except WeightsError as error:
            error.remedy = f"The snapshot {path} was taken of another net."
            raise
    for target, value in zip(flat, state.history):
        target.copy_(torch.from_numpy(value.copy()).view(target.shape))
    solver.iteration = state.iter
    solver.learning_rate.current_step = state.current_step
    log.info("SGDSolver: restoring history")


def _flat_history(solver: Solver) -> list[torch.Tensor]:
    """All first histories, then all second ones: the order of the file."""
    per_param = solver.updater.histories
    return [h[k] for k in range(solver.updater.rule.HISTORIES) for h in per_param]


def _find_weights(learned_net: str, state: Path) -> Path:
    """The weights that a state names: that path, or, when the files were moved, the same name beside the state."""
    named = Path(learned_net)
    beside = state.parent / named.name
    if not named.exists() and beside.exists():
        log.info("%s is not there; using %s", named, beside)
        return beside
    if not named.exists():
        raise SnapshotError(
            f"Its weights '{named}' are neither there nor in its own folder.",
            file=state,
            remedy="Put the .caffemodel of this snapshot beside the .solverstate.",
        )
    return named
