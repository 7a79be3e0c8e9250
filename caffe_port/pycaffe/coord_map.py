"""How the pixels of one blob lie on those of another, to crop and align feature maps (Caffe: coord_map.py).

A coordinate map is ``(axis, scale, shift)``: pixel ``x`` of the input lies at ``scale * x + shift`` of the output, for
every axis after ``axis``. Scale and shift are arrays with one value, or one for each of these axes. The identity is
``(None, 1, 0)``, whatever the axes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from caffe_port.errors import NetError
from caffe_port.pycaffe.net_spec import Function, Top, layers

Map = tuple[int | None, Any, Any]

#: Layers whose tops have the pixels of their bottoms.
PASS_THROUGH_LAYERS = [
    *("AbsVal", "BatchNorm", "Bias", "BNLL", "Clip", "Dropout", "Eltwise", "ELU", "Exp", "Log", "LRN", "MVN", "Power"),
    *("PReLU", "ReLU", "Scale", "Sigmoid", "Split", "Swish", "TanH", "Threshold"),
]

_IDENTITY: Map = (None, 1, 0)


class UndefinedMapException(NetError):
    """The layer moves pixels in a way that is no coordinate map."""


class AxisMismatchException(NetError):
    """Two maps that are to follow one another are of different axes."""


class UnconnectedError(NetError, RuntimeError):
    """No chain of layers with coordinate maps connects two tops."""


class CropError(NetError, AssertionError):
    """One top cannot be cropped to another."""


def conv_params(fn: Function) -> tuple[int, np.ndarray, np.ndarray, np.ndarray]:
    """What the map of a Convolution, Deconvolution, Im2col or Pooling depends on.

    :return: the axis of the channels, and stride, kernel size (dilation included) and padding.
    :raises NetError: the layer has no ``kernel_size``, or sizes like ``kernel_h`` that are given for height and width.
    :raises CropError: as before, but for the latter.
    """
    params = fn.params.get("convolution_param", fn.params.get("pooling_param", fn.params))
    old = {f"{what}_{side}" for what in ("kernel", "stride", "pad") for side in "hw"} & {*params, *fn.params}
    if old:
        raise CropError(
            f"{', '.join(sorted(old))}: coordinates cannot be mapped with sizes given for height and width.",
            remedy="Write kernel_size=[h, w], stride=[h, w], pad=[h, w].",
            layer_type=fn.type_name,
        )
    if "kernel_size" not in params:
        raise NetError("has no kernel_size.", layer_type=fn.type_name)
    kernel, stride, pad, dilation = (
        np.atleast_1d(params.get(name, default))
        for name, default in (("kernel_size", None), ("stride", 1), ("pad", 0), ("dilation", 1))
    )
    return params.get("axis", 1), stride, (kernel - 1) * dilation + 1, pad


def crop_params(fn: Function) -> tuple[int, np.ndarray]:
    """The first axis that a Crop layer crops, and its offsets."""
    params = fn.params.get("crop_param", fn.params)
    return params.get("axis", 2), np.atleast_1d(params.get("offset", 0))


def coord_map(fn: Function) -> Map:
    """The map from the bottoms of the layer ``fn`` to its tops.

    :raises UndefinedMapException: the layer has none, such as an InnerProduct.
    """
    if fn.type_name in ("Convolution", "Pooling", "Im2col"):
        axis, stride, kernel, pad = conv_params(fn)
        return axis, 1 / stride, (pad - (kernel - 1) / 2) / stride
    if fn.type_name == "Deconvolution":
        axis, stride, kernel, pad = conv_params(fn)
        return axis, stride, (kernel - 1) / 2 - pad
    if fn.type_name in PASS_THROUGH_LAYERS:
        return _IDENTITY
    if fn.type_name == "Crop":
        axis, offset = crop_params(fn)
        return axis - 1, 1, -offset
    raise UndefinedMapException("has no coordinate map.", layer_type=fn.type_name)


def compose(base_map: Map, next_map: Map) -> Map:
    """The map that applies ``next_map`` first and ``base_map`` to its result.

    :raises AxisMismatchException: they are of different axes.
    """
    base_axis, base_scale, base_shift = base_map
    axis, scale, shift = next_map
    if None not in (base_axis, axis) and base_axis != axis:
        raise AxisMismatchException(f"A map of the axes after {base_axis} cannot follow one of those after {axis}.")
    return axis if base_axis is None else base_axis, base_scale * scale, base_scale * shift + base_shift


def inverse(coord_map: Map) -> Map:
    """The map in the other direction."""
    axis, scale, shift = coord_map
    return axis, 1 / scale, -shift / scale


def coord_map_from_to(top_from: Top, top_to: Top) -> Map:
    """The map from ``top_from``'s pixels to those of ``top_to``, by way of the nearest blob that both come from.

    Where several ways lead to that blob they are taken to agree.

    :raises UnconnectedError: they come from no common blob, or not by layers that have maps.
    :raises AxisMismatchException: the maps on the way are of different axes.
    """
    from_maps = _maps_to_ancestors(top_from)
    for top, to_map in _maps_to_ancestors(top_to).items():
        if top in from_maps:
            return compose(to_map, inverse(from_maps[top]))
    raise UnconnectedError("Could not compute map between tops; are they connected by spatial layers?")


def _maps_to_ancestors(top: Top) -> dict[Top, Map]:
    """``top`` and the blobs it comes from, nearest first, with the map from each to ``top``."""
    maps = {top: _IDENTITY}
    queue = [top]
    for reached in queue:
        fn = reached.fn
        try:
            step = coord_map(fn)
        except UndefinedMapException:
            continue
        for bottom in fn.inputs[:1] if fn.type_name == "Crop" else fn.inputs:  # Crop's second gives the size only
            found = compose(maps[reached], step)
            if bottom not in maps:
                maps[bottom] = found
                queue.append(bottom)
    return maps


def crop(top_from: Top, top_to: Top) -> Top:
    """A Crop layer that cuts ``top_from`` to the pixels of ``top_to``.

    :raises CropError: their pixels are of different size, ``top_from`` begins inside ``top_to``, or is off by a
        fraction of a pixel.
    :raises UnconnectedError: as :func:`coord_map_from_to`.
    """
    axis, scale, shift = coord_map_from_to(top_from, top_to)
    shift = np.atleast_1d(shift)
    for wrong, what in (
        (np.not_equal(scale, 1), f"scale mismatch on crop (a = {scale})"),
        (shift > 0, f"cannot crop negative offset (b = {shift})"),
        (shift != np.round(shift), f"cannot crop noninteger offset (b = {shift})"),
    ):
        if np.any(wrong):
            raise CropError(f"{what[0].upper()}{what[1:]}.", layer_type="Crop")
    first = 2 if axis is None else axis + 1
    return layers.Crop(top_from, top_to, crop_param={"axis": first, "offset": [int(n) for n in -shift]})
