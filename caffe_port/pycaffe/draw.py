"""Pictures of nets under pycaffe's names (Caffe: python/caffe/draw.py). Neither pydot nor Graphviz is needed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from caffe_port.draw import draw, draw_to_file
from caffe_port.draw.labels import LEARNING, color, describe, edge_label, lr_mults, pooling_types
from caffe_port.errors import CaffeError, LayerError, NetError
from caffe_port.net.filter import net_state
from caffe_port.proto import pb, upgrade_net

__all__ = [
    "choose_color_by_layertype",
    "draw_net",
    "draw_net_to_file",
    "get_edge_label",
    "get_layer_label",
    "get_layer_lr_mult",
    "get_pooling_types_dict",
    "get_pydot_graph",
]


def draw_net(
    caffe_net: Any, rankdir: str, ext: str = "png", phase: int | str | None = None, display_lrm: bool = False
) -> bytes:
    """The picture of ``caffe_net`` as a file in the format ``ext`` ("png", "svg" or "pdf").

    Deviates from Caffe: nets of any age are drawn; in-place layers stand in the box of the layer that they follow; and
    ``phase`` chooses layers as a net of that phase does, so that those of a stage are left out.

    :param caffe_net: NetParameter, of this package or of any other caffe_pb2.
    :param rankdir: "LR", "TB", "BT" or "RL".
    :param phase: TRAIN or TEST; None: all layers.
    :param display_lrm: show the learning rate multipliers.
    :raises CaffeError: no NetParameter, or as :func:`~caffe_port.draw.draw`.
    """
    return draw(_net_param(caffe_net), ext, rankdir, state=_state(phase), rates=display_lrm)


def draw_net_to_file(
    caffe_net: Any,
    filename: str | Path,
    rankdir: str = "LR",
    phase: int | str | None = None,
    display_lrm: bool = False,
) -> None:
    """Write what :func:`draw_net` makes to ``filename``, in the format that its suffix names."""
    draw_to_file(_net_param(caffe_net), filename, rankdir, state=_state(phase), rates=display_lrm)


def get_pooling_types_dict() -> dict[int, str]:
    """The name of every pooling method by its number."""
    return pooling_types()


def get_edge_label(layer: Any) -> str:
    """The batch size or number of outputs of ``layer`` (LayerParameter); without one ``""`` in quotation marks."""
    return edge_label(layer) or '""'


def get_layer_lr_mult(layer: Any) -> tuple[float, ...]:
    """The learning rate multipliers of the weights and biases of a Convolution, Deconvolution or InnerProduct.

    :raises LayerError: a layer of another type.
    """
    if layer.type not in LEARNING:
        raise LayerError("has no learning rate multipliers to be shown.", layer=layer.name, layer_type=layer.type)
    return tuple(lr_mults(layer))


def get_layer_label(layer: Any, rankdir: str, display_lrm: bool = False) -> str:
    """What Caffe writes in the box of ``layer``, in quotation marks.

    Its parts are separated by spaces if the layout is vertical, else by a backslash and the letter n, as Graphviz
    wants it.

    Deviates from Caffe: kernel_h, kernel_w and the like are shown, as are group, dilation and multipliers of 0.
    """
    separator = " " if rankdir in ("TB", "BT") else r"\n"
    parts = [part for group in describe(layer, display_lrm) for part in group]
    return f'"{separator.join(parts)}"'


def choose_color_by_layertype(layertype: str) -> str:
    """The colour of a layer, ``#RRGGBB``. Types that Caffe leaves in one blue have the colour of their kind."""
    return color(layertype)


def get_pydot_graph(*args: Any, **kwargs: Any) -> None:
    """Refuse: nets are drawn without pydot.

    :raises CaffeError: always.
    """
    raise CaffeError("Nets are drawn without pydot.", remedy="Use draw_net or draw_net_to_file.")


def _state(phase: int | str | None) -> Any:
    return None if phase is None else net_state(phase)


def _net_param(caffe_net: Any) -> Any:
    """A copy of ``caffe_net`` as a message of ours, in the current form."""
    descriptor = getattr(caffe_net, "DESCRIPTOR", None)
    if getattr(descriptor, "name", None) != "NetParameter":
        kind = type(caffe_net).__name__
        raise NetError(f"{kind} is no NetParameter, so it cannot be drawn.", remedy="Read a prototxt into one.")
    return upgrade_net(pb.NetParameter.FromString(caffe_net.SerializeToString()))
