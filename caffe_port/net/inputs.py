"""The tensors that a net is called with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from caffe_port.errors import NetError


def bind_inputs(names: Sequence[str], args: tuple[Any, ...], named: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by input name, from positional arguments in the order of ``names`` (or one mapping) and named ones.

    :raises NetError: too many, or one given twice.
    """
    if len(args) == 1 and isinstance(args[0], Mapping):
        bound = dict(args[0])
    elif len(args) > len(names):
        raise NetError(f"{len(args)} inputs given; the net takes {', '.join(names) or 'none'}.")
    else:
        bound = dict(zip(names, args))
    for name, value in named.items():
        if name in bound:
            raise NetError(f"Input '{name}' is given twice.")
        bound[name] = value
    return bound


def check_inputs(names: Sequence[str], inputs: Mapping[str, Tensor], like: Tensor | None) -> dict[str, Tensor]:
    """``inputs`` if they are just those of ``names``; integers become floating point, as blobs hold nothing else.

    :param like: a parameter of the net, whose type and device the inputs must have; None: the net has none.
    :raises NetError: an input is missing or unknown, no tensor, or of another floating type or device.
    """
    missing = [name for name in names if name not in inputs]
    unknown = [str(name) for name in inputs if name not in names]
    if missing or unknown:
        cause = f"Missing input: {', '.join(missing)}." if missing else f"Unknown input: {', '.join(unknown)}."
        raise NetError(cause, remedy=f"The net takes {', '.join(names) or 'no inputs'}.")
    return {name: _check(name, value, like) for name, value in inputs.items()}


def _check(name: str, value: Tensor, like: Tensor | None) -> Tensor:
    if not isinstance(value, Tensor):
        cause = f"Input '{name}' is {type(value).__name__}, not a tensor."
        raise NetError(cause, remedy="torch.as_tensor(x) makes one.")
    if not value.is_floating_point() and not value.is_complex():
        value = value.to(torch.float32 if like is None else like.dtype)
    if like is not None and (value.dtype != like.dtype or value.device != like.device):
        raise NetError(
            f"Input '{name}' is {value.dtype} on {value.device}; the net is {like.dtype} on {like.device}.",
            remedy=f"Give {name}.to({str(like.device)!r}, {like.dtype}), or move the net with net.to(...).",
        )
    return value
