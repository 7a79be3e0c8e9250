"""Weights as Caffe has them, blobs of layers in order, and as named tensors have them, ``layer.blob``; both ways."""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from caffe_port.convert.names import blob_names, caffe_order, current_type, natural_shape, split_key
from caffe_port.errors import CaffeWarning, WeightsError
from caffe_port.proto.layer_weights import LayerWeights, Weights

if TYPE_CHECKING:
    from caffe_port.net import Net

_MOST_NAMED = 8


def modernise(weights: Weights) -> Weights:
    """``weights`` with V2 types and, where old files have four axes, the shapes of today. Arrays are views."""
    layers = []
    for layer in weights:
        kind = current_type(layer.type)
        blobs = list(layer.blobs)
        names, _ = blob_names(kind, [()] * len(blobs)) if kind else ([""] * len(blobs), False)
        for index, (blob, legacy) in enumerate(zip(blobs, layer.legacy)):
            if blob is not None and legacy:
                blobs[index] = blob.reshape(natural_shape(kind, names[index], blob.shape))
        layers.append(LayerWeights(layer.name, kind, blobs, [False] * len(blobs)))
    return Weights(layers, weights.path, weights.format)


def check_names(weights: Weights) -> None:
    """Refuse layers with blobs whose name is not theirs alone.

    :raises WeightsError: as said.
    """
    counts = Counter(layer.name for layer in weights)
    for layer in weights:
        if layer.blobs and counts[layer.name] > 1:
            raise WeightsError(
                f"Several layers are called '{layer.name}'; weights are told apart by their layer's name.",
                file=weights.path,
                remedy="Rename all but one.",
            )


def check_gaps(weights: Weights) -> None:
    """Refuse blobs that an HDF5 file leaves out because another layer owns them.

    :raises WeightsError: as said.
    """
    for layer in weights:
        if any(blob is None for blob in layer.blobs):
            raise WeightsError(
                "A blob is left out, because another layer owns it.",
                file=weights.path,
                layer=layer.name,
                remedy="Give the net (--net), which says what is shared.",
            )


def to_state(weights: Weights) -> dict[str, np.ndarray]:
    """The blobs of ``weights`` (modernised) by ``layer.blob``, in order.

    :raises WeightsError: two layers have one name, or a blob is left out.
    :warns CaffeWarning: names are told by shapes, or are numbers.
    """
    check_names(weights)
    check_gaps(weights)
    state: dict[str, np.ndarray] = {}
    guessed = []
    for layer in weights:
        arrays = [blob for blob in layer.blobs if blob is not None]
        names, certain = blob_names(layer.type, [array.shape for array in arrays])
        if arrays and not certain:
            guessed.append(layer.name)
        state.update((f"{layer.name}.{name}", array) for name, array in zip(names, arrays))
    if guessed:
        warnings.warn(
            f"{weights.path}: it does not tell what the blobs of {listed(guessed)} are called; the names written are "
            "by their shapes, or numbers. Give the net (--net) for the exact ones.",
            CaffeWarning,
            stacklevel=4,
        )
    return state


def from_state(state: dict[str, np.ndarray], path: str | Path) -> Weights:
    """The layers, in order of first appearance, whose blobs ``state`` holds by ``layer.blob``; types where only one
    has these blobs.

    :raises WeightsError: a key is no ``layer.blob``, or a layer has blobs that no layer of Caffe has.
    """
    found: dict[str, dict[str, np.ndarray]] = {}
    layers = []
    try:
        for key, array in state.items():
            layer, blob = split_key(key)
            found.setdefault(layer, {})[blob] = array
        for layer, blobs in found.items():
            order, kind = caffe_order(layer, list(blobs))
            layers.append(LayerWeights(layer, kind, [blobs[name] for name in order], [False] * len(order)))
    except WeightsError as error:
        error.remedy = (
            "Is this the state_dict of another program's net? Rename its tensors to Caffe's layers and blobs."
        )
        raise error.at(file=path) from None
    return Weights(layers, path, "tensors")


def from_state_of(net: Net, state: dict[str, np.ndarray], path: str | Path) -> Weights:
    """As :func:`from_state`, for the layers of ``net``, whose ``state_dict()`` tells keys and shapes.

    A key may also have the layer's name with its dots, and the blob's number: what :func:`to_state` makes of a file
    alone. A blob that another layer owns may be left out, as ``safetensors.torch.save_model`` does. Layers that the net
    does not have follow in the end.

    :raises WeightsError: a blob of the net is missing, or one of its layers has another blob.
    """
    keys = {id(module): key for key, module in net.named_children()}
    rest, layers = dict(state), []
    found: dict[int, np.ndarray] = {}  # by id of the blob, which layers share
    for layer in (node.layer for node in net.nodes if node.layer.blob_names):
        blobs: list[np.ndarray | None] = []
        for index, (name, blob) in enumerate(zip(layer.blob_names, layer.blobs)):
            spellings = (f"{keys[id(layer)]}.{name}", f"{layer.name}.{name}", f"{layer.name}.{index}")
            given = next((spelling for spelling in spellings if spelling in rest), None)
            if given is not None:
                found[id(blob)] = rest.pop(given)
            elif id(blob) not in found:
                raise WeightsError(f"'{spellings[0]}' is missing.", file=path, layer=layer.name, layer_type=layer.TYPE)
            array = found[id(blob)]
            # state_dict() has a shared blob in its owner's shape
            blobs.append(array.reshape(layer.blob_shapes[index]) if array.shape == tuple(blob.shape) else array)
        layers.append(LayerWeights(layer.name, layer.TYPE, blobs, [False] * len(blobs)))
    others = from_state(rest, path)
    names = {name for node in net.nodes for name in (keys[id(node.layer)], node.name)}
    for other in others:
        if other.name in names:
            raise WeightsError("The layer has other blobs in the net.", file=path, layer=other.name)
    return Weights([*layers, *others], path, "tensors")


def listed(names: Sequence[str]) -> str:
    """The first of ``names``, and how many more there are."""
    return ", ".join(names[:_MOST_NAMED]) + (
        f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    )
