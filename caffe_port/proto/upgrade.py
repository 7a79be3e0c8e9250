"""Old nets and solvers brought to the current form, as Caffe does on reading every file. Caffe: upgrade_proto.cpp.

Nets pass through V0 -> V1 layers, old data fields -> ``transform_param``, V1 -> current layers, ``input`` -> an Input
layer, and frozen BatchNorm statistics, in this order. All of it works on messages, in place, and does nothing a second
time.
"""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

from caffe_port.errors import CaffeWarning, FormatError
from caffe_port.proto.schema import pb
from caffe_port.proto.upgrade_v0 import is_v0, upgrade_v0_net

_V1 = pb.V1LayerParameter

#: V1 type -> current type
V1_TYPES: dict[str, str] = {
    "ABSVAL": "AbsVal",
    "ACCURACY": "Accuracy",
    "ARGMAX": "ArgMax",
    "BNLL": "BNLL",
    "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss",
    "CONVOLUTION": "Convolution",
    "DATA": "Data",
    "DECONVOLUTION": "Deconvolution",
    "DROPOUT": "Dropout",
    "DUMMY_DATA": "DummyData",
    "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss",
    "EXP": "Exp",
    "FLATTEN": "Flatten",
    "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output",
    "HINGE_LOSS": "HingeLoss",
    "IM2COL": "Im2col",
    "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss",
    "INNER_PRODUCT": "InnerProduct",
    "LRN": "LRN",
    "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss",
    "MVN": "MVN",
    "POOLING": "Pooling",
    "POWER": "Power",
    "RELU": "ReLU",
    "SIGMOID": "Sigmoid",
    "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence",
    "SLICE": "Slice",
    "SOFTMAX": "Softmax",
    "SOFTMAX_LOSS": "SoftmaxWithLoss",
    "SPLIT": "Split",
    "TANH": "TanH",
    "THRESHOLD": "Threshold",
    "WINDOW_DATA": "WindowData",
}
SOLVER_TYPES = {
    "SGD": "SGD",
    "NESTEROV": "Nesterov",
    "ADAGRAD": "AdaGrad",
    "RMSPROP": "RMSProp",
    "ADADELTA": "AdaDelta",
    "ADAM": "Adam",
}
_DATA_PARAMETERS = {_V1.DATA: "data_param", _V1.IMAGE_DATA: "image_data_param", _V1.WINDOW_DATA: "window_data_param"}
#: What data layers had themselves before there was transform_param. V1 layers are upgraded; in current ones such fields
#: have no effect.
TRANSFORM_FIELDS = ("scale", "mean_file", "crop_size", "mirror")


def net_needs_upgrade(net: Any) -> bool:
    """Whether ``net`` holds anything that :func:`upgrade_net` rewrites (Caffe: NetNeedsUpgrade)."""
    return bool(net.layers) or bool(net.input) or any(_needs_freezing(layer) for layer in net.layer)


def upgrade_net(net: Any, file: str | Path | None = None) -> Any:
    """Bring the NetParameter ``net`` to the current form, in place, and return it. Blobs inside old layers stay.

    :param file: where it came from, for messages.
    :raises FormatError: ``layers`` and ``layer``, or V0 and V1, are mixed; an unknown or missing type; fewer input
        shapes than inputs.
    """
    try:
        if net.layers and net.layer:
            raise FormatError(
                "the net already specifies 'layer' fields beside old 'layers'; Caffe's upgrade would ignore them.",
                remedy="Write all of them as 'layer', or all as 'layers'.",
            )
        if is_v0(net):
            upgrade_v0_net(net)
        if any(_has_old_transform(layer) for layer in net.layers):
            for layer in net.layers:
                _upgrade_transform(layer)
        for old in net.layers:
            _upgrade_v1_layer(old, net.layer.add())
        net.ClearField("layers")
        if net.input:
            _upgrade_input(net, file)
        for layer in net.layer:
            if _needs_freezing(layer):
                for spec in layer.param:
                    spec.lr_mult = spec.decay_mult = 0
    except FormatError as error:
        raise error.at(file=file) from error.__cause__
    return net


def solver_needs_upgrade(solver: Any) -> bool:
    """Whether ``solver`` names its type by the old enum (Caffe: SolverNeedsTypeUpgrade) or embeds an old net."""
    return solver.HasField("solver_type") or any(net_needs_upgrade(net) for net in _embedded_nets(solver))


def upgrade_solver(solver: Any, file: str | Path | None = None) -> Any:
    """Turn ``solver_type: ADAGRAD`` into ``type: "AdaGrad"``, in place, and return ``solver``.

    Deviates from Caffe: nets written inside the solver (``net_param``, ...) are upgraded too; Caffe leaves them as they
    are and then finds no layers in them.

    :raises FormatError: both ``solver_type`` and ``type`` are given, or an embedded net is refused.
    """
    if solver.HasField("solver_type"):
        if solver.HasField("type"):
            raise FormatError(
                "old solver_type field (enum) and new type field (string) cannot be both specified.",
                remedy="Remove solver_type.",
                file=file,
            )
        solver.type = SOLVER_TYPES[pb.SolverParameter.SolverType.Name(solver.solver_type)]
        solver.ClearField("solver_type")
    for net in _embedded_nets(solver):
        upgrade_net(net, file)
    return solver


