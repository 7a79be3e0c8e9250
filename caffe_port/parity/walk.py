"""Running a net beside a record, layer by layer, and noting what comes out."""

from __future__ import annotations

import torch
from torch import Tensor

from caffe_port.errors import NetError
from caffe_port.net import BlobwiseExecutor, Net
from caffe_port.net.graph import Node
from caffe_port.parity.difference import like
from caffe_port.parity.record import Record, param_key

#: They compute nothing; HDF5Output would write its file.
_IDLE = ("Input", "HDF5Output")
#: In Caffe the tops of these layers are their bottom's memory, and of the last two the diffs are too.
_SHARE_DATA = ("Split", "Flatten", "Reshape")
_SHARE_DIFF = ("Flatten", "Reshape")


class Walk:
    """One forward pass, and one backward pass if asked for, of ``net`` on the record's inputs.

    :param forced: every recorded blob takes the record's value as soon as it has its last one, so that each layer works
        on the reference's own bottoms, and an error stays with the layer that made it. Otherwise errors propagate.

    Afterwards ``data`` and ``diff`` hold what came out, by blob name, and ``segments`` and ``diff_segments`` which
    layers (by index) made it since recorded values went in: one, or a chain of which only the last result was recorded.
    ``bottoms`` are what each layer worked on. Layers in ``random`` drew random numbers; their results are the record's.

    :raises NetError: the result of a random layer is not in the record.
    """

    def __init__(self, net: Net, record: Record, forced: bool, backward: bool) -> None:
        self.net, self.record, self.forced = net, record, forced
        self.data: dict[str, Tensor] = {}
        self.diff: dict[str, Tensor] = {}
        self.segments: dict[str, list[int]] = {}
        self.diff_segments: dict[str, list[int]] = {}
        self.bottoms: dict[int, list[Tensor]] = {}
        self.random: set[int] = set()
        self._run = BlobwiseExecutor(net)
        for parameter in net.parameters():
            parameter.grad = None
        for name in net.inputs:
            self._run.blobs[name].put_data(_tensor(record.inputs[name], net))
        self._forward()
        if backward:
            self._backward()

    def _forward(self) -> None:
        final = _last_writers(self.net)
        made: dict[str, list[int]] = {name: [] for name in self.net.inputs}
        for index, node in enumerate(self.net.nodes):
            if node.layer.TYPE in _IDLE:
                continue
            self.bottoms[index] = [self._run.blobs[name].value() for name in node.bottoms]
            passes = node.layer.passes
            self._run.forward(index, index)
            if node.layer.passes != passes:
                self.random.add(index)
            chain = sorted({index, *(i for name in node.bottoms for i in made[name])})
            for name in node.tops:
                made[name] = chain
                if index >= final[name]:
                    self.data[name], self.segments[name] = self._run.blobs[name].value(), chain
                if self._take(self.record.blobs, name, index >= final[name], index in self.random, node):
                    self._run.blobs[name].put_data(self._recorded(self.record.blobs, name))
                    made[name] = []
        for name, blob in self._run.blobs.items():
            if not self.forced or name not in self.data:  # what it was when the layers above it had worked in-place
                self.data[name] = blob.value()

    def _backward(self) -> None:
        for name, value in self.record.top_diffs.items():
            if name in self._run.blobs:
                self._run.blobs[name].put_diff(_tensor(like(value, self._run.blobs[name].shape), self.net))
        final = _first_readers(self.net)
        made: dict[str, list[int]] = {name: [] for name in self._run.blobs}
        for index in range(len(self.net.nodes) - 1, -1, -1):
            node = self.net.nodes[index]
            if not node.need_backward:
                continue
            self._run.backward(index, index)
            chain = sorted({index, *(i for name in node.tops for i in made[name])})
            for name, flows in zip(node.bottoms, node.bottom_need_backward):
                if not flows:
                    continue
                made[name] = chain
                if index <= final[name]:
                    self.diff[name], self.diff_segments[name] = self._run.blobs[name].gradient(), chain
                if self._take(self.record.diffs, name, index <= final[name], index in self.random, node):
                    self._run.blobs[name].put_diff(self._recorded(self.record.diffs, name))
                    made[name] = []
        for name, blob in self._run.blobs.items():
            if not self.forced or name not in self.diff:
                self.diff[name] = blob.gradient()

    def _take(self, recorded: dict, name: str, final: bool, random: bool, node: Node) -> bool:
        """Whether the blob is to go on with the record's value."""
        known = final and name in recorded and like(recorded[name], self._shape(name)).shape == self._shape(name)
        if random and not known:
            raise NetError(
                f"draws random numbers in this phase, and the record lacks what it made of '{name}'.",
                layer=node.name,
                layer_type=node.layer.TYPE,
                remedy="Compare the TEST phase, or record every blob and give it a name of its own.",
            )
        return known and (self.forced or random)

    def _recorded(self, recorded: dict, name: str) -> Tensor:
        return _tensor(like(recorded[name], self._shape(name)), self.net)

    def _shape(self, name: str) -> tuple[int, ...]:
        return self._run.blobs[name].shape


def _tensor(array: object, net: Net) -> Tensor:
    return torch.tensor(array, dtype=net.dtype, device=net.device)


def put_params(net: Net, record: Record) -> dict[str, Tensor]:
    """Give the net the record's learnable blobs; what it had before, by ``<layer>/<i>``.

    Those of another shape, or that the net lacks, are left alone.
    """
    before = {}
    layers = {node.name: node.layer for node in reversed(net.nodes)}
    for key, value in record.params.items():
        name, index = param_key(key)
        if name in layers and index < len(layers[name].blob_names):
            blob = layers[name].blob(index).data
            before[key] = blob.clone()
            value = like(value, blob.shape)
            if value.shape == tuple(blob.shape):
                blob.copy_(torch.from_numpy(value))
    return before


def _last_writers(net: Net) -> dict[str, int]:
    """For each blob the layer (index) after which nothing changes its memory, which other blobs may share.

    Only then is what the record holds what the layers above worked on.
    """
    owner: dict[str, str] = {name: name for name in net.inputs}
    last: dict[str, int] = {}
    for index, node in enumerate(net.nodes):
        for name in node.tops:
            if node.layer.TYPE in _SHARE_DATA and name not in node.bottoms:
                owner[name] = owner[node.bottoms[0]]
            else:
                owner.setdefault(name, name)
                last[owner[name]] = index
    return {name: last[whose] for name, whose in owner.items()}


def _first_readers(net: Net) -> dict[str, int]:
    """For each blob the layer (index) after whose backward nothing changes the memory of its diff."""
    owner: dict[str, str] = {}
    first: dict[str, int] = {}
    for node in net.nodes:
        for name in node.tops:
            shares = node.layer.TYPE in _SHARE_DIFF and name not in node.bottoms
            owner[name] = owner[node.bottoms[0]] if shares else owner.get(name, name)
    for index, node in reversed(list(enumerate(net.nodes))):
        for name in node.bottoms:
            if node.layer.TYPE not in _SHARE_DIFF or owner[name] not in first:
                first[owner[name]] = index
    return {name: first.get(whose, len(net.nodes)) for name, whose in owner.items()}
