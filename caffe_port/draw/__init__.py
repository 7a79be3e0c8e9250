"""Pictures of nets, laid out and drawn here: no graph program is needed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from caffe_port.draw.layout import RANKDIRS
from caffe_port.draw.picture import picture_of
from caffe_port.errors import FormatError, NetError
from caffe_port.files import atomic_write
from caffe_port.layers.base import Shape
from caffe_port.net.filter import filter_net

FORMATS = ("svg", "png", "pdf")

__all__ = ["FORMATS", "RANKDIRS", "draw", "draw_to_file"]


def draw(
    net_param: Any,
    form: str = "svg",
    rankdir: str = "TB",
    *,
    state: Any = None,
    rates: bool = False,
    shapes: Mapping[str, Shape] | None = None,
) -> bytes:
    """A picture of a net: layers as boxes, blobs as ovals, in the direction of the data.

    Layers are coloured by kind and labelled with name, type and window; in-place layers stand in the box of the layer
    whose top they change. Arrows bear the batch size or the number of outputs. The net need not be one that can run:
    layers of any type are drawn.

    :param net_param: NetParameter, upgraded.
    :param form: one of :data:`FORMATS`.
    :param rankdir: the direction from the first layer to the last, one of :data:`RANKDIRS`.
    :param state: NetState whose layers are drawn (:func:`~caffe_port.net.filter.net_state`); None: all layers, with
        their phases.
    :param rates: show the learning rate multipliers.
    :param shapes: of blobs by name, to be shown.
    :raises FormatError: another ``form``.
    :raises NetError: another ``rankdir``, or a layer has include and exclude rules.
    """
    if form not in FORMATS:
        raise FormatError(f"A net cannot be drawn as '{form}'.", remedy=f"Use one of {', '.join(FORMATS)}.")
    if rankdir not in RANKDIRS:
        raise NetError(f"Unknown rankdir {rankdir!r}.", remedy=f"Use one of {', '.join(RANKDIRS)}.")
    from caffe_port.draw.render import render  # here, for only drawing needs matplotlib

    chosen = net_param if state is None else filter_net(net_param, state)
    return render(picture_of(chosen, rankdir, state is None, rates, shapes), rankdir, form)


def draw_to_file(net_param: Any, path: str | Path, rankdir: str = "TB", **options: Any) -> None:
    """Write the picture that :func:`draw` makes to ``path``, in the form that its suffix names.

    :raises CaffeError: as :func:`draw`; or the file cannot be written.
    """
    try:
        picture = draw(net_param, Path(path).suffix.lower().lstrip("."), rankdir, **options)
    except FormatError as error:
        raise error.at(file=path) from None
    with atomic_write(path) as file:
        file.write(picture)
