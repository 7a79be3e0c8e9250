"""Compare a net with a record: every array in net order, and the first layer that diverges."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from caffe_port.errors import CaffeError
from caffe_port.net import Net
from caffe_port.net.graph import Node
from caffe_port.parity.difference import TOLERANCE, Difference, difference
from caffe_port.parity.explain import find
from caffe_port.parity.nets import build_net
from caffe_port.parity.record import KINDS, Arrays, Record, param_key
from caffe_port.parity.report import Report, Row, Status
from caffe_port.parity.walk import Walk


def compare(
    prototxt: str | Path,
    weights: str | Path | None,
    record: Record,
    *,
    backward: bool = False,
    tolerance: float = TOLERANCE,
    phase: str = "TEST",
    level: int = 0,
    stages: Iterable[str] = (),
    unknown: str = "error",
    device: torch.device | str = "cpu",
) -> Report:
    """Run the net of ``prototxt`` on the record's inputs and compare every recorded array.

    It is run twice: once with errors propagating, once with every layer working on the reference's own bottoms, so that
    the first layer at fault is found although the layers above it differ too.

    :param weights: a ``.caffemodel``; the record's learnable blobs come in its place, and are compared with it.
    :param backward: also compare diffs and gradients.
    :param tolerance: what a value may be off, as a part of the largest one in its array.
    :raises CaffeError: see :func:`build_net`; or ``backward`` is asked for and the record has no diffs.
    """
    if backward and not (record.diffs or record.param_diffs):
        raise CaffeError("holds no diffs.", file=record.source, remedy="Record it with --backward.")
    net, before = build_net(prototxt, weights, record, phase, level, stages, unknown, device)
    try:
        comparison = _Comparison(net, record, before, backward, tolerance)
    except CaffeError as error:
        raise error.at(file=prototxt) from None
    rows = tuple(comparison.rows())
    guilty = next((row for row in rows if row.status == "diverges"), None)
    finding = None if guilty is None else find(guilty, net, comparison.own, before, tolerance)
    return Report(tolerance, rows, finding, tuple(_notes(rows, record, backward)))


class _Comparison:
    """Both walks over the net, and the rows that they make."""

    def __init__(self, net: Net, record: Record, before: dict[str, Tensor], backward: bool, tolerance: float) -> None:
        self.net, self.record, self.before = net, record, before
        self.backward, self.tolerance = backward, tolerance
        self.total, self.after = self._walk(forced=False)
        self.own, self.own_after = self._walk(forced=True)

    def _walk(self, forced: bool) -> tuple[Walk, list[dict[str, np.ndarray]]]:
        """A walk, and the recorded learnable blobs and gradients as it left them.

        Running statistics, which a forward pass changes, are put back.
        """
        layers = [node.layer for node in self.net.nodes]
        sums = [b for layer in layers for b, learns in zip(layer.blobs, layer.learnable) if not learns]
        start = [blob.detach().clone() for blob in sums]
        walk = Walk(self.net, self.record, forced, self.backward)
        after = [self._params("data"), self._params("diff")]
        with torch.no_grad():
            for blob, value in zip(sums, start):
                blob.copy_(value)
        return walk, after

    def _params(self, which: str) -> dict[str, np.ndarray]:
        """The recorded ones of the learnable blobs, or of their gradients, as they are now."""
        wanted = self.record.params_after if which == "data" else self.record.param_diffs if self.backward else {}
        found = {}
        for node in reversed(self.net.nodes):
            for index, blob in enumerate(node.layer.blobs):
                if f"{node.name}/{index}" in wanted:
                    value = blob.data if which == "data" else torch.zeros_like(blob) if blob.grad is None else blob.grad
                    found[f"{node.name}/{index}"] = _array(value.view(node.layer.blob_shapes[index])).copy()
        return found

    def rows(self) -> Iterator[Row]:
        """Every array of the record and every blob of the net."""
        done: set[tuple[str, str]] = set()
        for row in self._ordered():
            done.add((row.kind, row.name))
            yield row
        used = {
            "input": set(self.net.inputs),
            "top_diff": set(self.net.blob_shapes),
            "param": {f"{node.name}/{i}" for node in self.net.nodes for i in range(len(node.layer.blob_names))},
        }
        for kind, attribute in KINDS.items():
            for name in getattr(self.record, attribute) if self.backward or "diff" not in kind else ():
                if (kind, name) not in done and name not in used.get(kind, ()):
                    yield self._unknown(kind, name)

    def _ordered(self) -> Iterator[Row]:
        for index, node in enumerate(self.net.nodes):
            for key, ours in self.before.items():
                if param_key(key)[0] == node.name:
                    yield self._param("param", key, self.record.params, {key: _array(ours)}, {key: _array(ours)}, node)
            for name in node.tops:
                served = node.layer.TYPE == "Input" and name not in self.record.blobs
                if self._last(index, name) and not served:
                    yield self._blob("blob", name, node, index)
            yield from self._params_of(node, "param_after", self.record.params_after, 0)
        for index in range(len(self.net.nodes) - 1 if self.backward else -1, -1, -1):
            node = self.net.nodes[index]
            yield from self._params_of(node, "param_diff", self.record.param_diffs, 1)
            for name in dict.fromkeys(node.bottoms):
                if name in self.record.diffs and self._first(index, name):
                    yield self._blob("diff", name, node, index)
            for name in node.tops:
                if name in self.record.diffs and not any(name in other.bottoms for other in self.net.nodes):
                    yield self._blob("diff", name, node, index)

    def _last(self, index: int, name: str) -> bool:
        """Whether no layer after ``index`` writes the blob."""
        return not any(name in other.tops for other in self.net.nodes[index + 1 :])

    def _first(self, index: int, name: str) -> bool:
        """Whether no layer before ``index`` reads the blob."""
        return not any(name in other.bottoms for other in self.net.nodes[:index])

    def _params_of(self, node: Node, kind: str, recorded: Arrays, which: int) -> Iterator[Row]:
        for index in range(len(node.layer.blob_names)):
            key = f"{node.name}/{index}"
            if key in recorded and (kind != "param_diff" or self.backward):
                yield self._param(kind, key, recorded, self.after[which], self.own_after[which], node)

    def _param(self, kind: str, key: str, recorded: Arrays, total: Mapping, own: Mapping, node: Node) -> Row:
        # The gradient of a bias in front of BatchNorm is zero but for rounding: what counts are the terms of its sum.
        scale = 0.0
        if kind == "param_diff":
            scale = max(
                (float(self.own.diff[top].abs().max()) for top in node.tops if top in self.own.diff), default=0.0
            )
        differences = [difference(values[key], recorded[key], scale) for values in (total, own)]
        return Row(kind, key, (node.name,), self._status(*differences), *differences)

    def _blob(self, kind: str, name: str, node: Node, index: int) -> Row:
        total, own = self.total, self.own
        recorded = self.record.blobs if kind == "blob" else self.record.diffs
        segments = own.segments if kind == "blob" else own.diff_segments
        layers = tuple(self.net.nodes[i].name for i in segments.get(name, [index]))
        if name not in recorded:
            return Row(kind, name, layers, "not recorded")
        values = (total.data, own.data) if kind == "blob" else (total.diff, own.diff)
        both = [difference(_array(value[name]), recorded[name]) for value in values]
        if name not in segments:  # its memory is changed later, or nothing flows: no value of its own to judge by
            return Row(kind, name, layers, "agrees" if both[0].within(self.tolerance) else "inherits", both[0])
        drawn = own.random.intersection(segments[name])
        return Row(kind, name, layers, "random" if drawn else self._status(*both), *both)

    def _status(self, total: Difference, own: Difference) -> Status:
        if not own.within(self.tolerance):
            return "diverges"
        return "agrees" if total.within(self.tolerance) else "inherits"

    def _unknown(self, kind: str, name: str) -> Row:
        """A recorded array that the net lacks; another naming of splits is compared with the blob that was split."""
        split = re.fullmatch(r"(.+?)_split_\d+", name)
        sources = [blob for blob in self.net.blob_shapes if split and f"{split[1]}_".startswith(f"{blob}_")]
        if kind != "blob" or not sources:
            return Row(kind, name, (), "not in the net")
        source = max(sources, key=len)
        both = [difference(_array(walk.data[source]), self.record.blobs[name]) for walk in (self.total, self.own)]
        return Row(kind, name, (f"(copies {source})",), self._status(*both), *both)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().numpy()


def _notes(rows: tuple[Row, ...], record: Record, backward: bool) -> Iterator[str]:
    if (record.diffs or record.param_diffs) and not backward:
        yield "The record has diffs, which are compared with --backward."
    states = {row.status for row in rows}
    if "inherits" in states and "diverges" not in states:
        yield "No layer diverges by itself: the differences add up on the way, or lie in blobs that were not recorded."
