"""What the blobs of a layer are called, for files that hold a layer's type, or not even that, but not its net.

A key is ``<layer>.<blob>``: the layer's name as it is, and the blob's name as in ``caffe_port.Net(...).state_dict()``.
Blobs whose name cannot be told are numbered, as those of Python layers are: ``<layer>.0``, ``<layer>.1``.
"""

from __future__ import annotations

from collections.abc import Sequence

from caffe_port.errors import WeightsError
from caffe_port.proto.upgrade import V1_TYPES
from caffe_port.proto.upgrade_v0 import V0_TYPES

_WEIGHTS = (("weight",), ("weight", "bias"))
_LSTM = ("W_xc", "b_c", "W_hc"), ("W_xc", "b_c", "W_xc_static", "W_hc")
_RNN = ("W_xh", "b_h", "W_hh", "W_ho", "b_o"), ("W_xh", "b_h", "W_xh_static", "W_hh", "W_ho", "b_o")
#: Layer type -> the blobs that it can have, in Caffe's order. (A Scale layer of two bottoms may have a bias alone.)
BLOB_NAMES: dict[str, tuple[tuple[str, ...], ...]] = {
    "BatchNorm": (("mean", "variance", "scale_factor"),),
    "Bias": (("bias",),),
    "Convolution": _WEIGHTS,
    "Deconvolution": _WEIGHTS,
    "Embed": _WEIGHTS,
    "InnerProduct": _WEIGHTS,
    "LSTM": _LSTM,
    "PReLU": (("slope",),),
    "Parameter": (("parameter",),),
    "RNN": _RNN,
    "Scale": (("scale",), ("scale", "bias"), ("bias",)),
}
_KNOWN = {name for variants in BLOB_NAMES.values() for names in variants for name in names}
#: Blobs of at least two axes; all others have at least one, but for weights of convolutions.
_MATRICES = {name for name in _KNOWN if name.startswith("W_")}


def current_type(kind: str) -> str:
    """The type of a layer that a weights file gives in V2, V1 or V0 form, in V2 form."""
    return V1_TYPES.get(V0_TYPES.get(kind, kind), kind)


def blob_names(kind: str, shapes: Sequence[Sequence[int]]) -> tuple[tuple[str, ...], bool]:
    """The names of the blobs of a layer of type ``kind`` (V2), and whether they are certain.

    Without a type they are told by the shapes: a blob of several axes is a ``weight``, with one of a single axis as its
    ``bias``; (C), (C) and (1) are BatchNorm's. All others, and a number of blobs that the type never has, are numbered.
    """
    numbered = tuple(str(index) for index in range(len(shapes)))
    if kind:
        for names in BLOB_NAMES.get(kind, ()):
            if len(names) == len(shapes):
                return names, True
        return numbered, kind == "Python"
    axes = [len(shape) for shape in shapes]
    if axes and axes[0] > 1 and axes[1:] in ([], [1]):
        return _WEIGHTS[len(axes) - 1], False
    if axes == [1, 1, 1] and tuple(shapes[0]) == tuple(shapes[1]) and tuple(shapes[2]) == (1,):
        return BLOB_NAMES["BatchNorm"][0], False
    return numbered, False


def natural_shape(kind: str, name: str, shape: Sequence[int]) -> tuple[int, ...]:
    """The shape that today's Caffe gives blob ``name`` of a layer of type ``kind``, where an old file has four axes.

    Caffe takes an old (1, 1, N, K) for (N, K), but no new one, so that leading ones have to go.
    """
    least = 1
    if name in _MATRICES or (name == "weight" and kind in ("InnerProduct", "Embed")):
        least = 2
    elif kind and (name in ("weight", "parameter") or name.isdigit()):
        least = 4
    kept = tuple(shape)
    while len(kept) > least and kept[0] == 1:
        kept = kept[1:]
    return kept


def split_key(key: str) -> tuple[str, str]:
    """The layer and the blob of ``key``.

    :raises WeightsError: it is no ``<layer>.<blob>``.
    """
    layer, dot, blob = key.rpartition(".")
    if not dot:
        raise WeightsError(f"Key '{key}' is not of the form layer.blob.")
    if blob not in _KNOWN and not (blob.isascii() and blob.isdigit()):
        raise WeightsError(f"Key '{key}': no layer of Caffe has a blob '{blob}'.")
    return layer, blob


def caffe_order(layer: str, names: Sequence[str]) -> tuple[tuple[str, ...], str]:
    """The blobs ``names`` of ``layer`` in Caffe's order, and the layer's type if only one has these (else empty).

    :raises WeightsError: no layer of Caffe has exactly these blobs.
    """
    numbered = tuple(str(index) for index in range(len(names)))
    if set(names) == set(numbered):
        return numbered, ""
    fitting = {kind: order for kind, variants in BLOB_NAMES.items() for order in variants if set(order) == set(names)}
    if not fitting:
        raise WeightsError(f"No layer of Caffe has exactly the blobs {', '.join(sorted(names))}.", layer=layer)
    return next(iter(fitting.values())), next(iter(fitting)) if len(fitting) == 1 else ""
