"""V0 nets (``layers { layer { type: "conv" } }``, before December 2013) to V1. Caffe: upgrade_proto.cpp."""

from __future__ import annotations

import warnings
from typing import Any

from caffe_port.errors import CaffeWarning, FormatError
from caffe_port.proto.schema import pb

_TRANSFORM = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}
_FILLED = {
    "num_output": "num_output",
    "biasterm": "bias_term",
    "weight_filler": "weight_filler",
    "bias_filler": "bias_filler",
}
_WINDOWED = {"pad": "pad", "kernelsize": "kernel_size", "stride": "stride"}
_SOURCE = {"source": "source", "batchsize": "batch_size"}

#: V0 type -> (V1 parameter message, V0 field -> its field there)
_PARAMETERS: dict[str, tuple[str, dict[str, str]]] = {
    "conv": ("convolution_param", {**_FILLED, **_WINDOWED, "group": "group"}),
    "innerproduct": ("inner_product_param", _FILLED),
    "pool": ("pooling_param", {**_WINDOWED, "pool": "pool"}),
    "dropout": ("dropout_param", {"dropout_ratio": "dropout_ratio"}),
    "lrn": ("lrn_param", {name: name for name in ("local_size", "alpha", "beta", "k")}),
    "concat": ("concat_param", {"concat_dim": "concat_dim"}),
    "infogain_loss": ("infogain_loss_param", {"source": "source"}),
    "data": ("data_param", {**_SOURCE, "rand_skip": "rand_skip"}),
    "hdf5_data": ("hdf5_data_param", _SOURCE),
    "images": (
        "image_data_param",
        {
            **_SOURCE,
            "rand_skip": "rand_skip",
            "shuffle_images": "shuffle",
            "new_height": "new_height",
            "new_width": "new_width",
        },
    ),
    "window_data": (
        "window_data_param",
        {
            **_SOURCE,
            "det_fg_threshold": "fg_threshold",
            "det_bg_threshold": "bg_threshold",
            "det_fg_fraction": "fg_fraction",
            "det_context_pad": "context_pad",
            "det_crop_mode": "crop_mode",
        },
    ),
}

#: V0 types whose V1 name is not simply the upper-case form of theirs
_RENAMED = {
    "conv": "CONVOLUTION",
    "images": "IMAGE_DATA",
    "innerproduct": "INNER_PRODUCT",
    "pool": "POOLING",
}
_SAME = (
    "accuracy bnll concat data dropout euclidean_loss flatten hdf5_data hdf5_output im2col infogain_loss lrn "
    "multinomial_logistic_loss relu sigmoid softmax softmax_loss split tanh window_data"
)
V0_TYPES: dict[str, str] = {**_RENAMED, **{name: name.upper() for name in _SAME.split()}}


def is_v0(net: Any) -> bool:
    """Whether any of the net's ``layers`` is in V0 form (Caffe: NetNeedsV0ToV1Upgrade)."""
    return any(layer.HasField("layer") for layer in net.layers)


def upgrade_v0_net(net: Any) -> None:
    """Turn the V0 ``layers`` of ``net`` into V1 ``layers``, in place; padding layers become their reader's ``pad``.

    Deviates from Caffe: ``state``, ``debug_info`` and ``input_shape``, which V0 nets did not know, stay.

    :raises FormatError: V0 and V1 layers are mixed, the type is unknown, or padding is used where Caffe refuses it.
    """
    for index, connection in enumerate(net.layers):
        _check_pure(connection, index)
    _fold_padding(net)
    for connection in net.layers:
        _upgrade_layer(connection)


def _check_pure(connection: Any, index: int) -> None:
    extra = [field.name for field, _ in connection.ListFields() if field.name not in ("layer", "bottom", "top")]
    if connection.HasField("layer") and not extra:
        return
    raise FormatError(
        f"the net mixes old layers in V0 form (layers {{ layer {{ ... }} }}) with V1 form: 'layers' number {index + 1} "
        + (f"sets {', '.join(extra)} beside its 'layer'." if connection.HasField("layer") else "has no inner 'layer'."),
        remedy="Caffe's upgrade of V0 nets would drop this; write all layers in one form.",
        layer=connection.layer.name or connection.name or None,
    )


