"""The net to compare, with its data layers replaced by what the record says they served."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from caffe_port.errors import CaffeError, NetError, WeightsError
from caffe_port.net import Net
from caffe_port.net.filter import filter_net, net_state
from caffe_port.net.weights import load_weights
from caffe_port.parity.difference import like
from caffe_port.parity.record import Record, param_key
from caffe_port.parity.walk import put_params
from caffe_port.proto.files import read_net
from caffe_port.proto.layer_weights import Weights
from caffe_port.proto.weights import read_weights


def build_net(
    prototxt: str | Path,
    weights: str | Path | None,
    record: Record,
    phase: str = "TEST",
    level: int = 0,
    stages: Iterable[str] = (),
    unknown: str = "error",
    device: torch.device | str = "cpu",
) -> tuple[Net, dict[str, torch.Tensor]]:
    """The net of ``prototxt`` with the inputs' shapes and the learnable blobs of the record.

    :param weights: values of the learnable blobs; those of the record come in their place. Blobs that do not fit the
        net are taken into the record, where they count as a divergence.
    :return: the net, and by ``<layer>/<i>`` what ``weights`` had in place of the record's blobs, and blobs to which the
        record's do not fit.
    :raises CaffeError: a file is at fault, the record lacks an input, or neither has the values of a learnable layer.
    """
    state = net_state(phase, level, stages)
    try:
        filtered = filter_net(read_net(prototxt, unknown=unknown), state)
        _serve_recorded(filtered, record)
        net = Net(filtered, None, phase, level, stages).to(device)
    except CaffeError as error:
        raise error.at(file=prototxt) from None
    filled = _load(net, weights, record) if weights is not None else set()
    before = put_params(net, record)
    given = {param_key(key) for key in record.params}
    for node in net.nodes:
        lacking = [
            i for i, blob in enumerate(node.layer.blobs) if id(blob) not in filled and (node.name, i) not in given
        ]
        if lacking and not _shared_with(net, node.name, given):
            raise WeightsError(
                f"The values of its learnable blobs {lacking} are neither in the weights nor in the record.",
                file=prototxt,
                layer=node.name,
                layer_type=node.layer.TYPE,
                remedy="Give the weights the reference was made with, or record with --params.",
            )
    blobs = {f"{node.name}/{i}": blob for node in net.nodes for i, blob in enumerate(node.layer.blobs)}
    replaced = {
        key: value
        for key, value in before.items()
        if id(blobs[key]) in filled or like(record.params[key], value.shape).shape != value.shape
    }
    return net, replaced


def _load(net: Net, path: str | Path, record: Record) -> set[int]:
    """Load what fits; a wrong setting further down is the usual reason why a layer's blobs do not."""
    source = read_weights(path)
    shapes = {node.name: node.layer.blob_shapes for node in reversed(net.nodes)}
    fitting = []
    for layer in source:
        wanted = shapes.get(layer.name, [])
        if len(wanted) == len(layer.blobs) and not all(layer.fits(i, shape) for i, shape in enumerate(wanted)):
            record.params.update({f"{layer.name}/{i}": b for i, b in enumerate(layer.blobs) if b is not None})
        else:
            fitting.append(layer)
    if len(fitting) < len(source) and not any(shapes.get(layer.name) and layer.blobs for layer in fitting):
        return set()  # none fits, but they are this net's
    return load_weights(net, Weights(fitting, source.path, source.format), "log")


def _shared_with(net: Net, name: str, given: set[tuple[str, int]]) -> bool:
    """Whether all blobs of the layer ``name`` are also those of layers that the record has."""
    users = [param.users for param in net.params if any(layer.name == name for layer, _ in param.users)]
    return all(any((layer.name, index) in given for layer, index in group) for group in users)


def _serve_recorded(net_param: Any, record: Record) -> None:
    """Give Input layers the recorded shapes; make one of every data layer whose tops were recorded."""
    for layer in net_param.layer:
        if layer.bottom or layer.type == "Parameter":
            continue
        for top in layer.top:
            overwritten = any(top in other.top for other in net_param.layer if other is not layer)
            if top not in record.inputs and top in record.blobs and not overwritten:
                record.inputs[top] = record.blobs[top]
        missing = [top for top in layer.top if top not in record.inputs]
        if missing:
            raise NetError(
                f"The record lacks the input '{missing[0]}'.",
                layer=layer.name,
                layer_type=layer.type,
                remedy="Record it under input/" + missing[0] + ".",
            )
        layer.type = "Input"
        layer.ClearField("input_param")
        for top in layer.top:
            layer.input_param.shape.add().dim.extend(record.inputs[top].shape)
