"""Solver states: ``.solverstate`` and ``.solverstate.h5`` (Caffe: sgd_solver.cpp, SnapshotSolverState and Restore)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from caffe_port.errors import FormatError
from caffe_port.files import atomic_write
from caffe_port.proto.blob_proto import encode_blob, read_blob, to_float32
from caffe_port.proto.hdf5 import member, members, new_hdf5, open_hdf5, read_dataset
from caffe_port.proto.mapped import HDF5_MAGIC, blame, open_map, refuse_foreign
from caffe_port.proto.wire import (
    LENGTH,
    VARINT,
    Parts,
    encode_int,
    encode_message,
    encode_string,
    read_int,
    read_string,
    scan,
    write_messages,
)

_WANTED = "a solver state (.solverstate)"
_ITER, _LEARNED_NET, _HISTORY, _CURRENT_STEP = 1, 2, 3, 4


class SolverState(NamedTuple):
    """What a solver needs besides the weights to go on.

    :param iter: number of updates applied so far.
    :param learned_net: path of the weights file that was written with it; empty when it names none.
    :param history: float32 arrays, as many per parameter as the update rule keeps. Their shapes are the
        file's (four axes in old files): Caffe takes them as they are.
    :param current_step: how many steps the policy "multistep" has passed.
    """

    iter: int
    learned_net: str
    history: list[np.ndarray]
    current_step: int


def read_solverstate(path: str | Path) -> SolverState:
    """The solver state at ``path``, in either form, told by its content.

    :raises FormatError: absent, damaged, or something else than a solver state.
    """
    data = open_map(path)
    if data[: len(HDF5_MAGIC)] == HDF5_MAGIC:
        state = _read_hdf5(path)
    else:
        refuse_foreign(data, path, _WANTED)
        with blame(path, _WANTED):
            state = _read_binary(data)
    if state.iter < 0 or state.current_step < 0:
        raise FormatError("The iteration or step is negative: the file is damaged.", file=path)
    return state


def write_solverstate(
    path: str | Path, iter: int, learned_net: str, history: Sequence[np.ndarray], current_step: int = 0
) -> None:
    """Write a ``.solverstate`` with the bytes that Caffe writes, whole or not at all."""
    with atomic_write(path) as file:
        write_messages(file, _encode_state(SolverState(iter, learned_net, list(history), current_step)))


def write_hdf5_solverstate(
    path: str | Path, iter: int, learned_net: str, history: Sequence[np.ndarray], current_step: int = 0
) -> None:
    """Write a ``.solverstate.h5`` with Caffe's layout, whole or not at all."""
    with atomic_write(path) as file, new_hdf5(file) as hdf5:
        hdf5.create_dataset("iter", data=np.array([iter], "<i4"))
        _write_c_string(hdf5, "learned_net", learned_net)
        hdf5.create_dataset("current_step", data=np.array([current_step], "<i4"))
        group = hdf5.create_group("history")
        for index, array in enumerate(history):
            group.create_dataset(str(index), data=np.asarray(array, dtype="<f4"))


def _encode_state(state: SolverState) -> Iterator[Parts]:
    yield [encode_int(_ITER, state.iter), encode_string(_LEARNED_NET, state.learned_net)]
    for array in state.history:
        yield encode_message(_HISTORY, encode_blob(np.asarray(array)))
    yield [encode_int(_CURRENT_STEP, state.current_step)]


def _read_binary(data: memoryview) -> SolverState:
    iteration, learned_net, current_step = None, "", 0
    history: list[np.ndarray] = []
    for item in scan(data):
        if item.number == _ITER and item.wire == VARINT:
            iteration = read_int(data, item)
        elif item.number == _LEARNED_NET and item.wire == LENGTH:
            learned_net = read_string(data, item)
        elif item.number == _HISTORY and item.wire == LENGTH:
            history.append(_read_history(data, item.start, item.stop, len(history)))
        elif item.number == _CURRENT_STEP and item.wire == VARINT:
            current_step = read_int(data, item)
        elif (item.number, item.wire) in ((_ITER, LENGTH), (100, LENGTH)):
            raise FormatError(f"These are weights (.caffemodel), not {_WANTED}.", remedy="Give them as weights.")
    if iteration is None:
        raise FormatError(f"This file has no iteration, so it is not {_WANTED}.")
    return SolverState(iteration, learned_net, history, current_step)


def _read_history(data: memoryview, start: int, stop: int, index: int) -> np.ndarray:
    try:
        return read_blob(data, start, stop).array
    except FormatError as error:
        error.cause = f"History {index}: {error.cause}"
        raise


def _read_hdf5(path: str | Path) -> SolverState:
    with open_hdf5(path) as file:
        names = set(file)
        if missing := {"iter", "history"} - names:
            hint = "; it holds weights (.caffemodel.h5)" if "data" in names else ""
            raise FormatError(f"This HDF5 file is no solver state: it has no '{min(missing)}'{hint}.")
        history = _read_hdf5_history(member(file, "history"))
        return SolverState(_read_int(file, "iter"), _read_c_string(file), history, _read_int(file, "current_step"))


def _read_hdf5_history(group: Any) -> list[np.ndarray]:
    """The datasets "0", "1", ... of ``group`` in the order of their numbers."""
    if not isinstance(group, h5py.Group):
        raise FormatError("'history' is no group.")
    found = dict(members(group))
    names = [str(index) for index in range(len(found))]
    if missing := [name for name in names if name not in found]:
        raise FormatError(f"The history has {len(found)} blobs, but '{missing[0]}' is not among them.")
    return [to_float32(read_dataset(found[name])) for name in names]


def _read_int(file: h5py.File, name: str) -> int:
    """A number that Caffe stores as an array of one; 0 where it is absent."""
    if name not in set(file):
        return 0
    values = read_dataset(member(file, name), kinds="iu")
    if values.size != 1:
        raise FormatError(f"'{name}' holds {values.size} numbers instead of one.")
    return int(values.reshape(-1)[0])


def _read_c_string(file: h5py.File) -> str:
    """The fixed-size string that Caffe writes, or one of variable size."""
    if "learned_net" not in set(file):
        return ""
    values = read_dataset(member(file, "learned_net"), kinds="SO")
    if values.size != 1 or not isinstance(values.item(), bytes):
        raise FormatError("'learned_net' is no string.")
    return values.item().decode("utf-8", errors="backslashreplace")


def _write_c_string(file: h5py.File, name: str, text: str) -> None:
    """``text`` as a scalar of fixed size with its final zero byte, which Caffe's reader relies on."""
    octets = text.encode("utf-8") + b"\0"
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(octets))
    dataset = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(octets, dtype=f"S{len(octets)}"), mtype=kind)
