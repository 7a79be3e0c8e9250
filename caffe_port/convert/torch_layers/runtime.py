"""What has no counterpart in torch.nn: these functions and classes are copied into the modules that use them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Conv2d(nn.Conv2d):
    """nn.Conv2d that has a CPU work in channels-last memory, which is faster, unless the filters outweigh the input."""

    def forward(self, x: Tensor) -> Tensor:
        """See nn.Conv2d; the layout of the result is the one that was worked in."""
        if x.device.type == "cpu":
            small = x.numel() < self.weight.numel()
            x = x.contiguous(memory_format=torch.contiguous_format if small else torch.channels_last)
        return super().forward(x)


class Affine(nn.Module):
    """x * weight + bias, both broadcast; either may be absent."""

    def __init__(self, *shape: int, weight: bool = True, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(shape)) if weight else None
        self.bias = nn.Parameter(torch.zeros(shape)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """Any shape that the operands broadcast to."""
        x = x if self.weight is None else x * self.weight
        return x if self.bias is None else x + self.bias


def pad_windows(
    x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int], value: float
) -> Tensor:
    """Pad x (N, C, H, W) by pad, and by what Caffe's last pooling windows need beyond that."""
    margins = []
    for n, k, s, p in reversed(list(zip(x.shape[2:], kernel, stride, pad))):
        count = -(-(n + 2 * p - k) // s) + 1
        if max(pad) > 0 and (count - 1) * s >= n + p:
            count -= 1
        margins += [p, max(0, (count - 1) * s + k - n - p)]
    return F.pad(x, margins, value=value)


def max_pool(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int]) -> Tensor:
    """Pool with Caffe's windows, some of which torch does not have; an empty one gives the least float32."""
    lowest = torch.finfo(torch.float32).min
    return F.max_pool2d(pad_windows(x, kernel, stride, pad, lowest), kernel, stride)


def average_pool(x: Tensor, kernel: tuple[int, int], stride: tuple[int, int], pad: tuple[int, int]) -> Tensor:
    """Pool with Caffe's windows, some of which torch does not have; each counts as far as x with its pad reaches."""
    padded = pad_windows(x, kernel, stride, pad, 0.0)
    inside = F.pad(torch.ones_like(x[:1, :1]), (pad[1], pad[1], pad[0], pad[0]), value=1.0)
    rows, columns = (have - need for have, need in zip(padded.shape[2:], inside.shape[2:]))
    inside = F.pad(inside, (0, columns, 0, rows))
    sums, sizes = (F.avg_pool2d(part, kernel, stride, divisor_override=1) for part in (padded, inside))
    return sums / sizes


def lrn_within_channel(x: Tensor, size: int, alpha: float, beta: float) -> Tensor:
    """Divide x (N, C, H, W) by (1 + alpha * mean of the squares around)^beta, over size x size places."""
    return x * (1 + alpha * F.avg_pool2d(x * x, size, 1, size // 2)) ** -beta


def normalize_planes(x: Tensor, axes: tuple[int, ...], eps: float | None = None) -> Tensor:
    """Give x mean 0 over axes and, unless eps is None, deviation 1; x gets four axes."""
    x = x.reshape(x.shape + (1,) * (4 - x.ndim))
    x = x - x.mean(axes, keepdim=True)
    return x if eps is None else x / (x.square().mean(axes, keepdim=True).sqrt() + eps)


def arg_max(x: Tensor, count: int, dim: int | None = None, values: bool = False) -> Tensor:
    """Find the count largest values along dim, of equal ones the later first, and return indices, or the values.

    Without dim each item of the first axis is searched as a whole: (N, 1, count, ...) of indices, or (N, 2, count, ...)
    of indices and values.
    """
    axes, axis = x.ndim, 1 if dim is None else dim
    x = x.reshape(x.shape[0], -1) if dim is None else x
    found, index = x.flip(axis).sort(dim=axis, descending=True, stable=True)
    found = found.narrow(axis, 0, count)
    index = (x.shape[axis] - 1 - index.narrow(axis, 0, count)).to(x.dtype)
    if dim is not None:
        return found if values else index
    y = torch.stack([index, found] if values else [index], 1)
    return y.reshape(y.shape + (1,) * (axes - 3))


def crop(x: Tensor, like: Tensor, offsets: dict[int, int]) -> Tensor:
    """Cut x to the size of like along each axis of offsets, from the offset on."""
    for axis, offset in offsets.items():
        x = x.narrow(axis, offset, like.shape[axis])
    return x
