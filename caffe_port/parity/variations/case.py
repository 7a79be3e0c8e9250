"""One layer that may be at fault, and the ways in which it could have been computed otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from caffe_port.layers import LayerContext, create_layer
from caffe_port.layers.base import Shape

Compute = Callable[[Sequence[Tensor]], Sequence[Tensor]]


@dataclass(frozen=True)
class Variation:
    """Another way to compute a layer: other parameters, other learnable blobs, or another function of its bottoms.

    ``what`` completes "the reference agrees with ...".
    """

    what: str
    param: Any = None
    blobs: Sequence[Tensor] | None = None
    compute: Compute | None = None


@dataclass
class Case:
    """A layer with what it works on.

    ``blobs`` are its learnable blobs (those of the record, where it has them, even more than the layer's own),
    ``bottoms`` the reference's. ``wanted`` is the first top that the reference computed, None where a later layer
    changed it; ``shown`` says where it still is the layer's own (a ReLU that follows in-place leaves what is positive),
    None: everywhere. ``reads_input``: its bottom is an input of the net. ``planes`` is the shape (N, C, H, W) of the
    bottom before it was flattened.
    """

    layer: Any  #: a Layer; its type's own attributes are read
    bottoms: list[Tensor]
    blobs: list[Tensor]
    wanted: Tensor | None = None
    shown: Tensor | None = None
    reads_input: bool = False
    planes: Shape | None = None

    @property
    def shapes(self) -> list[Shape]:
        """The bottoms' shapes."""
        return [tuple(bottom.shape) for bottom in self.bottoms]

    def edited(self, group: str, what: str | None = None, /, **fields: Any) -> Variation:
        """The layer with other values of fields in its parameter message ``group``; None removes a field."""
        param = type(self.layer.layer_param)()
        param.CopyFrom(self.layer.layer_param)
        message = getattr(param, group)
        for name, value in fields.items():
            message.ClearField(name)
            if isinstance(value, (list, tuple)):
                getattr(message, name).extend(value)
            elif value is not None:
                setattr(message, name, value)
        said = " ".join(f"{name}: {_shown(value)}" for name, value in fields.items() if value is not None)
        return Variation(said if what is None else what, param=param)

    def reweighted(self, what: str, *blobs: Tensor) -> Variation:
        """The layer with other values of its first learnable blobs."""
        return Variation(what, blobs=[*blobs, *self.blobs[len(blobs) :]])

    def with_blob(self, index: int, what: str, blob: Tensor) -> Variation:
        """The layer with another value of learnable blob ``index``."""
        return Variation(what, blobs=[*self.blobs[:index], blob, *self.blobs[index + 1 :]])

    def around(
        self,
        what: str,
        before: Compute | None = None,
        after: Callable[[Tensor], Tensor] | None = None,
        variation: Variation | None = None,
    ) -> Variation:
        """The layer (or a variation of it) on changed bottoms, or with changed tops."""

        def compute(bottoms: Sequence[Tensor]) -> list[Tensor]:
            tops = self.run(variation, before(bottoms) if before else bottoms)
            return [after(top) for top in tops] if after else list(tops)

        return Variation(what, compute=compute)

    def run(
        self, variation: Variation | None, bottoms: Sequence[Tensor], expected: Sequence[Shape] = ()
    ) -> Sequence[Tensor]:
        """The tops, computed as ``variation`` says (None: as the layer is).

        :param expected: shapes of tops; nothing is computed if the layer would make others.
        :raises CaffeError: the layer refuses the variation.
        """
        if variation is not None and variation.compute is not None:
            return variation.compute(bottoms)
        given = variation if variation is not None else Variation("")
        layer = create_layer(given.param or self.layer.layer_param, LayerContext(self.layer.context.phase, seed=0))
        layer.in_place = self.layer.in_place
        shapes = [tuple(bottom.shape) for bottom in bottoms]
        layer.setup(shapes)
        blobs = (self.blobs if given.blobs is None else given.blobs)[: len(layer.blob_names)]
        if [tuple(blob.shape) for blob in blobs] != layer.blob_shapes:
            raise layer.error("its learnable blobs would have other shapes.")
        for index, blob in enumerate(blobs):  # running statistics are copied, for forward changes them
            own = blob if layer.learnable[index] else blob.clone()
            layer.share_blob(index, nn.Parameter(own, requires_grad=False))
        tops = layer.reshape(shapes)
        if expected and list(tops[: len(expected)]) != list(expected):
            raise layer.error("its tops would have other shapes.")
        with torch.no_grad():
            return layer(*bottoms)

    def fit(self, *terms: Tensor) -> list[float] | None:
        """Factors with which ``terms`` add up to the reference's top most nearly (least squares), if it is known."""
        if self.wanted is None or any(term.shape != self.wanted.shape for term in terms):
            return None
        shown = torch.ones_like(self.wanted, dtype=torch.bool) if self.shown is None else self.shown
        columns = torch.stack([term[shown].double() for term in terms], dim=1)
        target = self.wanted[shown].double()
        if len(target) < len(terms) or not bool(columns.isfinite().all() and target.isfinite().all()):
            return None
        solution = torch.linalg.lstsq(
            columns, target[:, None], driver="gelsd" if columns.device.type == "cpu" else None
        )
        return [float(value) for value in solution.solution[:, 0]]


def others(candidates: Sequence[Any], present: Any) -> Iterator[Any]:
    """The candidates but ``present``."""
    return (value for value in candidates if value != present)


def rounded(value: float) -> float:
    """A fitted number as somebody would have written it: four significant digits."""
    return float(f"{value:.4g}")


def _shown(value: Any) -> str:
    return (
        " ".join(map(str, value))
        if isinstance(value, (list, tuple))
        else f"{value:g}"
        if isinstance(value, float)
        else str(value)
    )
