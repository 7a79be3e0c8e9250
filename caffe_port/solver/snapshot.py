"""Snapshots that real Caffe reads, and restoring from its own (Caffe: solver.cpp, sgd_solver.cpp).

A snapshot is, in the order of writing, ``<prefix>_iter_<n>.caffemodel``, a sidecar for the exact resume (see
:mod:`~caffe_port.solver.sidecar`) and ``<prefix>_iter_<n>.solverstate``; weights and state end in ``.h5`` under
``snapshot_format: HDF5``. Each appears whole or not at all, and the state, which names the weights, comes last:
whatever interrupts the writing, a state that is there is complete.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from caffe_port.errors import CaffeWarning, SnapshotError, WeightsError
from caffe_port.log import log
from caffe_port.proto import pb
from caffe_port.proto.solverstate import read_solverstate, write_hdf5_solverstate, write_solverstate
from caffe_port.solver.sidecar import Position, passes_of, read_position, set_passes, sidecar_path, write_position

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
    """Write weights, then state; return their paths. Of several processes that train together the first writes."""
    hdf5 = solver.param.snapshot_format == pb.SolverParameter.HDF5
    stem = _stem(solver.param.snapshot_prefix, solver.iteration)
    suffix, kind = (".h5", "HDF5") if hdf5 else ("", "binary proto")
    weights = Path(f"{stem}.caffemodel{suffix}")
    state = Path(f"{stem}.solverstate{suffix}")
    if not solver.ranks.first:
        return weights, state
    log.info("Snapshotting to %s file %s", kind, weights)
    if solver.param.snapshot_diff:
        solver.updater.show_steps()
    solver.net.save(weights, diffs=solver.param.snapshot_diff)
    log.info("Snapshotting solver state to %s file %s", kind, state)
    passes = [passes_of(net) for net in (solver.net, *solver.test_nets)]
    write_position(state, Position(solver.iteration, solver.seed, passes, solver.ranks.world))
    history = [h.cpu().numpy() for h in solver.updater.flat_histories()]
    write_state = write_hdf5_solverstate if hdf5 else write_solverstate
    write_state(state, solver.iteration, str(weights), history, solver.learning_rate.current_step)
    return weights, state


def restore(solver: Solver, path: str | Path) -> None:
    """Set weights, histories, iteration and learning rate step from the state file at ``path``.

    Deviates from Caffe: weights that lack a learnable layer of the net are refused.

    :raises CaffeError: a file cannot be read, or is of another net or solver type. Nothing is changed then.
    """
    state = read_solverstate(path)
    position = read_position(path, state.iter)
    flat = solver.updater.flat_histories()
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
    solver.updater.set_histories([torch.from_numpy(value.copy()) for value in state.history])
    if position is None:
        warnings.warn(
            f"{path} has no {sidecar_path(path).name}: data and random numbers start anew.", CaffeWarning, stacklevel=3
        )
    else:
        if position.world != solver.ranks.world:
            warnings.warn(
                f"{path} was taken by {position.world} processes, there are {solver.ranks.world} now: "
                "the data go on at another place.",
                CaffeWarning,
                stacklevel=3,
            )
        solver.seed = position.seed
        for net, passes in zip((solver.net, *solver.test_nets), position.passes):
            set_passes(net, position.seed, passes)
    solver.iteration = state.iter
    solver.learning_rate.current_step = state.current_step
    log.info("SGDSolver: restoring history")


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
