"""The layer catalogue: Caffe type name -> class."""

from __future__ import annotations

import difflib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from caffe_port.errors import LayerError

if TYPE_CHECKING:
    from caffe_port.layers.base import Layer

_REGISTRY: dict[str, type[Layer]] = {}
L = TypeVar("L", bound="type[Layer]")


def register(type_name: str, v1: str | None = None) -> Callable[[L], L]:
    """Class decorator: file a layer under its Caffe type and, where it existed then, its V1 enum name."""

    def decorate(cls: L) -> L:
        if type_name in _REGISTRY:
            raise ValueError(f"layer type {type_name} is registered twice")
        cls.TYPE, cls.V1_TYPE = type_name, v1
        _REGISTRY[type_name] = cls
        return cls

    return decorate


def layer_types() -> dict[str, type[Layer]]:
    """Every registered layer class by Caffe type, sorted."""
    return dict(sorted(_REGISTRY.items()))


def create_layer(layer_param: Any, context: Any) -> Layer:
    """The layer that ``layer_param`` (LayerParameter) describes.

    :raises LayerError: the type is unknown.
    """
    cls = _REGISTRY.get(layer_param.type)
    if cls is None:
        close = difflib.get_close_matches(layer_param.type, _REGISTRY, n=1, cutoff=0.6)
        raise LayerError(
            f"Unknown layer type: '{layer_param.type}'.",
            layer=layer_param.name,
            remedy=f"Did you mean '{close[0]}'?" if close else f"Known types: {', '.join(sorted(_REGISTRY))}.",
        )
    return cls(layer_param, context)
