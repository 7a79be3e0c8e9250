"""Copying weights between files and nets (Caffe: net.cpp, CopyTrainedLayersFrom, ToProto and ToHDF5)."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np
import torch

from caffe_port.errors import WeightsError
from caffe_port.layers import Layer
from caffe_port.layers.base import format_shape
from caffe_port.log import log
from caffe_port.proto import pb
from caffe_port.proto.layer_weights import LayerWeights, Weights
from caffe_port.proto.weights import read_weights, write_caffemodel, write_hdf5_weights

if TYPE_CHECKING:
    from caffe_port.net.net import Net

Missing = Literal["error", "log"]


def load_weights(net: Net, weights: str | Path | Weights, missing: Missing) -> set[int]:
    """Copy the blobs of every layer whose name ``net`` has; return the ids of the parameters written.

    Everything is checked before anything is copied.

    :param weights: path of a weights file, or what was read from one.

    :raises CaffeError: the file cannot be read; a layer has other blobs than the file; no learnable layer matches; or,
        with ``missing="error"``, a learnable layer is not in the file.
    """
    if missing not in get_args(Missing):
        raise WeightsError(f"missing is {missing!r}.", remedy="Use 'error' or 'log'.")
    source = weights if isinstance(weights, Weights) else read_weights(weights)
    path = source.path
    targets: dict[str, Layer] = {}
    for node in net.nodes:
        targets.setdefault(node.name, node.layer)
    shared = {(id(layer), index) for param in net.params for layer, index in param.users[1:]}
    pairs: list[tuple[Layer, LayerWeights]] = []
    for given in source:
        layer = targets.get(given.name)
        if layer is None:
            log.info("Ignoring source layer %s", given.name)
            continue
        _check_fit(layer, given, path, shared if source.format == "hdf5" else set())
        pairs.append((layer, given))
    filled = {id(layer.blobs[i]) for layer, given in pairs for i, b in enumerate(given.blobs) if b is not None}
    _check_missing(net, filled, path, missing)
    with torch.no_grad():
        for layer, given in pairs:
            for index, array in enumerate(given.blobs):
                if array is not None:  # .data: as in Caffe a backward pass that follows uses what the blobs hold then
                    layer.blob(index).data.copy_(torch.from_numpy(array).view(layer.blob_shapes[index]))
    return filled


def _check_fit(layer: Layer, weights: LayerWeights, path: str | Path, shared: set[tuple[int, int]]) -> None:
    """Refuse blobs of another number or shape. HDF5 files leave out blobs that another layer owns (``shared``)."""
    blobs = layer.blobs
    left_out = [i for i in range(len(blobs)) if i >= len(weights.blobs) or weights.blobs[i] is None]
    if len(weights.blobs) > len(blobs) or any((id(layer), i) not in shared for i in left_out):
        given = sum(blob is not None for blob in weights.blobs)
        raise WeightsError(
            f"Incompatible number of blobs for layer {layer.name}: {given} in the file, {len(blobs)} in the net.",
            file=path,
            layer=layer.name,
            layer_type=layer.TYPE,
            remedy="A bias_term that differs is the usual cause.",
        )
    for index, array in enumerate(weights.blobs):
        if array is not None and not weights.fits(index, layer.blob_shapes[index]):
            raise WeightsError(
                f"Cannot copy param {index} weights from layer '{layer.name}'; shape mismatch. Source param shape is "
                f"{format_shape(array.shape)}; target param shape is {format_shape(layer.blob_shapes[index])}.",
                file=path,
                layer=layer.name,
                layer_type=layer.TYPE,
                remedy="To learn this layer's parameters from scratch rather than copying from a saved net, rename the "
                "layer.",
            )


def _check_missing(net: Net, filled: set[int], path: str | Path, missing: Missing) -> None:
    lacking = [node for node in net.nodes if any(id(blob) not in filled for blob in node.layer.blobs)]
    if net.params and not filled:
        raise WeightsError(
            "No learnable layer of the net is in this file.",
            file=path,
            remedy=f"The net's are: {_names(lacking)}. Is this the file of another net?",
        )
    if lacking and missing == "error":
        first = lacking[0]
        raise WeightsError(
            f"The file has no blobs for {len(lacking)} learnable layer(s): {_names(lacking)}.",
            file=path,
            layer=first.name,
            layer_type=first.layer.TYPE,
            remedy="Was the file cut off, or is a layer renamed? missing='log' (--allow-missing) leaves them as their "
            "fillers made them.",
        )
    for node in lacking:
        log.info("Layer %s is not in %s: it starts from its filler", node.name, path)


def _names(nodes: list) -> str:
    names = [node.name for node in nodes]
    return ", ".join(names[:8]) + (f" and {len(names) - 8} more" if len(names) > 8 else "")


def save_weights(net: Net, path: str | Path, diffs: bool, hdf5: bool) -> None:
    """Write the weights of ``net``, and with ``diffs`` its gradients, to ``path``.

    :raises WeightsError: two learnable layers have one name, so that Caffe would load one of them into the other.
    :raises CaffeError: the file cannot be written.
    """
    names = Counter(node.name for node in net.nodes if node.layer.blob_names)
    if twice := [name for name, count in names.items() if count > 1]:
        raise WeightsError(
            f"Several layers with weights are called '{twice[0]}'; a weights file tells layers apart by name.",
            file=net.source,
            remedy="Rename all but one.",
        )
    shared = {(id(layer), index) for param in net.params for layer, index in param.users[1:]}
    blobs: dict[str, list[np.ndarray | None]] = {}
    grads: dict[str, list[np.ndarray | None]] = {}
    for node in net.nodes:
        layer = node.layer
        for index, blob in enumerate(layer.blobs):
            left_out = hdf5 and (id(layer), index) in shared  # in HDF5 only the owner writes a shared blob
            blobs.setdefault(node.name, []).append(None if left_out else _array(layer.blob(index)))
            if diffs:
                shape = layer.blob_shapes[index]
                grad = torch.zeros(shape) if blob.grad is None else blob.grad.view(shape)
                grads.setdefault(node.name, []).append(_array(grad))
    write = write_hdf5_weights if hdf5 else write_caffemodel
    # Caffe stores what each layer made of its parameters (a loss layer's loss_weight: 1, BatchNorm's lr_mult: 0).
    net_param = pb.NetParameter(name=net.net_name, layer=[node.layer.layer_param for node in net.nodes])
    write(path, net_param, blobs, grads if diffs else None)


def _array(tensor: torch.Tensor) -> np.ndarray:
    return tensor.detach().float().cpu().contiguous().numpy()
