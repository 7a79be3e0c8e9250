"""What is written and coloured in the picture of a layer (Caffe: python/caffe/draw.py)."""

from __future__ import annotations

from typing import Any

from caffe_port.layers import layer_types
from caffe_port.proto import pb

#: Caffe's own colours: of convolutions, pooling, inner products, in-place "neurons" and everything else.
_CONVOLUTION, _POOLING, _PRODUCT, _NEURON, _OTHER = "#FF5050", "#FF9900", "#CC33FF", "#90EE90", "#6495ED"
_BY_TYPE = {
    "Convolution": _CONVOLUTION,
    "Deconvolution": _CONVOLUTION,
    "Pooling": _POOLING,
    "SPP": _POOLING,
    "InnerProduct": _PRODUCT,
    "Embed": _PRODUCT,
    "Dropout": _NEURON,
}
#: By the folder of caffe_port/layers that a type is in.
_BY_GROUP = {
    "activation": _NEURON,
    "data": "#5CC8C2",
    "loss": "#F48FB1",
    "normalization": "#F0E070",
    "recurrent": "#B39DDB",
}

#: Where data layers keep their batch size, other layers their number of outputs.
_BATCH = {
    "Data": "data_param",
    "HDF5Data": "hdf5_data_param",
    "ImageData": "image_data_param",
    "MemoryData": "memory_data_param",
    "WindowData": "window_data_param",
}
_OUTPUTS = {
    "Convolution": "convolution_param",
    "Deconvolution": "convolution_param",
    "Embed": "embed_param",
    "InnerProduct": "inner_product_param",
    "LSTM": "recurrent_param",
    "RNN": "recurrent_param",
}
#: Types whose rates Caffe's draw shows.
LEARNING = ("Convolution", "Deconvolution", "InnerProduct")


def color(layer_type: str) -> str:
    """The colour of a layer, ``#RRGGBB``: Caffe's where it has one for the type, else that of the kind of layer."""
    known = layer_types().get(layer_type)
    group = known.__module__.removeprefix("caffe_port.layers.").split(".")[0] if known else ""
    return _BY_TYPE.get(layer_type) or _BY_GROUP.get(group, _OTHER)


def edge_label(layer: Any) -> str:
    """What is written on the way to the tops of ``layer``: its batch size or number of outputs; else nothing."""
    if layer.type in _BATCH:
        return f"Batch {getattr(layer, _BATCH[layer.type]).batch_size}"
    if layer.type in _OUTPUTS:
        return str(getattr(layer, _OUTPUTS[layer.type]).num_output)
    return ""


def describe(layer: Any, rates: bool = False) -> list[list[str]]:
    """What is written in the box of ``layer`` (LayerParameter), in groups of which each fits on a line.

    The name; the type; of convolutions and pooling the window; and with ``rates`` the learning rate multipliers.
    """
    groups = [[layer.name], [f"({layer.type})"]]
    if layer.type == "Pooling":
        groups[1] = [f"(Pooling {pooling_types()[layer.pooling_param.pool]})"]
    if layer.type in ("Convolution", "Deconvolution"):
        groups.append(_window(layer.convolution_param))
        groups[-1] += [f"{name}: {value}" for name, value in _unusual(layer.convolution_param)]
    elif layer.type == "Pooling":
        groups.append(["global"] if layer.pooling_param.global_pooling else _window(layer.pooling_param))
    if rates and (layer.param or layer.type in LEARNING):
        groups.append(["lr mult: " + ", ".join(f"{rate:.1f}" for rate in lr_mults(layer))])
    return groups


def pooling_types() -> dict[int, str]:
    """The name of every pooling method by its number."""
    methods = pb.PoolingParameter.DESCRIPTOR.enum_types_by_name["PoolMethod"].values
    return {method.number: method.name for method in methods}


def lr_mults(layer: Any) -> list[float]:
    """The lr_mult of each learnable blob that has one; of :data:`LEARNING` also the default 1 of weights and biases."""
    given = [spec.lr_mult for spec in layer.param]
    return given + [1.0] * (2 - len(given)) if layer.type in LEARNING else given


def _window(param: Any) -> list[str]:
    """kernel size, stride and pad of a ConvolutionParameter or PoolingParameter."""
    found = []
    for title, name, pair, default in (
        ("kernel size", "kernel_size", "kernel", 1),
        ("stride", "stride", "stride", 1),
        ("pad", "pad", "pad", 0),
    ):
        if param.HasField(f"{pair}_h") or param.HasField(f"{pair}_w"):
            value = f"{getattr(param, f'{pair}_h')}x{getattr(param, f'{pair}_w')}"
        else:
            values = getattr(param, name)
            values = [values] if isinstance(values, int) else list(values) or [default]
            value = "x".join(map(str, values))
        found.append(f"{title}: {value}")
    return found


def _unusual(param: Any) -> list[tuple[str, str]]:
    """group and dilation of a ConvolutionParameter where they are not 1."""
    found = [("group", str(param.group))] if param.group != 1 else []
    if any(value != 1 for value in param.dilation):
        found.append(("dilation", "x".join(map(str, param.dilation))))
    return found
