"""Weights files: ``.caffemodel`` read in place and written as a stream; ``.caffemodel.h5`` told by content.

(Caffe: net.cpp, CopyTrainedLayersFrom and ToProto; upgrade_proto.cpp for the old forms.)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from caffe_port.errors import CaffeWarning, FormatError
from caffe_port.files import atomic_write
from caffe_port.proto.blob_proto import encode_blob, read_blob
from caffe_port.proto.hdf5_weights import read_hdf5_weights, write_hdf5_weights
from caffe_port.proto.layer_weights import Blobs, LayerWeights, Weights, check_blobs
from caffe_port.proto.mapped import HDF5_MAGIC, blame, open_map, refuse_foreign
from caffe_port.proto.schema import pb
from caffe_port.proto.wire import (
    LENGTH,
    VARINT,
    Field,
    Parts,
    encode_message,
    encode_string,
    read_int,
    read_string,
    scan,
    write_messages,
)

__all__ = ["LayerWeights", "Weights", "read_weights", "write_caffemodel", "write_hdf5_weights"]

_WANTED = "weights (.caffemodel)"
_LAYER, _V1_LAYER = 100, 2
_V0_LAYER = 1  # inside a V1LayerParameter


class _Layout(NamedTuple):
    """The field numbers of what is needed from a layer message."""

    name: int
    type: int
    blobs: int


_V2, _V1, _V0 = _Layout(1, 2, 7), _Layout(4, 5, 6), _Layout(1, 2, 50)


def read_weights(path: str | Path) -> Weights:
    """The layers and blobs of the weights file at ``path``, in its order; its form is told by its content.

    Arrays of a binary file are views on a private map of it wherever their data is one packed run (possibly unaligned).
    Reads the V2, V1 and V0 form of nets, and NVIDIA's raw data.

    :raises FormatError: absent, damaged, foreign, or without any layer. A file that was cut off between two layers
        cannot be told from a whole one here: the net that loads it misses the layers.
    :warns CaffeWarning: the file has both ``layers`` and ``layer``; as in Caffe the old ones count.
    """
    data = open_map(path)
    if data[: len(HDF5_MAGIC)] == HDF5_MAGIC:
        return read_hdf5_weights(path)
    refuse_foreign(data, path, _WANTED)
    with blame(path, _WANTED):
        layers = _read_layers(data)
    if not layers:
        raise FormatError(f"This file holds no layers, so it is not {_WANTED}.", file=path, remedy="Is it cut off?")
    return Weights(layers, path, "binaryproto")


def write_caffemodel(
    path: str | Path,
    net_param: Any,
    blobs: Blobs,
    diffs: Blobs | None = None,
) -> None:
    """Write ``net_param``'s layers with ``blobs`` to ``path`` as Caffe does (Net::ToProto), whole or not at all.

    The bytes are those of Caffe. C-contiguous float32 arrays are written from where they are.

    :param net_param: NetParameter, filtered, every layer with its phase as Caffe's Net sets it; blobs in it are
        replaced. (Caffe's own have a ``name`` and ``layer``, no other fields.)
    :param blobs: layer name -> its blobs; layers without blobs may be absent.
    :param diffs: likewise, written beside the data (``snapshot_diff``).
    :raises WeightsError: a name is not in the net, a blob is None, diffs do not match blobs, the net is in V1 form.
    """
    check_blobs(net_param, blobs, diffs or {}, gaps=False)
    with atomic_write(path) as file:
        write_messages(file, _encode_net(net_param, blobs, diffs or {}))


def _encode_net(net_param: Any, blobs: Blobs, diffs: Blobs) -> Iterator[Parts]:
    """A NetParameter, layer by layer."""
    own = {field.name: value for field, value in net_param.ListFields() if field.name not in ("name", "layer")}
    yield [encode_string(1, net_param.name), pb.NetParameter(**own).SerializeToString()]
    for layer in net_param.layer:
        arrays = blobs.get(layer.name, ())
        layer_diffs = diffs.get(layer.name) or [None] * len(arrays)
        yield encode_message(_LAYER, _encode_layer(layer, zip(arrays, layer_diffs)))


def _encode_layer(layer: Any, blobs: Iterable[tuple[np.ndarray | None, np.ndarray | None]]) -> Parts:
    """A LayerParameter with its blobs where C++ writes them: in the order of field numbers."""
    if layer.blobs:
        bare = pb.LayerParameter()
        bare.CopyFrom(layer)
        bare.ClearField("blobs")
        layer = bare
    text = memoryview(layer.SerializeToString())
    cut = next((field.tag for field in scan(text) if field.number > _V2.blobs), len(text))
    parts: Parts = [text[:cut]]
    for array, diff in blobs:
        parts += encode_message(_V2.blobs, encode_blob(np.asarray(array), diff))
    return [*parts, text[cut:]]


def _read_layers(data: memoryview) -> list[LayerWeights]:
    """The layers of a NetParameter. Where ``layers`` (V1, V0) are present Caffe ignores ``layer``."""
    layers, old_layers = [], []
    for field in scan(data):
        if field.number == _LAYER and field.wire == LENGTH:
            layers.append(_read_layer(data, [field], _V2))
        elif field.number == _V1_LAYER and field.wire == LENGTH:
            old_layers.append(_read_old_layer(data, field))
        else:
            _refuse_other_message(data, field)
    if layers and old_layers:
        warnings.warn(
            f"The file has {len(old_layers)} 'layers' (old form) and {len(layers)} 'layer'; Caffe uses the old ones.",
            CaffeWarning,
            stacklevel=3,
        )
    return old_layers or layers


def _read_old_layer(data: memoryview, field: Field) -> LayerWeights:
    """A V1LayerParameter; one with a V0 layer inside has name, type and blobs there."""
    nested = [f for f in scan(data, field.start, field.stop) if f.number == _V0_LAYER and f.wire == LENGTH]
    return _read_layer(data, nested, _V0) if nested else _read_layer(data, [field], _V1)


def _read_layer(data: memoryview, messages: list[Field], layout: _Layout) -> LayerWeights:
    """One layer from its message; several of them are merged, as protobuf does."""
    layer, spans = LayerWeights("", ""), []
    for message in messages:
        for field in scan(data, message.start, message.stop):
            if field.number == layout.name and field.wire == LENGTH:
                layer.name = read_string(data, field)
            elif field.number == layout.type:
                layer.type = _read_type(data, field)
            elif field.number == layout.blobs and field.wire == LENGTH:
                spans.append(field)
    for index, span in enumerate(spans):
        try:
            blob = read_blob(data, span.start, span.stop)
        except FormatError as error:
            error.cause = f"Blob {index}: {error.cause}"
            error.at(layer=layer.name, layer_type=layer.type)
            raise
        layer.blobs.append(blob.array)
        layer.legacy.append(blob.legacy)
    return layer


def _read_type(data: memoryview, field: Field) -> str:
    """The type of a layer: a string, in V1 the name of an enum value."""
    if field.wire == LENGTH:
        return read_string(data, field)
    if field.wire != VARINT:
        return ""
    names = pb.V1LayerParameter.DESCRIPTOR.enum_types_by_name["LayerType"].values_by_number
    number = read_int(data, field)
    return names[number].name if number in names else str(number)


def _refuse_other_message(data: memoryview, field: Field) -> None:
    """Refuse Caffe's other binary files, whose field numbers mean something else in a net."""
    if (field.number, field.wire) in ((5, LENGTH), (7, LENGTH)):
        what, remedy = "a mean file or another single blob (.binaryproto)", "Give it as mean_file."
    elif (field.number, field.wire) == (1, VARINT):
        following = next(scan(data, field.stop), None)
        if following and following.wire == VARINT:
            what, remedy = "a mean file or a datum (.binaryproto)", "Give it as mean_file."
        else:
            what, remedy = (
                "a solver state (.solverstate)",
                "Give it as the snapshot; the .caffemodel beside it has the weights.",
            )
    else:
        return
    raise FormatError(f"This is {what}, not {_WANTED}.", remedy=remedy)
