"""``Net``: a Caffe net as an ``nn.Module``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import chain
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from caffe_port import rng
from caffe_port.errors import CaffeError, NetError
from caffe_port.layers import Layer, LayerContext
from caffe_port.layers.base import Shape, is_compiling
from caffe_port.layers.data.base import PrefetchingDataLayer
from caffe_port.log import log
from caffe_port.net.debug import DebugInfo
from caffe_port.net.filter import filter_net, net_state
from caffe_port.net.graph import GraphBuilder, Node, Param
from caffe_port.net.inputs import bind_inputs, check_inputs
from caffe_port.net.splits import insert_splits
from caffe_port.net.weights import Missing, load_weights, save_weights
from caffe_port.proto import pb
from caffe_port.proto.files import read_net
from caffe_port.proto.layer_weights import Weights
from caffe_port.proto.text import format_text
from caffe_port.proto.upgrade import upgrade_net


class Net(nn.Module):
    """A Caffe net: layers by Caffe's names, called with tensors by input name, returning output blobs by name.

    ::

        net = caffe_port.Net("deploy.prototxt", "weights.caffemodel")
        prob = net(data=images)["prob"]

    :param prototxt: path of a net file (text or binary, any age), or a NetParameter message.
    :param weights: path of a ``.caffemodel`` or ``.caffemodel.h5``, or what ``proto.weights.read_weights`` made of it.
    :param phase: ``"TRAIN"`` or ``"TEST"``; with ``level`` and ``stages`` it selects the layers (include/exclude).
    :param seed: root of all random numbers (fillers, dropout, data augmentation); None: from the operating system.
    :param unknown: ``"warn"`` accepts unknown prototxt fields with a warning.
    :param dialect: whose Caffe wrote a binary net, where its fields do not tell: "bvlc", "nvidia", "intel" or "ssd".
    :param missing: ``"error"`` refuses a learnable layer that the weights lack; ``"log"`` leaves it as its filler made
        it.
    :raises CaffeError: the file, a layer or the weights are at fault; the message says what and where.

    ``net.inputs`` and ``net.outputs`` are blob names, ``net.blob_shapes`` all shapes, ``net.params`` the learnable
    parameters with their multipliers. ``net.train()`` and ``net.eval()`` switch the behaviour of layers (dropout,
    batch statistics), not the selection of layers, which ``phase`` fixed.
    """

    def __init__(
        self,
        prototxt: str | Path | Any,
        weights: str | Path | Weights | None = None,
        phase: str | int = "TEST",
        level: int = 0,
        stages: Iterable[str] = (),
        *,
        seed: int | None = None,
        unknown: str = "error",
        dialect: str | None = None,
        missing: Missing = "error",
        rank: int = 0,
        world: int = 1,
    ) -> None:
        super().__init__()
        is_file = isinstance(prototxt, (str, Path))
        self.source = str(prototxt) if is_file else None
        given = read_net(prototxt, unknown, dialect) if is_file else _upgraded(prototxt)
        state = net_state(phase, level, stages)
        context = LayerContext(state.phase, rng.fresh_seed() if seed is None else seed, rank, world)
        try:
            filtered = filter_net(given, state)
            log.info("Initializing net from parameters: \n%s", _LazyText(filtered))
            self.net_param = insert_splits(filtered)
            graph = GraphBuilder(self.net_param, context).build()
        except CaffeError as error:
            raise error.at(file=self.source) from None
        self.context = context
        self.net_name: str = self.net_param.name
        #: logs every pass (``debug_info: true``); None: nothing is logged
        self.debug_info = DebugInfo(self) if self.net_param.debug_info else None
        self.nodes: list[Node] = graph.nodes
        self.params: list[Param] = graph.params
        self.blob_shapes: dict[str, Shape] = graph.blob_shapes
        self.inputs: list[str] = graph.inputs
        self.outputs: list[str] = graph.outputs
        self._last_use = {name: i for i, node in enumerate(self.nodes) for name in (*node.bottoms, *node.tops)}
        for node in self.nodes:
            self._modules[self._module_key(node.name)] = node.layer
        loaded = set() if weights is None else load_weights(self, weights, missing)
        fresh = [param for param in self.params if id(param.blob) not in loaded]
        for param in fresh:  # fillers only where no file gave the values: they cost as much as loading
            param.owner.fill_blob(param.index)
        #: names of the learnable layers that started from their fillers
        self.filled: list[str] = list(dict.fromkeys(param.owner.name for param in fresh))
        self.train(state.phase == 0)

    def _module_key(self, name: str) -> str:
        """``name`` as a key of ``_modules``: no dots, no attribute of Net, and unique (Caffe asks for none of
        these)."""
        key = name.replace(".", "_") or "_"
        while hasattr(self, key):
            key += "_"
        return key

    # -- running ------------------------------------------------------------------------------------------------------

    def forward(self, *args: Any, **inputs: Tensor) -> dict[str, Tensor]:
        """Compute the output blobs.

        :param args: tensors in the order of ``net.inputs``, or one mapping from input names to tensors.
        :param inputs: tensors by input name. Data layers serve their own batches and take no input.
        :return: the blobs that no layer consumes, by name.
        :raises NetError: an input is missing, unknown, no tensor, of another floating type or device than the net, or
            of a shape that a layer refuses.
        """
        try:
            bound = bind_inputs(self.inputs, args, inputs)
        except NetError as error:
            raise error.at(file=self.source) from None
        blobs, _ = self.run(bound, keep=self.outputs)
        return {name: blobs[name] for name in self.outputs}

    def run(
        self,
        inputs: Mapping[str, Tensor],
        keep: Iterable[str] | None = None,
        traced: dict[str, Tensor] | None = None,
    ) -> tuple[dict[str, Tensor], Tensor | None]:
        """Run every layer on ``inputs``; integers among them become floating point, as blobs hold nothing else.

        :param keep: names of the blobs wanted; others are freed after their last use. None: every blob.
        :param traced: receives, by blob name, the tensors whose ``grad`` is the blob's diff after ``loss.backward()``
            (of a blob computed in-place the first version, as in Caffe).
        :return: blobs by name, and the weighted sum of the losses (None without a loss layer).
        :raises NetError: as :meth:`forward`.
        """
        blobs = self._checked(inputs)
        if not is_compiling():
            shapes = {name: tuple(value.shape) for name, value in blobs.items()}
            if any(self.blob_shapes[name] != shape for name, shape in shapes.items()):
                self.reshape(shapes)
        kept = None if keep is None else set(keep)
        loss = None
        for index, node in enumerate(self.nodes):
            if node.layer.TYPE != "Input":
                if traced is not None:
                    _trace_bottoms(node, blobs, traced)
                seen = [blobs[name] for name in node.bottoms] if self.debug_info else []
                tops = self.run_layer(node, [blobs[name] for name in node.bottoms])
                blobs.update(zip(node.tops, tops))
                if self.debug_info:
                    self.debug_info.forward(index, seen, tops)
                if traced is not None:
                    _trace_tops(node, tops, traced)
                for top, weight, diff_set in zip(tops, node.loss_weights, node.top_diff_set):
                    if weight:
                        term = (top.detach() if diff_set else top).sum() * weight
                        loss = term if loss is None else loss + term
            elif self.debug_info:
                self.debug_info.forward(index, [], [blobs[name] for name in node.tops])
            if kept is not None:
                for name in (*node.bottoms, *node.tops):
                    if self._last_use[name] == index and name not in kept:
                        blobs.pop(name, None)
        return blobs, loss

    def run_layer(self, node: Node, bottoms: list[Tensor]) -> tuple[Tensor, ...]:
        """The tops of one layer; labels and bottoms with ``propagate_down: false`` are cut off from the graph.

        Shapes are checked again where they are not those expected: data layers, Filter, and the caller may change them.
        """
        cut = [value.detach() if detached else value for value, detached in zip(bottoms, node.detached)]
        try:
            if is_compiling():
                return node.layer(*cut)
            shapes = [tuple(value.shape) for value in bottoms]
            if shapes != node.bottom_shapes:
                node.layer.reshape(shapes)
                node.bottom_shapes = shapes
            tops = node.layer(*cut)
        except CaffeError as error:
            raise error.at(file=self.source, layer=node.name, layer_type=node.layer.TYPE) from None
        shapes = [tuple(value.shape) for value in tops]
        if shapes != node.top_shapes:
            node.top_shapes = shapes
            self.blob_shapes.update(zip(node.tops, shapes))
        return tops

    def _checked(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        try:
            return check_inputs(self.inputs, inputs, next(self.parameters(), None))
        except NetError as error:
            raise error.at(file=self.source) from None

    # -- shapes -------------------------------------------------------------------------------------------------------

    def reshape(self, inputs: Mapping[str, Shape]) -> None:
        """Propagate new input shapes through the net: ``blob_shapes`` and every node's ``top_shapes``.

        :raises NetError: a layer refuses the shape of its bottoms; nothing is changed then.
        """
        shapes = {**self.blob_shapes, **inputs}
        found: list[tuple[list[Shape], list[Shape]]] = []
        for node in self.nodes:
            bottoms = [shapes[name] for name in node.bottoms]
            try:
                tops = [shapes[t] for t in node.tops] if node.layer.TYPE == "Input" else node.layer.reshape(bottoms)
            except CaffeError as error:
                raise error.at(file=self.source, layer=node.name, layer_type=node.layer.TYPE) from None
            found.append((bottoms, tops))
            shapes.update(zip(node.tops, tops))
        self.blob_shapes = shapes
        for node, (bottoms, tops) in zip(self.nodes, found):
            node.bottom_shapes, node.top_shapes = bottoms, tops

    @property
    def device(self) -> torch.device:
        """Where the net computes: where its learnable blobs and buffers lie (the CPU for a net without any)."""
        tensors = chain(self.parameters(), self.buffers())  # without parameters an Input layer's buffer tells
        return next((tensor.device for tensor in tensors), torch.device("cpu"))

    @property
    def dtype(self) -> torch.dtype:
        """Floating type of the learnable blobs (float32 for a net without any)."""
        return next((parameter.dtype for parameter in self.parameters()), torch.float32)

    # -- parts and files ----------------------------------------------------------------------------------------------

    def layer(self, name: str) -> Layer:
        """The first layer called ``name``.

        :raises NetError: there is none.
        """
        for node in self.nodes:
            if node.name == name:
                return node.layer
        raise NetError(f"The net has no layer '{name}'.", file=self.source)

    def load(self, weights: str | Path, missing: Missing = "log") -> None:
        """Copy the weights of every layer whose name the file has (Caffe: CopyTrainedLayersFrom).

        :raises CaffeError: the file cannot be read, a layer does not fit, no layer matches, or ``missing="error"`` and
            a learnable layer is not in the file. The net is unchanged then.
        """
        load_weights(self, weights, missing)

    def save(self, path: str | Path, diffs: bool = False, hdf5: bool | None = None) -> None:
        """Write weights that real Caffe reads.

        :param diffs: add the gradients.
        :param hdf5: the form; None: a ``.caffemodel.h5`` if the path ends in ``.h5``, else a ``.caffemodel``.
        """
        save_weights(self, path, diffs, str(path).endswith(".h5") if hdf5 is None else hdf5)

    def close(self) -> None:
        """Stop the threads that prefetch data, rather than when the net is collected. A later pass starts them anew."""
        for node in self.nodes:
            if isinstance(node.layer, PrefetchingDataLayer):
                node.layer.close()


def _upgraded(net_param: Any) -> Any:
    if not isinstance(net_param, pb.NetParameter):
        raise NetError(
            f"A net cannot be made from {type(net_param).__name__}.", remedy="Give a path or a NetParameter message."
        )
    copy = pb.NetParameter()
    copy.CopyFrom(net_param)
    return upgrade_net(copy)


def _trace_bottoms(node: Node, blobs: dict[str, Tensor], traced: dict[str, Tensor]) -> None:
    """Make leaves of bottoms that get a diff in Caffe without anything to learn below (force_backward)."""
    for name, flows in zip(node.bottoms, node.bottom_need_backward):
        if flows and node.need_backward and not blobs[name].requires_grad:
            blobs[name] = traced[name] = blobs[name].detach().requires_grad_()


def _trace_tops(node: Node, tops: Iterable[Tensor], traced: dict[str, Tensor]) -> None:
    """Keep the gradients of the first version of every top."""
    for name, top in zip(node.tops, tops):
        if top.requires_grad and name not in traced:
            top.retain_grad()
            traced[name] = top


class _LazyText:
    """A message as prototxt text, made only if a log line is really written."""

    def __init__(self, message: Any) -> None:
        self._message = message

    def __str__(self) -> str:
        return format_text(self._message)
