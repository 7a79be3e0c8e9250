"""Blobs of a net over its data, written into databases. Caffe: tools/extract_features.cpp."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from caffe_port.data.database import DatabaseWriter, new_database
from caffe_port.data.datum import array_to_datum
from caffe_port.errors import CaffeError, NetError
from caffe_port.layers.base import format_shape
from caffe_port.log import log
from caffe_port.net.filter import filter_net, net_state
from caffe_port.net.net import Net
from caffe_port.net.splits import insert_splits
from caffe_port.proto.files import read_net

#: Records between two log lines.
LOG_EVERY = 1000


def extract_features(
    weights: str | Path,
    prototxt: str | Path,
    blobs: Sequence[str],
    databases: Sequence[str | Path],
    batches: int,
    *,
    backend: str = "LMDB",
    device: torch.device | str = "cpu",
    unknown: str = "error",
    progress: Callable[[int, int], None] | None = None,
    records: int | None = None,
) -> int:
    """Run ``batches`` batches of the data layers of ``prototxt`` (TEST phase) and store each blob in a new database.

    Every item of a batch becomes one record: under the key ``%010d``, counted from 0, a Datum with the item's values as
    float_data, and channels, height and width of the blob (1 for axes that it lacks). Datums have no label: extract the
    label blob as well where it is needed. Records follow the data, which begins anew when ``batches`` exceeds it.

    Deviates from Caffe: only layers that the blobs depend on are run, and each of these that learns must be in
    ``weights``; a net that waits for input is refused (Caffe feeds zeros); a failure leaves no database.

    :param blobs: names of blobs; ``databases`` as many folders, which must not exist.
    :param backend: ``LMDB`` or ``LEVELDB``.
    :param unknown: ``"warn"`` accepts unknown prototxt fields with a warning.
    :param progress: called with the number of batches that are done and that of all batches.
    :param records: store no more than so many of each blob, where the last batch would give more.
    :return: the number of records in each database.
    :raises CaffeError: net, weights or data are at fault; there is no such blob, or it has more than 4 axes; a database
        exists or cannot be written.
    """
    if len(blobs) != len(databases):
        raise NetError(
            f"{len(blobs)} blobs, but {len(databases)} databases.",
            remedy="The number of blobs and datasets must be equal.",
        )
    net = _net(prototxt, weights, blobs, unknown).to(device)
    counts = [0] * len(blobs)
    with ExitStack() as stack:
        writers = [stack.enter_context(new_database(path, backend)) for path in databases]
        log.info("Extracting Features")
        for batch in range(batches):
            with torch.no_grad():
                values, _ = net.run({}, blobs)
            for i, (name, writer) in enumerate(zip(blobs, writers)):
                left = None if records is None else records - counts[i]
                counts[i] = _write(writer, name, _records(values[name], name, net)[:left], counts[i])
            if progress:
                progress(batch + 1, batches)
    for name, count in zip(blobs, counts):
        log.info("Extracted features of %d query images for feature blob %s", count, name)
    return counts[0] if counts else 0


def _net(prototxt: str | Path, weights: str | Path, blobs: Sequence[str], unknown: str) -> Net:
    """The part of the net that computes ``blobs``."""
    try:
        param = insert_splits(filter_net(read_net(prototxt, unknown=unknown), net_state("TEST")))
        tops = dict.fromkeys(top for layer in param.layer for top in layer.top)
        for name in blobs:
            if name not in tops:
                raise NetError(f"Unknown feature blob name '{name}'.", remedy=f"The net has: {', '.join(tops)}.")
        net = Net(needed_layers(param, blobs), weights)
    except CaffeError as error:
        raise error.at(file=prototxt) from None
    net.source = str(prototxt)
    if net.inputs:
        raise NetError(
            f"The net waits for input: {', '.join(net.inputs)}.",
            remedy="Give it a data layer (Data, ImageData, HDF5Data) instead of an Input layer.",
            file=prototxt,
        )
    return net


def needed_layers(net_param: Any, blobs: Sequence[str]) -> Any:
    """A copy of ``net_param`` (filtered) with only the layers that ``blobs`` or their shared parameters come from.

    Layers that change one of these blobs in-place later on stay, since they decide what it holds in the end.
    """
    names = set(blobs)
    shared: set[str] = set()
    kept = []
    for layer in reversed(net_param.layer):
        params = {param.name for param in layer.param if param.name}
        if names.intersection(layer.top) or shared & params:
            names.update(layer.bottom)
            shared |= params
            kept.append(layer)
    result = type(net_param)()
    result.CopyFrom(net_param)
    del result.layer[:]
    result.layer.extend(reversed(kept))
    return result


def _records(blob: Tensor, name: str, net: Net) -> np.ndarray:
    """The blob as (num, channels, height, width)."""
    if blob.ndim > 4:
        raise NetError(
            f"Blob '{name}' of shape {format_shape(tuple(blob.shape))} does not fit into Datums: more than 4 axes.",
            file=net.source,
            remedy="Flatten it first.",
        )
    return blob.float().cpu().numpy().reshape(*blob.shape, *[1] * (4 - blob.ndim))


def _write(writer: DatabaseWriter, name: str, records: np.ndarray, count: int) -> int:
    """Append ``records`` to the ``count`` that are there, and return the new count."""
    for record in records:
        writer.put(b"%010d" % count, array_to_datum(record).SerializeToString())
        count += 1
        if count % LOG_EVERY == 0:
            log.info("Extracted features of %d query images for feature blob %s", count, name)
    return count
