"""Registries of what writes one layer type for a target."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

F = TypeVar("F", bound=Callable[..., Any])


class Emitters(dict[str, Callable[..., Any]]):
    """Caffe type -> function that writes such a layer."""

    def register(self, *types: str) -> Callable[[F], F]:
        """Function decorator: file an emitter under one Caffe type or several.

        :raises ValueError: a type has one already.
        """

        def decorate(emitter: F) -> F:
            for name in types:
                if name in self:
                    raise ValueError(f"layer type {name} is registered twice")
                self[name] = emitter
            return emitter

        return decorate
