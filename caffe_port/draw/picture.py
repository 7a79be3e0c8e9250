"""From a net to what its picture shows: layers as boxes, blobs as ovals, arrows in the direction of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from caffe_port.draw.labels import color, describe, edge_label
from caffe_port.layers.base import Shape
from caffe_port.net.filter import PHASES

BLOB_COLOR = "#E0E0E0"


@dataclass
class Plate:
    """A coloured area with lines of text; the first line of a layer is its name."""

    lines: list[str]
    color: str

    def __post_init__(self) -> None:
        self.lines = [_printable(line) for line in self.lines]


@dataclass
class Node:
    """A blob (one plate, drawn as an oval), or a layer: a box, in-place layers that follow it standing in it below.

    ``label`` is written where the arrows of a layer begin.
    """

    plates: list[Plate]
    label: str = ""
    is_blob: bool = False
    producers: int = 0  #: of a blob: how many layers write it
    read: bool = False  #: of a blob: a layer reads it


@dataclass
class Picture:
    """``edges`` lead from the first to the second index into ``nodes``, none twice."""

    title: str
    nodes: list[Node] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)


def picture_of(
    net_param: Any, rankdir: str, show_phases: bool, rates: bool, shapes: Mapping[str, Shape] | None
) -> Picture:
    """The picture of ``net_param`` (upgraded).

    An in-place layer joins the box of the layer whose top it changes. Where another layer reads the top before that,
    or the box has several tops, it gets a box of its own and the changed blob another oval: readers hang on the values
    that they see.

    :param show_phases: write in which phases a layer is, where it is not in both.
    :param rates: write the lr_mult of learnable blobs.
    :param shapes: of blobs, to be written in their ovals.
    """
    return _Painter(net_param.name, rankdir in ("TB", "BT"), show_phases, rates, shapes or {}).paint(net_param)


class _Painter:
    def __init__(self, title: str, wide: bool, show_phases: bool, rates: bool, shapes: Mapping[str, Shape]) -> None:
        self.picture = Picture(_printable(title))
        self.wide, self.show_phases, self.rates, self.shapes = wide, show_phases, rates, shapes
        self.latest: dict[str, int] = {}  # where the current values of a blob are drawn
        self.source: dict[int, int] = {}  # the layer that writes a blob, by their nodes

    def paint(self, net_param: Any) -> Picture:
        for layer in net_param.layer:
            plate = self._plate(layer)
            box = self._box_of(layer)
            if box is None:
                self._add(layer, plate)
            else:
                box.plates.append(plate)
        return self.picture

    def _plate(self, layer: Any) -> Plate:
        groups = describe(layer, self.rates)
        if self.show_phases and (phases := _phases(layer)):
            groups.append([f"phase: {phases}"])
        parts = [part for group in groups for part in group]
        if _changes_in_place(layer):
            return Plate([" ".join(parts)], color(layer.type))
        return Plate([" ".join(group) for group in groups] if self.wide else parts, color(layer.type))

    def _box_of(self, layer: Any) -> Node | None:
        """The box that ``layer`` joins, if it works in-place on the only top of a layer, unread so far."""
        if not _changes_in_place(layer):
            return None
        blob = self.latest.get(layer.bottom[0])
        if blob is None or self.picture.nodes[blob].read or self.picture.nodes[blob].producers != 1:
            return None
        source = self.source[blob]
        tops = sum(edge[0] == source for edge in self.picture.edges)
        return self.picture.nodes[source] if tops == 1 else None

    def _add(self, layer: Any, plate: Plate) -> None:
        nodes, edges = self.picture.nodes, self.picture.edges
        bottoms = [self.latest[name] if name in self.latest else self._add_blob(name) for name in layer.bottom]
        box = len(nodes)
        nodes.append(Node([plate], edge_label(layer) if layer.top else ""))
        for blob in dict.fromkeys(bottoms):
            nodes[blob].read = True
            edges.append((blob, box))
        for name in layer.top:
            known = self.latest.get(name)  # if nothing has read it, a layer of another phase writes it, too
            blob = self._add_blob(name) if known is None or nodes[known].read else known
            nodes[blob].producers += 1
            self.source[blob] = box
            edges.append((box, blob))

    def _add_blob(self, name: str) -> int:
        lines = [name]
        if name in self.shapes:
            lines.append(" x ".join(map(str, self.shapes[name])) or "scalar")
        self.latest[name] = len(self.picture.nodes)
        self.picture.nodes.append(Node([Plate(lines, BLOB_COLOR)], is_blob=True))
        return self.latest[name]


def _printable(text: str) -> str:
    """``text`` without the line ends and control characters that names may have, and an SVG may not."""
    return "".join(letter if letter.isprintable() else "\N{REPLACEMENT CHARACTER}" for letter in text)


def _changes_in_place(layer: Any) -> bool:
    return len(layer.bottom) == 1 and list(layer.bottom) == list(layer.top)


def _phases(layer: Any) -> str:
    """The phases that include rules give ``layer``, or that exclude rules leave it; empty if there is no such rule."""
    names = {number: name for name, number in PHASES.items()}
    included = [names[rule.phase] for rule in layer.include if rule.HasField("phase")]
    excluded = [names[rule.phase] for rule in layer.exclude if rule.HasField("phase")]
    left = [name for name in PHASES if name not in excluded]
    return ", ".join(included or (left if excluded else []))
