"""What of a net is exported: what it computes, without the layers that feed, score or train it."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from dataclasses import dataclass
from typing import Any

from caffe_port.convert.converted import Converted
from caffe_port.errors import CaffeError, NetError
from caffe_port.layers import Layer
from caffe_port.layers.base import Shape
from caffe_port.layers.data.base import DataLayer
from caffe_port.layers.vision.base_convolution import BaseConvolution
from caffe_port.net import Net
from caffe_port.net.graph import Node
from caffe_port.proto import pb

#: A shape in which None stands for an axis that follows the batch size.
OpenShape = tuple[int | None, ...]


@dataclass(frozen=True)
class Step:
    """One layer to be written, with the blobs it reads and writes and the shapes of its bottoms."""

    layer: Layer
    bottoms: list[str]
    tops: list[str]
    shapes: list[Shape]
    open_shapes: list[OpenShape]


@dataclass(frozen=True)
class Plan:
    """The part of a net that is exported.

    ``steps`` are its layers in order; ``inputs`` and ``outputs`` map blob names to shapes, inputs in the net's order,
    outputs in Caffe's alphabetical order; ``left_out`` names every layer that is not exported, in net order.
    """

    net: Net
    steps: list[Step]
    inputs: dict[str, OpenShape]
    outputs: dict[str, OpenShape]
    left_out: tuple[str, ...]

    def converted(self, size: int) -> Converted:
        """The extent of the conversion, ``size`` being the bytes written."""
        layers = [step.layer for step in self.steps if step.layer.blob_names]
        blobs = {id(blob): blob.numel() for layer in layers for blob in layer.blobs}
        return Converted(len(layers), sum(blobs.values()), size, self.left_out)


def plan_export(net: Net, supported: Container[str]) -> Plan:
    """Prune ``net`` for an export to a target that has the layer types ``supported``.

    Left out are losses, Accuracy and Silence with whatever only serves them (labels, their slices). The scores that
    they judge become outputs: their bottoms that are no labels and that learnable layers lead to. Tops of data layers
    that something exported needs become inputs.

    :raises NetError: ``net`` is in TRAIN phase, or nothing of it is left to export.
    :raises LayerError: a layer of it has no counterpart in the target.
    """
    try:
        if net.context.phase != pb.TEST:
            raise NetError("A net in TRAIN phase cannot be exported.", remedy="Build it with phase='TEST'.")
        outputs = _outputs(net)
        if not outputs:
            raise NetError("There is nothing to export: the net has no layer but data, losses and accuracies.")
        nodes, wanted = _needed(net, outputs)
        for node in nodes:
            _check(node, supported)
    except CaffeError as error:
        raise error.at(file=net.source) from None
    inputs = [top for node in net.nodes if _is_data(node) for top in node.tops if top in wanted]
    steps, shapes = _open(net, nodes, inputs)
    kept = {id(node) for node in nodes}
    left_out = [node.name for node in net.nodes if id(node) not in kept and not _silent(node, wanted)]
    return Plan(net, steps, {n: shapes[n] for n in inputs}, {n: shapes[n] for n in outputs}, tuple(left_out))


def _check(node: Node, supported: Container[str]) -> None:
    """Refuse what no target can express.

    :raises LayerError: the layer's type, or what its parameters ask for, has no counterpart.
    """
    layer = node.layer
    if layer.TYPE not in supported:
        raise layer.error("cannot be exported: its type has no counterpart.", "Export the net without this layer.")
    if check := _RESTRICTIONS.get(layer.TYPE):
        check(node, layer)


# -- which layers, which blobs ----------------------------------------------------------------------------------------


def _is_data(node: Node) -> bool:
    return isinstance(node.layer, DataLayer)


def _is_score(node: Node) -> bool:
    return node.layer.IS_LOSS or node.layer.TYPE in ("Accuracy", "Silence")


def _silent(node: Node, wanted: set[str]) -> bool:
    """Layers that are neither exported nor worth a word: the net's own Splits, and inputs that stay inputs."""
    return node.layer.TYPE == "Split" or (node.layer.TYPE == "Input" and not wanted.isdisjoint(node.tops))


