"""Python: a layer that the user wrote as a class."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.alias import install_as_caffe
from caffe_port.errors import LayerError
from caffe_port.layers.base import Layer, LayerContext, Shape
from caffe_port.layers.blob import Blob
from caffe_port.layers.blob_views import BlobView, ParamView
from caffe_port.layers.registry import register


class UserLayer:
    """``caffe.Layer``, the base of layers written in Python (Caffe: python_layer.hpp).

    A subclass has ``setup(bottom, top)``, ``reshape(bottom, top)``, ``forward(bottom, top)`` and
    ``backward(top, propagate_down, bottom)``; ``bottom`` and ``top`` are lists of blobs with ``data``, ``diff``,
    ``shape`` and ``reshape``. ``reshape`` runs before every ``forward``. Learnable blobs are made in ``setup`` with
    ``self.blobs.add_blob(*shape)``; they start as zeros, and ``backward`` adds to their ``diff``. Before ``setup`` runs
    it has ``param_str`` (from the prototxt; ``param_str_`` in old Caffe) and ``phase`` (caffe.TRAIN or caffe.TEST).
    """

    type = "Python"
    phase: int
    param_str: str
    blobs: ParamViews

    def __init__(self, layer_param: Any) -> None:
        """``layer_param`` is the layer's LayerParameter."""

    def setup(self, bottom: list[BlobView], top: list[BlobView]) -> None:
        """Read parameters and make learnable blobs."""

    def reshape(self, bottom: list[BlobView], top: list[BlobView]) -> None:
        """Give the tops their shapes."""
        raise self._lacks("reshape(self, bottom, top)")

    def forward(self, bottom: list[BlobView], top: list[BlobView]) -> None:
        """Write the data of the tops."""
        raise self._lacks("forward(self, bottom, top)")

    def backward(self, top: list[BlobView], propagate_down: list[bool], bottom: list[BlobView]) -> None:
        """Write the diffs of those bottoms that are to propagate down, and add to those of the blobs."""
        raise self._lacks("backward(self, top, propagate_down, bottom)")

    def _lacks(self, method: str) -> LayerError:
        return LayerError(f"The class {type(self).__name__} has no {method}.", layer_type=self.type)

    @property
    def param_str_(self) -> str:
        """``param_str`` as it was called before 2015."""
        return self.param_str


