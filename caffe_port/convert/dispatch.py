"""Which conversion a pair of files asks for, and what goes through it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from caffe_port.convert.converted import Converted
from caffe_port.convert.state import check_gaps, check_names, from_state, from_state_of, modernise, to_state
from caffe_port.convert.tensors import FORMATS, read_tensors, write_tensors
from caffe_port.errors import FormatError, WeightsError
from caffe_port.net import Net
from caffe_port.net.weights import load_weights
from caffe_port.proto import pb, read_net
from caffe_port.proto.layer_weights import LayerWeights, Weights
from caffe_port.proto.weights import read_weights, write_caffemodel, write_hdf5_weights

_CAFFE = (".caffemodel", ".h5")
_SOURCES = (*_CAFFE, *FORMATS)
_FOLDER = ""


def convert(
    source: str | Path,
    target: str | Path,
    net: str | Path | Any = None,
    phase: str | int = "TEST",
    dialect: str | None = None,
    unknown: str = "error",
) -> Converted:
    """Convert the weights in ``source`` to ``target``; suffixes tell the formats.

    ``.caffemodel`` (of any age), ``.caffemodel.h5``, ``.safetensors``, ``.pt``, ``.pth`` (a plain state_dict) and
    ``.npz`` go into one another; ``.onnx``, and a folder (no suffix, or a slash at its end) for PyTorch source, are
    targets only and need ``net``.

    With ``net`` the keys of tensors are those of ``net.state_dict()``, and what is written for Caffe is what
    ``net.save()`` writes. Without it keys are ``layer.blob``: the layer's name as it is, the blob's by the layer's type
    in the file (:mod:`caffe_port.convert.names`); a ``.caffemodel`` from a ``.caffemodel`` keeps all layers,
    upgraded, one from other files holds names, types as far as they are certain, and blobs, which is what Caffe loads.
    Old four-axis shapes become what today's Caffe gives the layer. Values stay as they are, to the bit, where the file
    has float32. Blobs that layers share are counted once with ``net``, else for each layer.

    :param net: path of a net file, or a NetParameter.
    :param phase: of the net.
    :param dialect: whose Caffe wrote a binary net or caffemodel (:func:`~caffe_port.proto.read_net`).
    :param unknown: ``"warn"`` skips unknown fields of the net or caffemodel, with a warning each.
    :raises CaffeError: a suffix is unknown, a file cannot be read or written, the weights do not fit the net, or
        something in the source is no blob of Caffe. ``target`` is unchanged then.
    :raises WeightsError: without ``net``, a layer's name is not unique or a shared blob is left out.
    :warns CaffeWarning: names of blobs are not certain.
    """
    _suffix(source, _SOURCES)
    suffix = _suffix(target, (*_SOURCES, ".onnx", _FOLDER))
    if net is not None:
        weights, model = _load(source, net, phase, dialect, unknown)
        return _write_net(model, weights, target, suffix)
    if suffix in (".onnx", _FOLDER):
        raise FormatError("can only be made with the net.", file=target, remedy="Give its prototxt as net= (--net).")
    weights = modernise(_read(source))
    if suffix in FORMATS:
        return _write_state(weights, to_state(weights), target)
    return _write_caffe(weights, target, suffix, dialect, unknown)


def _suffix(path: str | Path, allowed: tuple[str, ...]) -> str:
    """The suffix of ``path``; empty for a folder.

    :raises FormatError: it is not ``allowed``, or there is no path at all.
    """
    if not str(path):
        raise FormatError("The name of a file is empty.", remedy="Give one; in a script, is a variable unset?")
    suffix = _FOLDER if str(path).endswith(("/", os.sep)) else Path(path).suffix
    if suffix not in allowed:
        names = [name or "a folder (end its name with a slash)" for name in allowed]
        raise FormatError(
            f"the suffix '{suffix}' tells no known format.", file=path, remedy=f"Known are {', '.join(names)}."
        )
    return suffix


def _read(source: str | Path) -> Weights:
    """The weights in ``source``, by layers."""
    return read_weights(source) if Path(source).suffix in _CAFFE else from_state(read_tensors(source), source)


def _load(source: str | Path, net: Any, phase: str | int, dialect: str | None, unknown: str) -> tuple[Weights, Net]:
    """The weights in ``source``, and ``net`` with them."""
    if Path(source).suffix in _CAFFE:
        weights = read_weights(source)
        return weights, Net(net, weights, phase, dialect=dialect, unknown=unknown)
    model = Net(net, phase=phase, dialect=dialect, unknown=unknown)
    weights = from_state_of(model, read_tensors(source), source)
    load_weights(model, weights, "error")
    return weights, model


def _write_net(model: Net, weights: Weights, target: str | Path, suffix: str) -> Converted:
    """Write ``model``, which was loaded from ``weights``, in the format of ``suffix``."""
    names = {node.name for node in model.nodes}
    left_out = [layer.name for layer in weights if layer.blobs and layer.name not in names]
    if suffix == ".onnx":
        from caffe_port.convert.onnx import write_onnx

        done = write_onnx(model, target)
    elif suffix == _FOLDER:
        from caffe_port.convert.torch_source import write_torch_source

        done = write_torch_source(model, target)
    else:
        if suffix in FORMATS:
            write_tensors(target, {key: value.numpy() for key, value in model.state_dict().items()})
            left_out += [node.name for node in model.nodes if not node.layer.blob_names]
        else:
            model.save(target)
        layers = sum(bool(node.layer.blob_names) for node in model.nodes)
        done = Converted(layers, sum(param.blob.numel() for param in model.params), os.path.getsize(target))
    return replace(done, left_out=(*done.left_out, *left_out))


def _write_state(weights: Weights, state: dict[str, np.ndarray], target: str | Path) -> Converted:
    if not state:
        raise WeightsError("holds no blobs.", file=weights.path)
    write_tensors(target, state)
    return _converted(weights, target, [layer.name for layer in weights if not layer.blobs])


def _write_caffe(weights: Weights, target: str | Path, suffix: str, dialect: str | None, unknown: str) -> Converted:
    """Write ``weights`` for Caffe, with all that is known of their layers."""
    check_names(weights)
    left_out: list[str] = []
    if suffix == ".h5":
        net_param = _bare_net(weights)
        write_hdf5_weights(target, net_param, _blobs(weights))
    else:
        check_gaps(weights)
        if weights.format == "binaryproto":
            net_param = read_net(weights.path, unknown, dialect, blobs=False)
        else:  # HDF5 has only names of layers without blobs, also of those that share all of theirs
            left_out = [layer.name for layer in weights if not layer.blobs]
            net_param = _bare_net([layer for layer in weights if layer.blobs])
        write_caffemodel(target, net_param, _blobs(weights))
    return _converted(weights, target, left_out)


def _bare_net(weights: Iterable[LayerWeights]) -> Any:
    """A net of the layers' names, and of their types where they are known."""
    return pb.NetParameter(layer=[pb.LayerParameter(name=one.name, type=one.type or None) for one in weights])


def _blobs(weights: Weights) -> dict[str, list[np.ndarray | None]]:
    return {layer.name: layer.blobs for layer in weights if layer.blobs}


def _converted(weights: Weights, target: str | Path, left_out: list[str]) -> Converted:
    blobs = [blob for layer in weights for blob in layer.blobs if blob is not None]
    layers = sum(bool(layer.blobs) for layer in weights)
    return Converted(layers, sum(blob.size for blob in blobs), os.path.getsize(target), tuple(left_out))
