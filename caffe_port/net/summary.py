"""What a net is made of: the shapes, learnable values, multiply-adds and memory of every layer."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from caffe_port.errors import CaffeError, NetError
from caffe_port.layers import LayerContext
from caffe_port.layers.base import Shape
from caffe_port.net.filter import filter_net, net_state
from caffe_port.net.graph import GraphBuilder, Node
from caffe_port.net.splits import insert_splits
from caffe_port.proto import pb
from caffe_port.proto.files import read_net

_FLOAT = 4  # bytes of a value
#: Types whose tops are their bottom's memory, as in Caffe.
_SHARING = ("Flatten", "Reshape", "Split")


@dataclass(frozen=True)
class LayerSummary:
    """One layer.

    :param bottoms: names of its bottom blobs, ``bottom_shapes`` their shapes; ``tops`` and ``top_shapes`` likewise.
    :param parameters: values in its learnable blobs that no layer before it owns; ``learnable`` of them have an lr_mult
        other than 0, the rest never changes by gradients (BatchNorm's sums, fixed weights).
    :param shared: values in blobs that it shares with a layer before it.
    :param multiply_adds: of a forward pass of the whole batch.
    :param memory: bytes of its tops; 0 for those that share their bottom's memory.
    """

    name: str
    type: str
    bottoms: list[str]
    tops: list[str]
    bottom_shapes: list[Shape]
    top_shapes: list[Shape]
    parameters: int
    learnable: int
    shared: int
    multiply_adds: int
    memory: int


@dataclass(frozen=True)
class NetSummary:
    """A net in one phase; ``batch`` is the first axis of its first top, the number of items that a pass computes."""

    name: str
    phase: str
    batch: int
    layers: list[LayerSummary]

    def total(self, what: str) -> int:
        """The sum over the layers of ``what``: "parameters", "learnable", "multiply_adds" or "memory"."""
        return sum(getattr(layer, what) for layer in self.layers)

    @property
    def weight_bytes(self) -> int:
        """Bytes of the learnable blobs, shared ones once."""
        return _FLOAT * self.total("parameters")


def summarize(
    prototxt: Any,
    phase: str | int = "TEST",
    level: int = 0,
    stages: Iterable[str] = (),
    *,
    inputs: Mapping[str, Shape] | None = None,
    unknown: str = "error",
) -> NetSummary:
    """The summary of the net that these arguments of :class:`~caffe_port.net.net.Net` select; weights are not filled.

    ``prototxt`` is a path or a NetParameter in the current form.

    Layers are those of the prototxt: the Split layers that a net inserts cost nothing and are left out. Multiply-adds
    are those of products with weights (Convolution, Deconvolution, InnerProduct, LSTM, RNN), products with padding
    included, biases and all other layers not.

    :param inputs: shapes by blob name, in place of what the net's Input and data layers give: a training net is
        summarized without its data, or another batch.
    :raises CaffeError: the net cannot be built, or ``inputs`` do not fit it.
    """
    source = prototxt if isinstance(prototxt, (str, Path)) else None
    net_param = prototxt if source is None else read_net(source, unknown, blobs=False)
    state = net_state(phase, level, stages)
    filtered = filter_net(net_param, state)
    _replace_inputs(filtered, inputs or {}, source)
    graph = build_graph(filtered, state, source)
    owners = {(id(param.owner), param.index): param for param in graph.params}
    found = iter(filtered.layer)
    layers: list[LayerSummary] = []
    expected = next(found, None)
    for node in graph.nodes:
        if expected is not None and (node.name, node.layer.TYPE) == (expected.name, expected.type):
            layers.append(_layer_summary(node, expected, owners))
            expected = next(found, None)
    first = next((layer.top_shapes[0] for layer in layers if layer.top_shapes), ())
    return NetSummary(net_param.name, "TEST" if state.phase else "TRAIN", first[0] if first else 1, layers)


def build_graph(net_param: Any, state: Any, source: str | Path | None = None) -> GraphBuilder:
    """The set-up layers of ``net_param`` (upgraded) for ``state`` (NetState); their blobs are not filled.

    :raises CaffeError: the net cannot be built; ``source`` is named.
    """
    try:
        return GraphBuilder(insert_splits(filter_net(net_param, state)), LayerContext(state.phase, 0)).build()
    except CaffeError as error:
        raise error.at(file=source) from None


def _replace_inputs(net_param: Any, inputs: Mapping[str, Shape], source: str | Path | None) -> None:
    """Put an Input layer in place of every layer that reads data into the blobs ``inputs``."""
    left = dict(inputs)
    for layer in net_param.layer:
        if layer.bottom or not left.keys() & set(layer.top):
            continue
        if missing := [name for name in layer.top if name not in inputs]:
            raise NetError(
                f"makes '{missing[0]}', too, whose shape is not given.",
                file=source,
                layer=layer.name,
                layer_type=layer.type,
            )
        made = pb.LayerParameter(name=layer.name, type="Input", top=layer.top)
        for name in layer.top:
            made.input_param.shape.add(dim=left.pop(name))
        layer.CopyFrom(made)
    if left:
        raise NetError(f"The net has no input '{next(iter(left))}' in this phase.", file=source)


def _layer_summary(node: Node, given: Any, owners: dict[tuple[int, int], Any]) -> LayerSummary:
    """``given`` is the layer as the prototxt has it, with the blob names of before Split layers were inserted."""
    sizes = [math.prod(shape) for shape in node.layer.blob_shapes]
    own = {index: owners[id(node.layer), index] for index in range(len(sizes)) if (id(node.layer), index) in owners}
    learns = [index for index, param in own.items() if param.lr_mult != 0 and node.layer.learnable[index]]
    parameters = sum(sizes[index] for index in own)
    shares = node.layer.TYPE in _SHARING
    counted = [shape for top, shape in zip(node.tops, node.top_shapes) if not shares and top not in node.bottoms]
    multiply_adds = _MULTIPLY_ADDS.get(node.layer.TYPE)
    return LayerSummary(
        name=node.name,
        type=node.layer.TYPE,
        bottoms=list(given.bottom),
        tops=list(given.top),
        bottom_shapes=node.bottom_shapes,
        top_shapes=node.top_shapes[: len(given.top)],
        parameters=parameters,
        learnable=sum(sizes[index] for index in learns),
        shared=sum(sizes) - parameters,
        multiply_adds=multiply_adds(node) if multiply_adds else 0,
        memory=_FLOAT * sum(math.prod(shape) for shape in counted),
    )


def _convolution(node: Node) -> int:
    """Every output is the product of one filter with what it sees."""
    return sum(math.prod(shape) for shape in node.top_shapes) * math.prod(node.layer.blob_shapes[0][1:])


def _deconvolution(node: Node) -> int:
    """Every input is multiplied with one filter."""
    return sum(math.prod(shape) for shape in node.bottom_shapes) * math.prod(node.layer.blob_shapes[0][1:])


def _inner_product(node: Node) -> int:
    """Every row of the top takes each weight once."""
    (outputs,) = node.top_shapes
    return math.prod(outputs[:-1]) * math.prod(node.layer.blob_shapes[0])


def _recurrent(node: Node) -> int:
    """Every stream takes each weight once a time step, those of a static input once in all."""
    steps, streams = node.bottom_shapes[0][:2]
    sizes = {name: math.prod(shape) for name, shape in zip(node.layer.blob_names, node.layer.blob_shapes)}
    return sum(size * streams * (1 if "static" in name else steps) for name, size in sizes.items() if name[0] == "W")


_MULTIPLY_ADDS: dict[str, Callable[[Node], int]] = {
    "Convolution": _convolution,
    "Deconvolution": _deconvolution,
    "InnerProduct": _inner_product,
    "LSTM": _recurrent,
    "RNN": _recurrent,
}
