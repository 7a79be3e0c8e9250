"""From a filtered NetParameter to an ordered list of set-up layers (Caffe: net.cpp, Init).

Each :class:`Node` is one layer with the names of its bottoms and tops, its loss weights, and the flags that decide
which diffs exist.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from caffe_port.errors import CaffeError, LayerError, NetError
from caffe_port.layers import Layer, LayerContext, create_layer
from caffe_port.layers.base import Shape, format_shape
from caffe_port.log import log
from caffe_port.proto import pb


@dataclass
class Node:
    """One layer in its place.

    ``bottom_need_backward[i]``: in Caffe bottom i gets a diff; ``need_backward``: any diff at all. Autograd needs less
    telling: only at bottoms with ``detached[i]`` (labels, propagate_down: false) it is stopped, so that a net without a
    loss is as differentiable as any module. ``top_diff_set[i]``: a consumer writes the diff of top i, over its loss
    weight.
    """

    layer: Layer
    bottoms: list[str]
    tops: list[str]
    loss_weights: list[float]
    bottom_need_backward: list[bool]
    need_backward: bool
    bottom_shapes: list[Shape] = field(default_factory=list)
    top_shapes: list[Shape] = field(default_factory=list)
    detached: list[bool] = field(default_factory=list)
    top_diff_set: list[bool] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The layer's name."""
        return self.layer.name


@dataclass
class Param:
    """One learnable parameter of the net: its owner, its multipliers, and every layer blob that shares it."""

    owner: Layer
    index: int
    name: str
    lr_mult: float | None = None
    decay_mult: float | None = None
    users: list[tuple[Layer, int]] = field(default_factory=list)

    @property
    def blob(self) -> Any:
        """The ``nn.Parameter``."""
        return self.owner.blobs[self.index]