def _outputs(net: Net) -> list[str]:
    """The net's outputs that are neither data nor depend on a loss or accuracy, and the scores that these judge."""
    data: set[str] = set()
    judged: set[str] = set()  # what depends on a loss or accuracy
    learned: set[str] = set()  # what depends on a learnable layer
    origin: dict[str, str] = {}  # the blob behind the top of a Split
    scores: set[str] = set()
    for node in net.nodes:
        if _is_data(node):
            data.update(node.tops)
        elif _is_score(node) or not judged.isdisjoint(node.bottoms):
            judged.update(node.tops)
            scores.update(origin.get(name, name) for name in _scored(node) if name in learned)
        elif node.layer.blob_names or not learned.isdisjoint(node.bottoms):
            learned.update(node.tops)
        if node.layer.TYPE == "Split":
            origin.update((top, origin.get(node.bottoms[0], node.bottoms[0])) for top in node.tops)
    return sorted(scores.union(net.outputs) - data - judged)


def _scored(node: Node) -> list[str]:
    """The bottoms of a loss or accuracy that are no labels."""
    if node.layer.TYPE == "Silence" or not _is_score(node):
        return []
    labels = (1,) if node.layer.TYPE == "Accuracy" else node.layer.NO_GRADIENT
    return [name for index, name in enumerate(node.bottoms) if index not in labels]


def _needed(net: Net, outputs: Iterable[str]) -> tuple[list[Node], set[str]]:
    """The computing layers that ``outputs`` come from, and every blob that they and ``outputs`` name."""
    wanted = set(outputs)
    nodes = []
    for node in reversed(net.nodes):
        if not wanted.isdisjoint(node.tops) and not _is_data(node):
            wanted.update(node.bottoms)
            nodes.append(node)
    return nodes[::-1], wanted


# -- shapes -----------------------------------------------------------------------------------------------------------


def _open(net: Net, nodes: list[Node], inputs: list[str]) -> tuple[list[Step], dict[str, OpenShape]]:
    """The steps, and the shape of every blob; all axes are fixed if a layer insists on the net's own batch size."""
    given = {name: net.blob_shapes[name] for name in inputs}
    bottoms, shapes = _propagate(nodes, given)
    try:
        doubled = {name: (2 * shape[0], *shape[1:]) if shape else shape for name, shape in given.items()}
        others, other_shapes = _propagate(nodes, doubled)
    except CaffeError:
        others, other_shapes = bottoms, shapes
    steps = [
        Step(node.layer, node.bottoms, node.tops, ours, [_compare(a, b) for a, b in zip(ours, theirs)])
        for node, ours, theirs in zip(nodes, bottoms, others)
    ]
    return steps, {name: _compare(shape, other_shapes[name]) for name, shape in shapes.items()}


def _propagate(nodes: list[Node], shapes: dict[str, Shape]) -> tuple[list[list[Shape]], dict[str, Shape]]:
    """The bottom shapes of every node, and the shape of every blob, for inputs of ``shapes``."""
    shapes = dict(shapes)
    bottoms = []
    for node in nodes:
        bottoms.append([shapes[name] for name in node.bottoms])
        shapes.update(zip(node.tops, node.layer.reshape(bottoms[-1])))
    return bottoms, shapes


def _compare(shape: Shape, other: Shape) -> OpenShape:
    return tuple(a if a == b else None for a, b in zip(shape, other))


# -- what no target expresses -----------------------------------------------------------------------------------------


def _check_convolution(node: Node, layer: BaseConvolution) -> None:
    spatial = node.bottom_shapes[0][2:]
    fits = layer.channel_axis == 1 and 1 <= len(layer.kernel) <= 3
    layer.check(fits, "can be exported with one batch axis and 1 to 3 spatial axes only.")
    beyond = layer.TYPE == "Convolution" and any(layer.missing(spatial))
    layer.check(not beyond, "has a window that exceeds its padded bottom; only Caffe allows that.", "Increase pad.")


def _check_pooling(node: Node, layer: Layer) -> None:
    layer.check(getattr(layer, "method", "") != "STOCHASTIC", "is STOCHASTIC, which only Caffe has.")
    layer.check(len(node.tops) == 1, "has a mask as second top, which cannot be exported.", "Remove the second top.")


def _check_batch_norm(node: Node, layer: Layer) -> None:
    stored = getattr(layer, "use_global_stats", False)
    layer.check(stored, "uses the statistics of the batch.", "Remove use_global_stats: false, or call net.eval().")
    layer.check(len(node.bottom_shapes[0]) > 1, "can be exported for bottoms of at least 2 axes only.")


_RESTRICTIONS: dict[str, Callable[[Node, Any], None]] = {
    "Convolution": _check_convolution,
    "Deconvolution": _check_convolution,
    "Pooling": _check_pooling,
    "BatchNorm": _check_batch_norm,
}