class ParamViews(list[ParamView]):
    """The learnable blobs of a layer, which :meth:`add_blob` adds to."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self._layer = layer

    def add_blob(self, *shape: int) -> None:
        """Add a learnable blob of ``shape``, filled with zeros."""
        index = len(self)
        self._layer.add_blob(str(index), shape)
        self._layer.blobs[index].data.zero_()
        self.append(ParamView(self._layer, index))


@register("Python")
class Python(Layer):
    """Whatever the class ``python_param.layer`` of the module ``python_param.module`` computes, on the CPU in float32.

    The class derives from ``caffe.Layer`` (see :class:`UserLayer`), which ``import caffe`` gives in its module; its
    exceptions are passed on as they are. Loading such a net runs that module's code. Caffe: python_layer.hpp.

    Deviates from Caffe: blobs are handed over as copies, so edits of a bottom that is no top do not reach other layers.
    ``share_in_parallel`` has no effect, as in Caffe master, where it is deprecated: every process has its own layer.
    """

    BOTTOMS = (0, None)
    TOPS = (0, None)
    IN_PLACE = True
    #: shows the device and type that tops get
    like: Tensor

    def __init__(self, layer_param: Any, context: LayerContext) -> None:
        super().__init__(layer_param, context)
        self.register_buffer("like", torch.empty(0), persistent=False)
        user = self._user_class()(layer_param)
        user.param_str = layer_param.python_param.param_str
        user.phase = context.phase
        user.blobs = ParamViews(self)
        #: the user's object
        self.user = user

    def _user_class(self) -> type[UserLayer]:
        param = self.layer_param.python_param
        self.check(bool(param.module and param.layer), "needs module and layer in its python_param.")
        install_as_caffe()
        try:
            module = importlib.import_module(param.module)
        except ModuleNotFoundError as error:
            if error.name is None or not f"{param.module}.".startswith(f"{error.name}."):
                raise  # the module is there, but not what it imports
            remedy = f"Set PYTHONPATH to the folder that holds {param.module.partition('.')[0]}.py."
            raise self.error(f"There is no Python module '{param.module}'.", remedy) from None
        cls = getattr(module, param.layer, None)
        if not (isinstance(cls, type) and issubclass(cls, UserLayer)):
            what = "has no class" if cls is None else "has no subclass of caffe.Layer called"
            raise self.error(f"The module {module.__name__} ({module.__file__}) {what} '{param.layer}'.")
        return cls

    def setup(self, bottoms: Sequence[Shape]) -> None:
        own = [Blob(shape) for shape in bottoms]
        by_name = dict(zip(self.layer_param.bottom, own))  # computed in-place a top is the very same blob
        self._bottom, self._top = own, [by_name.get(name) or Blob() for name in self.layer_param.top]
        views = {blob: BlobView(blob) for blob in (*self._bottom, *self._top)}
        self._views = [views[blob] for blob in self._bottom], [views[blob] for blob in self._top]
        self.user.setup(*self._views)

    def reshape(self, bottoms: Sequence[Shape]) -> list[Shape]:
        for blob, shape in zip(self._bottom, bottoms):
            blob.reshape(*shape)
        self.user.reshape(*self._views)
        return [top.shape for top in self._top]

    def forward(self, *bottoms: Tensor) -> tuple[Tensor, ...]:
        if not self._top:
            return self.compute(bottoms)
        return _Call.apply(self, len(bottoms), *bottoms, *self.blobs)

    def compute(self, bottoms: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Let the user's ``reshape`` and ``forward`` run on ``bottoms``."""
        for blob, value in zip(self._bottom, bottoms):
            blob.put_data(value)
        self._pull()
        self.user.reshape(*self._views)
        self.user.forward(*self._views)
        self._push()
        return tuple(top.data.to(self.like, copy=True) for top in self._top)

    def differentiate(self, top_diffs: Sequence[Tensor], propagate_down: list[bool]) -> list[Tensor | None]:
        """Let the user's ``backward`` run: diffs of bottoms are returned, those of blobs are in their ``grad``."""
        for blob, value in zip(self._top, top_diffs):
            blob.put_diff(value)
        self._pull()
        bottom, top = self._views
        self.user.backward(top, propagate_down, bottom)
        self._push()
        return [
            blob.diff.to(self.like, copy=True) if flows else None for blob, flows in zip(self._bottom, propagate_down)
        ]

    def fill_blob(self, index: int) -> None:
        """Leave the blob as the user's ``setup`` filled it."""

    def _pull(self) -> None:
        for blob in self.user.blobs:
            blob.pull()

    def _push(self) -> None:
        for blob in self.user.blobs:
            blob.push()


class _Call(torch.autograd.Function):
    """Forward and backward of the user's layer as one operation of autograd.

    Learnable blobs are inputs only so that backward runs for their sake; the user's code adds to their diffs itself.
    """

    @staticmethod
    def forward(ctx: Any, layer: Python, count: int, *tensors: Tensor) -> tuple[Tensor, ...]:
        ctx.layer, ctx.count = layer, count
        return layer.compute(tensors[:count])

    @staticmethod
    def backward(ctx: Any, *top_diffs: Tensor) -> tuple[Any, ...]:
        propagate_down = list(ctx.needs_input_grad[2 : 2 + ctx.count])
        diffs = ctx.layer.differentiate(top_diffs, propagate_down)
        return (None, None, *diffs, *[None] * len(ctx.layer.blobs))
