"""Memory of weight gradients, used again from one iteration to the next."""

from __future__ import annotations

from torch import Tensor


def release_gradient(parameter: Tensor) -> None:
    """Set ``parameter.grad`` to None, keeping its memory for :func:`reuse_gradient`."""
    parameter.spare_grad = parameter.grad  # type: ignore[attr-defined]
    parameter.grad = None


def reuse_gradient(parameter: Tensor) -> Tensor | None:
    """The memory of the last released gradient, once; None if there is none."""
    return parameter.__dict__.pop("spare_grad", None)
