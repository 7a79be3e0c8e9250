"""Why an array diverges: the layers that made it, and which change to one of them gives the reference's numbers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

import torch
from torch import Tensor

from caffe_port.errors import CaffeError
from caffe_port.layers.base import Shape
from caffe_port.net import Net
from caffe_port.net.graph import Node
from caffe_port.parity.difference import difference, like
from caffe_port.parity.record import param_key
from caffe_port.parity.report import Explanation, Finding, Row, SuspectLayer
from caffe_port.parity.suspects import usual_suspects
from caffe_port.parity.variations import Case, Variation, common_variations, variations
from caffe_port.parity.walk import Walk
from caffe_port.proto.text import format_text

#: How many explanations are looked for; the numbers cannot tell between them.
MOST = 3
#: How many further variations are tried after the first that explains: less likely ones only cost time.
_FURTHER = 20
#: What a LayerParameter holds that is no parameter of the layer's own.
_PLACE = ("name", "type", "bottom", "top", "phase", "include", "exclude", "blobs", "param", "propagate_down")


def find(row: Row, net: Net, walk: Walk, before: dict[str, Tensor], tolerance: float) -> Finding:
    """What can be said of ``row``, which diverges.

    :param walk: the walk on the reference's own bottoms.
    :param before: the learnable blobs that the record's replaced.
    """
    nodes = [node for node in net.nodes if node.name in row.layers]
    layers = tuple(
        SuspectLayer(
            node.name,
            node.layer.TYPE,
            parameters(node),
            usual_suspects(node.layer.TYPE, any(b in net.inputs for b in node.bottoms), row.kind),
        )
        for node in nodes
    )
    found: Iterator[Explanation] = iter(())
    if row.kind == "param":
        made = [name for name in nodes[0].tops if name in walk.segments and name in walk.record.blobs]
        computed = chain.from_iterable(_Segment(name, net, walk).explanations(tolerance) for name in made)
        found = chain(_explain_param(row, nodes[0], walk, before, tolerance), computed)
    elif row.kind == "blob" and row.name in walk.segments:
        found = _Segment(row.name, net, walk).explanations(tolerance)
    return Finding(row, layers, tuple(islice(found, MOST)))


def parameters(node: Node) -> str:
    """The layer's own parameters as prototxt on one line; empty where it has none but defaults."""
    message = type(node.layer.layer_param)()
    message.CopyFrom(node.layer.layer_param)
    for name in _PLACE:
        message.ClearField(name)
    return " ".join(format_text(message).split())


def _explain_param(
    row: Row, node: Node, walk: Walk, before: dict[str, Tensor], tolerance: float
) -> Iterator[Explanation]:
    """Rearrangements of the layer's weights that give the recorded ones."""
    index = param_key(row.name)[1]
    own = [before.get(f"{node.name}/{i}", blob.detach()) for i, blob in enumerate(node.layer.blobs)]
    recorded = walk.record.params[row.name]
    bottoms = next(walk.bottoms[i] for i, other in enumerate(walk.net.nodes) if other is node)
    case = Case(node.layer, bottoms, own, planes=_planes(walk.net, node))
    for variation in _tried(variations(case)):
        if variation.blobs is not None and variation.blobs[index] is not own[index]:
            far = difference(variation.blobs[index].numpy(force=True), recorded)
            if far.within(tolerance):
                yield Explanation(node.name, node.layer.TYPE, variation.what, far.relative)