class GraphBuilder:
    """Builds the nodes of ``net_param`` (filtered, with splits) one layer after the other.

    After :meth:`build`: ``nodes`` in order, ``params`` (learnable, owners only), ``blob_shapes`` by blob name in order
    of first appearance, ``inputs`` (tops of Input layers) and ``outputs`` (never consumed, in Caffe's alphabetical
    order).
    """

    def __init__(self, net_param: Any, context: LayerContext) -> None:
        self.net_param = net_param
        self.context = context
        self.nodes: list[Node] = []
        self.params: list[Param] = []
        self.blob_shapes: dict[str, Shape] = {}
        self.inputs: list[str] = []
        self.outputs: list[str] = []
        self._available: set[str] = set()
        self._blob_need_backward: dict[str, bool] = {}
        self._shared: dict[str, Param] = {}
        self._memory = 0

    def build(self) -> GraphBuilder:
        """Create, connect and set up every layer, then decide which need backward."""
        for layer_param in self.net_param.layer:
            try:
                self._add_layer(layer_param)
            except CaffeError as error:
                raise error.at(layer=layer_param.name, layer_type=layer_param.type) from None
        self._prune_backward()
        for node in reversed(self.nodes):
            log.info("%s %s backward computation.", node.name, "needs" if node.need_backward else "does not need")
        if self.net_param.force_backward:
            self._force_backward()
        self._flag_autograd()
        self.outputs = sorted(self._available)
        for name in self.outputs:
            log.info("This network produces output %s", name)
        log.info("Network initialization done.")
        return self

    # -- one layer ----------------------------------------------------------------------------------------------------

    def _add_layer(self, layer_param: Any) -> None:
        if not layer_param.HasField("phase"):
            layer_param.phase = self.net_param.state.phase
        own_param = pb.LayerParameter()
        own_param.CopyFrom(layer_param)
        log.info("Creating Layer %s", layer_param.name)
        layer = create_layer(own_param, self.context)
        needs, flags = self._connect_bottoms(layer_param)
        tops = self._connect_tops(layer, layer_param)
        _check_counts(layer, len(layer_param.bottom), len(tops))
        layer.in_place = bool(tops and layer_param.bottom and tops[0] == layer_param.bottom[0])
        if layer.in_place and not layer.IN_PLACE:
            raise LayerError("cannot be computed in-place.", remedy="Give its top a name of its own.")
        bottom_shapes = [self.blob_shapes[name] for name in layer_param.bottom]
        layer.setup(bottom_shapes)
        shapes = layer.reshape(bottom_shapes)
        for shape in shapes:
            layer.check_size(shape)
        weights = _loss_weights(layer, layer_param, len(tops))
        node = Node(layer, list(layer_param.bottom), tops, weights, flags, False, bottom_shapes, shapes)
        self.blob_shapes.update(zip(tops, shapes))
        self._log_set_up(node)
        node.need_backward = needs | self._add_params(layer, layer_param)
        for name in tops:
            self._blob_need_backward[name] = node.need_backward or (
                name in layer_param.bottom and self._blob_need_backward.get(name, False)
            )
        self.nodes.append(node)

    def _log_set_up(self, node: Node) -> None:
        log.info("Setting up %s", node.name)
        for shape, weight in zip(node.top_shapes, node.loss_weights):
            log.info("Top shape: %s", format_shape(shape))
            if weight:
                log.info("    with loss weight %g", weight)
            self._memory += 4 * math.prod(shape)
        log.info("Memory required for data: %d", self._memory)

    def _connect_bottoms(self, layer_param: Any) -> tuple[bool, list[bool]]:
        """Whether any bottom leads to parameters, and for each bottom whether a diff flows into it."""
        given = list(layer_param.propagate_down)
        if given and len(given) != len(layer_param.bottom):
            raise NetError(
                f"propagate_down has {len(given)} entries for {len(layer_param.bottom)} bottoms.",
                remedy="Specify it never or once per bottom.",
            )
        for index, name in enumerate(layer_param.bottom):
            if name not in self._available:
                raise NetError(f"Unknown bottom blob '{name}' (bottom index {index}).")
            self._available.discard(name)
            log.info("%s <- %s", layer_param.name, name)
        inherited = [self._blob_need_backward[name] for name in layer_param.bottom]
        return any(inherited), given or inherited

    def _connect_tops(self, layer: Layer, layer_param: Any) -> list[str]:
        tops = list(layer_param.top)
        for index, name in enumerate(tops):
            in_place = index < len(layer_param.bottom) and layer_param.bottom[index] == name
            if not in_place and name in self.blob_shapes:
                raise NetError(
                    f"Top blob '{name}' produced by multiple sources.", remedy="Give one of the tops another name."
                )
            self.blob_shapes.setdefault(name, ())
            self._available.add(name)
            log.info("%s -> %s%s", layer.name, name, " (in-place)" if in_place else "")
        if layer.TYPE == "Input":
            self.inputs += tops
        if layer.IS_LOSS:  # Caffe's AutoTopBlobs: there, but no output of the net
            tops += [f"(automatic) {layer.name} {index}" for index in range(len(tops), layer.TOPS[0])]
        return tops

    # -- parameters ---------------------------------------------------------------------------------------------------

    def _add_params(self, layer: Layer, layer_param: Any) -> bool:
        """Register the layer's blobs; True when one of them is to learn."""
        if len(layer_param.param) > len(layer.blob_names):
            raise NetError(
                f"Too many params specified: {len(layer_param.param)} for {len(layer.blob_names)} learnable blobs."
            )
        learns = False
        for index, blob in enumerate(layer.blobs):
            # As in Caffe the flag comes from the prototxt, the rate from what the layer made of it (BatchNorm: 0).
            given = layer_param.param[index] if index < len(layer_param.param) else pb.ParamSpec()
            learns |= given.lr_mult != 0
            blob.requires_grad_(blob.requires_grad and given.lr_mult != 0)
            own = layer.layer_param.param
            self._own_or_share(layer, index, own[index] if index < len(own) else pb.ParamSpec())
        return learns

    def _own_or_share(self, layer: Layer, index: int, spec: Any) -> None:
        param = self._shared.get(spec.name) if spec.name else None
        if param is None:
            param = Param(layer, index, spec.name)
            self.params.append(param)
            if spec.name:
                self._shared[spec.name] = param
        else:
            self._share(param, layer, index, spec)
        param.users.append((layer, index))
        for key in ("lr_mult", "decay_mult"):
            if spec.HasField(key):
                known, value = getattr(param, key), getattr(spec, key)
                if known is not None and known != value:
                    raise NetError(f"Shared param '{spec.name}' has mismatched {key}: {known:g} and {value:g}.")
                setattr(param, key, value)

    def _share(self, param: Param, layer: Layer, index: int, spec: Any) -> None:
        owner_shape, shape = param.owner.blob_shapes[param.index], layer.blob_shapes[index]
        permissive = spec.share_mode == pb.ParamSpec.PERMISSIVE
        same = param.blob.numel() == layer.blobs[index].numel() if permissive else owner_shape == shape
        if not same:
            raise NetError(
                f"Cannot share param '{spec.name}' owned by layer '{param.owner.name}': "
                f"{'count' if permissive else 'shape'} mismatch. Owner layer param shape is "
                f"{format_shape(owner_shape)}; sharing layer shape is {format_shape(shape)}.",
                remedy=None if permissive else "share_mode: PERMISSIVE asks for equal counts only.",
            )
        param.blob.requires_grad_(param.blob.requires_grad or layer.blobs[index].requires_grad)
        layer.share_blob(index, param.blob)
        log.info(
            "Sharing parameters '%s' owned by layer '%s', param index %d", spec.name, param.owner.name, param.index
        )

    # -- backward flags -----------------------------------------------------------------------------------------------

    def _prune_backward(self) -> None:
        """Layers under no loss, or whose tops all end in bottoms without a diff, get no backward."""
        under_loss: set[str] = set()
        skipped: set[str] = set()
        for node in reversed(self.nodes):
            contributes = any(w != 0 or top in under_loss for top, w in zip(node.tops, node.loss_weights))
            if not contributes or all(top in skipped for top in node.tops):
                node.need_backward = False
                node.bottom_need_backward = [False] * len(node.bottoms)
            for index, bottom in enumerate(node.bottoms):
                if contributes:
                    under_loss.add(bottom)
                if not node.bottom_need_backward[index]:
                    skipped.add(bottom)

    def _force_backward(self) -> None:
        for node in self.nodes:
            node.need_backward = True
            node.bottom_need_backward = [
                flag or index not in node.layer.NO_GRADIENT for index, flag in enumerate(node.bottom_need_backward)
            ]
            for blob, learns in zip(node.layer.blobs, node.layer.learnable):
                blob.requires_grad_(learns)

    def _flag_autograd(self) -> None:
        written: set[str] = set()
        for node in reversed(self.nodes):
            told = node.layer.layer_param.propagate_down
            node.detached = [
                not flows and (index in node.layer.NO_GRADIENT or (bool(told) and not told[index]))
                for index, flows in enumerate(node.bottom_need_backward)
            ]
            node.top_diff_set = [name in written for name in node.tops]
            if node.need_backward:
                written.update(name for name, flows in zip(node.bottoms, node.bottom_need_backward) if flows)


def _check_counts(layer: Layer, bottoms: int, tops: int) -> None:
    for what, count, (least, most) in (("bottom", bottoms, layer.BOTTOMS), ("top", tops, layer.TOPS)):
        if count < least or (most is not None and count > most):
            allowed = f"{least}" if least == most else f"{least} or more" if most is None else f"{least} to {most}"
            raise LayerError(f"has {count} {what} blob(s), but takes {allowed}.")
    if layer.EQUAL_BOTTOMS_TOPS and bottoms != tops:
        raise LayerError(f"has {bottoms} bottom blobs and {tops} tops, but takes as many tops as bottoms.")


def _loss_weights(layer: Layer, layer_param: Any, tops: int) -> list[float]:
    """One weight per top. A loss layer's first top weighs 1 unless told otherwise."""
    weights = list(layer_param.loss_weight)
    if not weights and layer.IS_LOSS:
        weights = [1.0]
        layer.layer_param.loss_weight.append(1.0)
    if weights and len(weights) != tops:
        raise LayerError(
            f"loss_weight is given {len(weights)} time(s) for {tops} tops.",
            remedy="Leave it out or specify it once per top (loss_weight: 1 loss_weight: 0).",
        )
    return weights or [0.0] * tops
