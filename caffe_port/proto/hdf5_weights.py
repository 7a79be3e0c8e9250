"""``.caffemodel.h5``: group ``data/<layer>`` with datasets "0", "1", ... (Caffe: net.cpp, ToHDF5)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from caffe_port.errors import FormatError
from caffe_port.files import atomic_write
from caffe_port.proto.blob_proto import to_float32
from caffe_port.proto.hdf5 import member, members, new_hdf5, open_hdf5, read_dataset
from caffe_port.proto.layer_weights import Blobs, LayerWeights, Weights, check_blobs

_MAX_DEPTH = 32
_MAX_BLOBS = 1000


def read_hdf5_weights(path: str | Path) -> Weights:
    """The layers and blobs of the ``.caffemodel.h5`` at ``path``, sorted by name.

    A blob of a layer that shares it with an earlier one is absent from the file (see :class:`LayerWeights`). Nested
    groups are layers whose name holds a "/".

    :raises FormatError: absent, damaged, without ``data``, or anything in it is no layer or blob.
    """
    with open_hdf5(path) as file:
        names = set(file)
        if "data" not in names or not isinstance(root := member(file, "data"), h5py.Group):
            hint = "; it is a solver state (.solverstate.h5)" if {"iter", "history"} <= names else ""
            raise FormatError(f"This HDF5 file holds no weights: it has no group 'data'{hint}.")
        layers: list[LayerWeights] = []
        _collect(root, "", layers, set(), 0)
        if not layers:
            raise FormatError("This HDF5 file holds no layers.")
        return Weights(layers, path, "hdf5")


def write_hdf5_weights(
    path: str | Path,
    net_param: Any,
    blobs: Blobs,
    diffs: Blobs | None = None,
) -> None:
    """Write the blobs of ``net_param``'s layers to ``path``, whole or not at all; every layer gets its group.

    Deviates from Caffe: a layer name with "/" gives nested groups, where Caffe aborts.

    :param blobs: layer name -> its blobs; None leaves one out. Caffe leaves out blobs that an earlier layer owns.
    :param diffs: likewise, written under ``diff`` (``snapshot_diff``). Caffe writes them for every blob.
    :raises WeightsError: a name is not in the net, diffs do not match blobs.
    :raises FormatError: two layers want the same place, as "a" and "a/0" do.
    """
    check_blobs(net_param, blobs, diffs or {}, gaps=True)
    with atomic_write(path) as file, new_hdf5(file) as hdf5:
        for root, arrays in (("data", blobs), ("diff", diffs)):
            if arrays is None:
                continue
            group = hdf5.create_group(root)
            for layer in net_param.layer:
                _write_layer(group, layer.name, arrays.get(layer.name, ()))


def _write_layer(parent: h5py.Group, name: str, arrays: Sequence[np.ndarray | None]) -> None:
    try:
        group = parent.create_group(name)
        for index, array in enumerate(arrays):
            if array is not None:
                group.create_dataset(str(index), data=np.asarray(array, dtype="<f4"))
    except (ValueError, OSError) as error:
        raise FormatError(
            f"The layer cannot be written to HDF5: {error}.",
            layer=name,
            remedy="Give every layer its own name, or use snapshot_format: BINARYPROTO.",
        ) from error


def _collect(group: h5py.Group, name: str, layers: list[LayerWeights], seen: set[int], depth: int) -> None:
    """Append the layers in ``group``, which is the layer ``name`` or the first part of longer names."""
    address = h5py.h5o.get_info(group.id).addr
    if address in seen or depth > _MAX_DEPTH:
        raise FormatError(f"Group '{group.name}' is linked from several places or too deep.")
    seen.add(address)
    found = members(group)
    inner = [(key, item) for key, item in found if isinstance(item, h5py.Group)]
    if depth and len(inner) < max(len(found), 1):
        layers.append(_read_layer(name, [item for item in found if item not in inner]))
    elif not depth and len(inner) < len(found):
        raise FormatError(f"Group '{group.name}' holds something else than layers.")
    for key, item in inner:
        _collect(item, f"{name}/{key}" if name else key, layers, seen, depth + 1)


def _read_layer(name: str, datasets: list[tuple[str, Any]]) -> LayerWeights:
    layer = LayerWeights(name, "")
    found: dict[int, np.ndarray] = {}
    for key, dataset in datasets:
        if not (key.isascii() and key.isdigit() and int(key) < _MAX_BLOBS and str(int(key)) == key):
            raise FormatError(f"'{key}' is no blob: blobs are numbered '0', '1', ...", layer=name)
        found[int(key)] = to_float32(read_dataset(dataset))
    layer.blobs = [found.get(index) for index in range(max(found, default=-1) + 1)]
    layer.legacy = [False] * len(layer.blobs)
    return layer
