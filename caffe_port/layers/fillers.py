"""Fillers: how a learnable blob is initialised. Caffe's counterpart: ``include/caffe/filler.hpp``."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from caffe_port.errors import LayerError


def fill(blob: Tensor, filler: Any, generator: torch.Generator) -> None:
    """Fill ``blob`` in place as ``filler`` (a FillerParameter, or None for zeros) says.

    Values are drawn from ``generator``; they are not the numbers of Caffe's generator, only of its distribution.

    :raises LayerError: an unknown filler type, a setting out of range, or a shape that the filler does not take.
    """
    if filler is None:
        blob.zero_()
        return
    rule = FILLERS.get(filler.type)
    if rule is None:
        known = ", ".join(sorted(FILLERS))
        raise LayerError(f"Unknown filler name: '{filler.type}'.", remedy=f"Known fillers: {known}.")
    if filler.sparse != -1 and filler.type != "gaussian":
        raise LayerError(f"Sparsity not supported by the {filler.type} filler.", remedy="Only gaussian takes 'sparse'.")
    if blob.numel() == 0:
        raise LayerError(f"A filler has nothing to fill: the blob has shape {tuple(blob.shape)}.")
    rule(blob, filler, generator)


def _constant(blob: Tensor, filler: Any, generator: torch.Generator) -> None:
    blob.fill_(filler.value)


def _uniform(blob: Tensor, filler: Any, generator: torch.Generator) -> None:
    if not 0 <= filler.max - filler.min <= torch.finfo(blob.dtype).max:
        raise LayerError(f"The uniform filler has no range from min {filler.min:g} to max {filler.max:g}.")
    blob.uniform_(filler.min, filler.max, generator=generator)


def _gaussian(blob: Tensor, filler: Any, generator: torch.Generator) -> None:
    """Normal(mean, std). ``sparse`` n keeps each weight with probability n / outputs, outputs being shape[0]."""
    if not filler.std > 0:
        raise LayerError(f"The gaussian filler needs a positive std, not {filler.std:g}.", remedy="Use constant for 0.")
    if filler.sparse < -1:
        raise LayerError(f"sparse must be -1 (off), 0 or positive, not {filler.sparse}.")
    blob.normal_(filler.mean, filler.std, generator=generator)
    if filler.sparse >= 0:
        outputs = _outputs(blob, filler)
        keep = filler.sparse / outputs
        if keep > 1:
            raise LayerError(f"sparse: {filler.sparse} is more than the {outputs} outputs.")
        blob.mul_(torch.bernoulli(torch.full(blob.shape, keep), generator=generator))


def _positive_unitball(blob: Tensor, filler: Any, generator: torch.Generator) -> None:
    """Uniform on [0, 1), then every shape[0] slice divided by its sum."""
    blob.uniform_(0, 1, generator=generator)
    rows = blob.view(_outputs(blob, filler), -1)
    rows.div_(rows.sum(dim=1, keepdim=True))


def _outputs(blob: Tensor, filler: Any) -> int:
    """shape[0] of ``blob``, which needs one."""
    if blob.ndim == 0:
        raise LayerError(f"The {filler.type} filler needs a blob with at least one axis.")
    return blob.shape[0]


def _fan(blob: Tensor, filler: Any) -> float:
    """The n of the xavier and msra fillers. fan_in and fan_out are Caffe's: count / shape[0] and count / shape[1]."""
    count = blob.numel()
    fan_in = count / _outputs(blob, filler)
    fan_out = count / blob.shape[1] if blob.ndim > 1 else count
    if filler.variance_norm == filler.AVERAGE:
        return (fan_in + fan_out) / 2
    return fan_out if filler.variance_norm == filler.FAN_OUT else fan_in


def _xavier(blob: Tensor, filler: Any, generator: torch.Generator) -> None:
    """Uniform on +-sqrt(3 / n) (Glorot and Bengio 2010, with Caffe's choice of n)."""
    scale = math.sqrt(3 / _fan(blob, filler))
    blob.uniform_(-scale, scale, generator=generator)


def _msra(blob: Tensor, filler: Any, generator: torch.Generator) -> None:
    """Normal(0, sqrt(2 / n)) (He et al. 2015)."""
    blob.normal_(0, math.sqrt(2 / _fan(blob, filler)), generator=generator)


def _bilinear(blob: Tensor, filler: Any, generator: torch.Generator) -> None:
    """The interpolation kernel of upsampling by deconvolution; a 4-D blob with square kernels.

    With f = ceil(width / 2) and c = (width - 1) / 2f: (1 - |x / f - c|) * (1 - |y / f - c|).
    """
    if blob.ndim != 4:
        raise LayerError("The bilinear filler needs a blob of 4 axes.")
    if blob.shape[2] != blob.shape[3]:
        raise LayerError("The bilinear filler needs a square kernel.")
    width = blob.shape[3]
    factor = math.ceil(width / 2)
    centre = (width - 1) / (2 * factor)
    row = 1 - (torch.arange(width, dtype=torch.float64) / factor - centre).abs()
    blob.copy_(torch.outer(row, row).expand(blob.shape))


FILLERS: dict[str, Callable[[Tensor, Any, torch.Generator], None]] = {
    "constant": _constant,
    "uniform": _uniform,
    "gaussian": _gaussian,
    "positive_unitball": _positive_unitball,
    "xavier": _xavier,
    "msra": _msra,
    "bilinear": _bilinear,
}