def complete_snapshot_prefix(solver: Any, file: str | Path) -> None:
    """Set ``snapshot_prefix``, if absent, to the solver file's path without suffix; in a folder, use the file's name.

    Caffe: UpgradeSnapshotPrefixProperty.
    """
    if not solver.HasField("snapshot_prefix"):
        solver.snapshot_prefix = str(Path(file).with_suffix(""))
    elif Path(solver.snapshot_prefix).is_dir() and solver.snapshot_prefix:
        solver.snapshot_prefix = str(Path(solver.snapshot_prefix) / Path(file).stem)


def _embedded_nets(solver: Any) -> list[Any]:
    singular = [getattr(solver, name) for name in ("net_param", "train_net_param") if solver.HasField(name)]
    return [*singular, *solver.test_net_param]


def _has_old_transform(layer: Any) -> bool:
    """Caffe: NetNeedsDataUpgrade."""
    name = _DATA_PARAMETERS.get(layer.type)
    return name is not None and any(getattr(layer, name).HasField(field) for field in TRANSFORM_FIELDS)


def _upgrade_transform(layer: Any) -> None:
    """Move a data layer's scale, mean_file, crop_size and mirror to its transform_param.

    Like Caffe's macro this leaves both messages set, if only empty. Caffe: UpgradeNetDataTransformation.
    """
    if layer.type not in _DATA_PARAMETERS:
        return
    parameters = getattr(layer, _DATA_PARAMETERS[layer.type])
    parameters.SetInParent()
    layer.transform_param.SetInParent()
    for field in TRANSFORM_FIELDS:
        if parameters.HasField(field):
            setattr(layer.transform_param, field, getattr(parameters, field))
            parameters.ClearField(field)


def _upgrade_v1_layer(old: Any, new: Any) -> None:
    """Fill the current layer ``new`` from the V1 layer ``old``. Caffe: UpgradeV1LayerParameter, UpgradeV1LayerType."""
    kind = _V1.LayerType.Name(old.type)
    if kind not in V1_TYPES:
        raise FormatError(
            "the layer has no type." if not old.HasField("type") else f"unknown layer type {kind}.",
            remedy=f"Old types: {', '.join(V1_TYPES)}.",
            layer=old.name or None,
        )
    new.type = V1_TYPES[kind]
    for field, value in old.ListFields():
        if field.name == "name":
            new.name = value
        elif field.name in ("bottom", "top", "loss_weight", "include", "exclude", "blobs"):
            getattr(new, field.name).extend(value)
        elif field.name.endswith("_param"):
            getattr(new, field.name).CopyFrom(value)
    for field, name in (
        ("param", "name"),
        ("blob_share_mode", "share_mode"),
        ("blobs_lr", "lr_mult"),
        ("weight_decay", "decay_mult"),
    ):
        for index, value in enumerate(getattr(old, field)):
            while len(new.param) <= index:
                new.param.add()
            setattr(new.param[index], name, value)


def _upgrade_input(net: Any, file: str | Path | None) -> None:
    """Turn ``input`` with ``input_shape`` or ``input_dim`` into an Input layer in front. Caffe: UpgradeNetInput.

    Inputs without any shape are dropped, as weights saved by old Caffe have them.
    """
    count, shapes, dims = len(net.input), net.input_shape, net.input_dim
    if shapes or dims:
        given, wanted, what = (len(shapes), count, "input_shape") if shapes else (len(dims), 4 * count, "input_dim")
        if given < wanted:
            raise FormatError(
                f"{count} input(s) need {wanted} {what}, but {given} are given.",
                remedy="Give one input_shape, or four input_dim, for every input.",
            )
        if given > wanted or (shapes and dims):
            ignored = f"{given - wanted} {what}" if given > wanted else "input_dim beside input_shape"
            warnings.warn(f"{file or 'net'}: {ignored} without effect.", CaffeWarning, stacklevel=3)
        layer = pb.LayerParameter(name="input", type="Input", top=net.input)
        for index in range(count):
            dim = shapes[index].dim if shapes else dims[4 * index : 4 * index + 4]
            layer.input_param.shape.add().dim.extend(dim)
        net.layer.insert(0, layer)
    for field in ("input", "input_shape", "input_dim"):
        net.ClearField(field)


def _needs_freezing(layer: Any) -> bool:
    """Whether a BatchNorm layer's three statistics have a learning rate or decay. Caffe: NetNeedsBatchNormUpgrade."""
    if layer.type != "BatchNorm" or len(layer.param) != 3:
        return False
    return any(spec.lr_mult or spec.decay_mult for spec in layer.param)  # 1 where unset