class _Segment:
    """The layers that made ``blob`` out of recorded values, to be run again with one of them changed."""

    def __init__(self, blob: str, net: Net, walk: Walk) -> None:
        self.blob, self.net, self.walk = blob, net, walk
        self.indices = walk.segments[blob]
        ours = walk.data[blob]
        self.recorded = like(walk.record.blobs[blob], ours.shape)
        self.wanted = torch.tensor(self.recorded, dtype=ours.dtype, device=ours.device)

    def explanations(self, tolerance: float) -> Iterator[Explanation]:
        """The variations that give the reference's numbers."""
        cases = {index: self._case(index) for index in self.indices}
        own = ((index, v) for index, case in cases.items() for v in _tried(variations(case)))
        common = ((index, v) for index, case in cases.items() for v in _tried(common_variations(case)))
        left = None
        for index, variation in chain(own, common):
            left = None if left is None else left - 1
            if left == 0:
                return
            top = self._replay(cases, index, variation)
            if top is None or tuple(top.shape) != self.recorded.shape:
                continue
            far = difference(top.numpy(force=True), self.recorded)
            if far.within(tolerance):
                left = left or _FURTHER
                node = self.net.nodes[index]
                yield Explanation(node.name, node.layer.TYPE, variation.what, far.relative)

    def _case(self, index: int) -> Case:
        node = self.net.nodes[index]
        own = {f"{node.name}/{i}": node.layer.blob(i).detach() for i in range(len(node.layer.blob_names))}
        for key, value in self.walk.record.params.items():
            if param_key(key)[0] == node.name:
                shape = own[key].shape if key in own else value.shape
                own[key] = torch.from_numpy(like(value, shape)).to(self.wanted.device)
        blobs = [own[key] for key in sorted(own, key=param_key)]
        wanted, shown = self._visible(index)
        reads_input = any(name in self.net.inputs for name in node.bottoms)
        return Case(node.layer, self.walk.bottoms[index], blobs, wanted, shown, reads_input, _planes(self.net, node))

    def _visible(self, index: int) -> tuple[Tensor | None, Tensor | None]:
        """The reference's top of a layer as far as the segment's later layers let it be seen, and where they do.

        A ReLU leaves what is positive; a Scale layer, as it follows BatchNorm, is undone.
        """
        if self.net.nodes[index].tops[:1] != [self.blob]:
            return None, None
        wanted, shown = self.wanted, None
        for node in (self.net.nodes[i] for i in reversed(self.indices) if i > index):
            if node.layer.TYPE == "ReLU":
                shown = self.wanted > 0
            elif node.layer.TYPE == "Scale" and len(node.bottoms) == 1 and node.layer.layer_param.scale_param.axis == 1:
                factor, *bias = (blob.detach() for blob in node.layer.blobs)
                shape = (1, *factor.shape, *[1] * (wanted.ndim - 1 - factor.ndim))
                wanted = (wanted - sum(part.view(shape) for part in bias)) / factor.view(shape)
            else:
                return None, None
        return wanted, shown

    def _replay(self, cases: dict[int, Case], changed: int, variation: Variation) -> Tensor | None:
        """The blob when layer ``changed`` is computed as ``variation`` says; None if that is impossible."""
        values: dict[str, Tensor] = {}
        for index in self.indices:
            node = self.net.nodes[index]
            bottoms = [values.get(name, value) for name, value in zip(node.bottoms, self.walk.bottoms[index])]
            last = index == self.indices[-1] and node.tops[0] == self.blob
            expected: Sequence[Shape] = [self.recorded.shape] if last else ()
            try:
                tops = cases[index].run(variation if index == changed else None, bottoms, expected)
            except (CaffeError, RuntimeError):  # torch's own refusal, where a variation calls it directly
                return None
            values.update(zip(node.tops, tops))
        return values.get(self.blob)


def _tried(found: Iterator[Variation]) -> Iterator[Variation]:
    """The variations up to the first that cannot even be made for blobs of these shapes."""
    try:
        yield from found
    except (CaffeError, RuntimeError):
        return


def _planes(net: Net, node: Node) -> Shape | None:
    """The shape (N, C, H, W) that the first bottom had before it was flattened, if it had one."""
    name = node.bottoms[0] if node.bottoms else ""
    for other in reversed(net.nodes[: net.nodes.index(node)]):
        if len(net.blob_shapes[name]) == 4:
            break
        if name in other.tops and other.bottoms:
            name = other.bottoms[0]
    shape = net.blob_shapes.get(name, ())
    own = net.blob_shapes[node.bottoms[0]] if node.bottoms else ()
    return shape if len(shape) == 4 and torch.Size(shape).numel() == torch.Size(own).numel() else None