def _fold_padding(net: Any) -> None:
    """Give each reader of a padding layer its pad and its bottom, then drop the padding layers.

    Caffe: UpgradeV0PaddingLayers.
    """
    producer: dict[str, Any] = dict.fromkeys(net.input)
    for connection in net.layers:
        for index, bottom in enumerate(connection.bottom):
            if bottom not in producer:
                raise _error(
                    connection, f"unknown blob input '{bottom}'.", "Name an input or the top of a layer above."
                )
            source = producer[bottom]
            if source is not None and source.layer.type == "padding":
                _check_padding(connection, source)
                connection.layer.pad = source.layer.pad
                connection.bottom[index] = source.bottom[0]
        producer.update(dict.fromkeys(connection.top, connection))
    for index in reversed(range(len(net.layers))):
        if net.layers[index].layer.type == "padding":
            del net.layers[index]


def _check_padding(reader: Any, padding: Any) -> None:
    kind = reader.layer.type
    if kind not in ("conv", "pool"):
        raise _error(reader, f"padding layer input to non-convolutional / non-pooling layer type {kind}.")
    if len(reader.bottom) != 1:
        raise _error(reader, "a padded layer takes a single blob as input.")
    if len(padding.bottom) != 1 or len(padding.top) != 1:
        raise _error(padding, "a padding layer takes a single blob as input and produces a single one.")


def _upgrade_layer(connection: Any) -> None:
    """One V0 layer to V1, in place. Caffe: UpgradeV0LayerParameter, UpgradeV0LayerType."""
    old = pb.V0LayerParameter()
    old.CopyFrom(connection.layer)
    if old.type not in V0_TYPES:
        raise _error(connection, f"unknown layer type '{old.type}'.", f"Old types: {', '.join(sorted(V0_TYPES))}.")
    connection.type = pb.V1LayerParameter.LayerType.Value(V0_TYPES[old.type])
    if old.HasField("name"):
        connection.name = old.name
    connection.blobs.extend(old.blobs)
    connection.blobs_lr.extend(old.blobs_lr)
    connection.weight_decay.extend(old.weight_decay)
    parameter, renamed = _PARAMETERS.get(old.type, ("", {}))
    for field, value in old.ListFields():
        if field.name in ("name", "type", "blobs", "blobs_lr", "weight_decay"):
            continue
        if field.name in _TRANSFORM:
            setattr(connection.transform_param, _TRANSFORM[field.name], value)
        elif field.name == "hdf5_output_param" and old.type == "hdf5_output":
            connection.hdf5_output_param.CopyFrom(value)
        elif field.name in renamed:
            _set(connection, getattr(connection, parameter), renamed[field.name], value)
        else:
            cause = f"unknown parameter {field.name} for layer type {old.type}: it has no effect."
            warnings.warn(str(_error(connection, cause)), CaffeWarning, stacklevel=2)
    connection.ClearField("layer")


def _set(connection: Any, parameters: Any, name: str, value: Any) -> None:
    """Set a field that may be singular, repeated (one value) or a message."""
    target = getattr(parameters, name)
    try:
        if hasattr(target, "CopyFrom"):
            target.CopyFrom(value)
        elif hasattr(target, "append"):
            target.append(value)
        else:
            setattr(parameters, name, value)
    except ValueError as error:
        raise _error(connection, f"{name} cannot be {value}.") from error


def _error(connection: Any, cause: str, remedy: str | None = None) -> FormatError:
    name = connection.layer.name or connection.name
    return FormatError(cause, remedy=remedy, layer=name or None, layer_type=connection.layer.type or None)
